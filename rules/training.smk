rule train:
    """Train a network on the corrupted labels and keep its weights at the scheduled epochs."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        start=start_weights,
    output:
        checkpoints=directory(LAYOUT.checkpoints),
        history=LAYOUT.history,
        training=LAYOUT.training,
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
        gpu=gpus("train"),
    params:
        threads=threads_of("train"),
        run="{run}",
        seed=of_run(lambda run: run.spec.seed),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        initial_weights=of_run(lambda run: "run_seed" if run.start else run.pair.initial_weights),
        start=of_run(lambda run: run.start),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        training=of_run(lambda run: dict(sorted(run.training.items()))),
        code=of_run(lambda run: training_code("train", run.training.get("gpus", 1))),
        versions=versions("numpy", "torch"),
    script:
        "../workflow/scripts/train.py"
