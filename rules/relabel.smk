rule relabel:
    """Relabel the training examples with a probe on a layer of a trained network."""
    input:
        dataset=run_dataset,
        labels=corrupted_labels,
        checkpoints=original_checkpoints,
    output:
        labels=LAYOUT.relabelled,
        quality=LAYOUT.label_quality,
    log:
        f"{LOGS}/relabel/{{run}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("relabel")
    resources:
        mem_mb=megabytes("relabel"),
        runtime=runtime("relabel"),
        gpu=gpus("relabel"),
    params:
        threads=threads_of("relabel"),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        layers=of_run(lambda run: list(run.relabel_layers)),
        labels_from=of_run(lambda run: run.relabel.labels_from),
        layer_by=of_run(lambda run: run.layer_by),
        subspaces=of_run(lambda run: run.relabel.subspaces),
        seed=of_run(lambda run: run.spec.seed),
        code=code_digest("relabel"),
    script:
        "../workflow/scripts/relabel.py"


RELABELLED = [name for name, run in RUNS.items() if run.relabel]


if RELABELLED:

    rule collect_label_quality:
        """Gather how many wrong labels probes set right in all runs, and how many right ones they spoil."""
        input:
            qualities=expand(LAYOUT.label_quality, run=RELABELLED),
        output:
            quality=f"{TABLES}/{TABLE_OF_LABEL_QUALITY}",
        log:
            f"{LOGS}/collect_label_quality.log",
        conda:
            "../envs/latentgen.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 1000 * attempt,
            runtime=lambda wildcards, attempt: f"{10 * attempt}m",
        params:
            named=named_settings(STUDY),
            code=code_digest("collect_label_quality"),
        script:
            "../workflow/scripts/collect_label_quality.py"
