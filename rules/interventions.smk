rule edit_and_train:
    """Edit the readout of a checkpoint and continue training with a fresh optimizer."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        edited=original_checkpoints,
        another_draw=another_draw,
    output:
        checkpoints=directory(LAYOUT.checkpoints),
        history=LAYOUT.history,
        training=LAYOUT.training,
    log:
        f"{LOGS}/edit_and_train/{{run}}.log",
    wildcard_constraints:
        run=EDITED_RUN,
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("edit_and_train")
    resources:
        mem_mb=megabytes("edit_and_train"),
        runtime=runtime("edit_and_train"),
        gpu=gpus("edit_and_train"),
    params:
        threads=threads_of("edit_and_train"),
        run="{run}",
        seed=of_run(lambda run: run.spec.seed),
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        layer=of_run(lambda run: run.last_layer),
        edit=of_run(lambda run: run.edit.edit),
        sign=STUDY.velpic_sign,
        vectors_from=of_run(lambda run: run.edit.vectors_from),
        at_epoch=of_run(lambda run: run.edit.at_epoch),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        training=of_run(lambda run: dict(sorted(run.training.items()))),
        code=of_run(lambda run: training_code("edit_and_train", run.training.get("gpus", 1))),
    script:
        "../workflow/scripts/edit_and_train.py"
