rule train:
    """Train a network on the corrupted labels and keep its weights at the scheduled epochs."""
    input:
        dataset=run_dataset,
        labels=run_labels,
    output:
        checkpoints=directory(CHECKPOINTS),
        history=HISTORY,
        training=TRAINING,
    log:
        f"{LOGS}/train/{{run}}.log",
    wildcard_constraints:
        run=rf"(?!{EDITED_RUN})[^/]+",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("train")
    resources:
        mem_mb=megabytes("train"),
        runtime=runtime("train"),
    params:
        run="{run}",
        seed=lambda wildcards: run_of(wildcards).spec.seed,
        model=lambda wildcards: plain(run_of(wildcards).pair.model),
        initial_weights=lambda wildcards: run_of(wildcards).pair.initial_weights,
        input_range=lambda wildcards: list(run_of(wildcards).pair.dataset.input_range),
        training=lambda wildcards: dict(sorted(run_of(wildcards).training.items())),
        code=code_digest("train"),
        versions=versions("numpy", "torch"),
    script:
        "../workflow/scripts/train.py"
