rule take_weights:
    """Use trained weights as the checkpoints of a run, and count the network's correct predictions."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        weights=of_run(lambda run: run.weight_files),
    output:
        checkpoints=directory(LAYOUT.checkpoints),
        history=LAYOUT.history,
        training=LAYOUT.training,
    log:
        f"{LOGS}/take_weights/{{run}}.log",
    wildcard_constraints:
        run=one_of(name for name, run in RUNS.items() if run.training_step == "take_weights"),
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("take_weights")
    resources:
        mem_mb=megabytes("take_weights"),
        runtime=runtime("take_weights"),
        gpu=gpus("take_weights"),
    params:
        threads=threads_of("take_weights"),
        run="{run}",
        epochs=of_run(lambda run: list(run.scheduled)),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        code=code_digest("take_weights"),
    script:
        "../workflow/scripts/take_weights.py"


ruleorder: take_weights > train
