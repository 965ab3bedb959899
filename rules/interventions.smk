rule edit_and_train:
    """Edit the readout of a checkpoint and train on, with a fresh optimizer."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        edited=original_checkpoints,
    output:
        checkpoints=directory(CHECKPOINTS),
        history=HISTORY,
        training=TRAINING,
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
    params:
        run="{run}",
        seed=lambda wildcards: run_of(wildcards).spec.seed,
        model=lambda wildcards: plain(run_of(wildcards).pair.model),
        layer=lambda wildcards: run_of(wildcards).last_layer,
        edit=lambda wildcards: run_of(wildcards).edit.edit,
        at_epoch=lambda wildcards: run_of(wildcards).edit.at_epoch,
        input_range=lambda wildcards: list(run_of(wildcards).pair.dataset.input_range),
        training=lambda wildcards: dict(sorted(run_of(wildcards).training.items())),
        code=code_digest("edit_and_train"),
    script:
        "../workflow/scripts/edit_and_train.py"
