rule extract_activations:
    """Write the activations of every probed layer on every example, at the checkpoints of a shard."""
    input:
        dataset=run_dataset,
        checkpoints=LAYOUT.checkpoints,
        labels=run_labels if STUDY.activations.store == "moments" else [],
    output:
        activations=LAYOUT.activations if STUDY.activations.keep else temp(LAYOUT.activations),
    log:
        f"{LOGS}/extract_activations/{{run}}-{{shard}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("extract_activations")
    resources:
        mem_mb=megabytes("extract_activations"),
        runtime=runtime("extract_activations"),
        gpu=gpus("extract_activations"),
        disk_mb=disk("extract_activations"),
    params:
        threads=threads_of("extract_activations"),
        run="{run}",
        model=of_run(lambda run: plain(run.pair.model)),
        own_code=of_run(lambda run: own_code(run.pair.model)),
        input_range=of_run(lambda run: list(run.pair.dataset.input_range)),
        normalize=of_run(lambda run: run.pair.dataset.normalization),
        layers=of_run(lambda run: list(run.layers)),
        epochs=epochs_of,
        range=[0, 1],
        mode=STUDY.activations.mode,
        dtype=STUDY.activations.dtype,
        mantissa_bits=STUDY.activations.mantissa_bits,
        moments=list(STUDY.fit_labels) if STUDY.activations.store == "moments" else None,
        seed=of_run(lambda run: run.spec.seed if run.moment_bytes else None),
        code=code_digest("extract_activations"),
    script:
        "../workflow/scripts/extract_activations.py"


use rule extract_activations as extract_range with:
    # A range of the examples, of a shard that is divided.
    output:
        activations=LAYOUT.activations_range if STUDY.activations.keep else temp(LAYOUT.activations_range),
    log:
        f"{LOGS}/extract_range/{{run}}-{{shard}}-{{range}}.log",
    threads: threads_of("extract_range")
    resources:
        mem_mb=megabytes("extract_range"),
        runtime=runtime("extract_range"),
        gpu=gpus("extract_range"),
        disk_mb=disk("extract_range"),
    params:
        threads=threads_of("extract_range"),
        range=range_of,
