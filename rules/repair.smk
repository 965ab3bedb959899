rule repair_network:
    """Repair the trained network of a run, without retraining."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        checkpoints=LAYOUT.checkpoints,
    output:
        repair=directory(LAYOUT.repair),
    log:
        f"{LOGS}/repair_network/{{run}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("repair_network")
    resources:
        mem_mb=megabytes("repair_network"),
        runtime=runtime("repair_network"),
        gpu=gpus("repair_network"),
    params:
        threads=threads_of("repair_network"),
        run="{run}",
        seed=of_run(lambda run: run.spec.seed),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        layers=of_run(lambda run: list(run.inner_layers)),
        code=code_digest("repair_network"),
    script:
        "../workflow/scripts/repair_network.py"


rule collect_repairs:
    """Collect the repairs of all runs, with their test accuracies."""
    input:
        repairs=expand(LAYOUT.repair, run=[name for name, run in RUNS.items() if run.repaired]),
    output:
        repair=f"{TABLES}/repair.csv",
    log:
        f"{LOGS}/collect_repairs.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        code=code_digest("collect_repairs"),
    script:
        "../workflow/scripts/collect_repairs.py"
