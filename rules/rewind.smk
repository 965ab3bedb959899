rule rewind:
    """Take the last layers of a network from earlier checkpoints, and count its correct predictions."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        checkpoints=original_checkpoints,
    output:
        history=LAYOUT.history,
        training=LAYOUT.training,
    log:
        f"{LOGS}/rewind/{{run}}.log",
    wildcard_constraints:
        run=one_of(name for name, run in RUNS.items() if run.training_step == "rewind"),
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("rewind")
    resources:
        mem_mb=megabytes("rewind"),
        runtime=runtime("rewind"),
        gpu=gpus("rewind"),
    params:
        threads=threads_of("rewind"),
        epochs=of_run(lambda run: list(run.scheduled)),
        layers_from=of_run(lambda run: run.rewind.layers_from),
        model=of_run(lambda run: plain(run.pair.model)),
        readout=of_run(lambda run: run.pair.model.readout_name),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        code=code_digest("rewind"),
    script:
        "../workflow/scripts/rewind.py"


ruleorder: rewind > train
