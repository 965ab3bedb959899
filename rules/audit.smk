rule audit_labels:
    """Find the training labels of a run that are probably wrong, with its trained network."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        checkpoints=LAYOUT.checkpoints,
    output:
        audit=directory(LAYOUT.audit),
    log:
        f"{LOGS}/audit_labels/{{run}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("audit_labels")
    resources:
        mem_mb=megabytes("audit_labels"),
        runtime=runtime("audit_labels"),
        gpu=gpus("audit_labels"),
    params:
        threads=threads_of("audit_labels"),
        run="{run}",
        seed=of_run(lambda run: run.spec.seed),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        layers=of_run(lambda run: list(run.inner_layers)),
        code=code_digest("audit_labels"),
    script:
        "../workflow/scripts/audit_labels.py"


rule collect_audits:
    """Collect the suspicious labels of all runs, and how well they are ranked, where that is known."""
    input:
        audits=expand(LAYOUT.audit, run=[name for name, run in RUNS.items() if run.audited]),
        labels=[labels_of(run) for run in RUNS.values() if run.audited],
    output:
        issues=f"{TABLES}/label_issues.parquet",
        audit=f"{TABLES}/audit.csv",
    log:
        f"{LOGS}/collect_audits.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        code=code_digest("collect_audits"),
    script:
        "../workflow/scripts/collect_audits.py"
