rule transfer_weights:
    """Put VeLPIC's vectors into the readout and count what the edited network classifies correctly."""
    input:
        activations=ACTIVATIONS,
        vectors=PROBE_VECTORS,
        checkpoints=CHECKPOINTS,
        dataset=run_dataset,
        labels=run_labels,
    output:
        accuracy=TRANSFER_ACCURACY,
        models=directory(TRANSFER_MODELS),
    log:
        f"{LOGS}/transfer_weights/{{run}}-{{shard}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("transfer_weights")
    resources:
        mem_mb=megabytes("transfer_weights"),
        runtime=runtime("transfer_weights"),
    params:
        threads=threads_of("transfer_weights"),
        run="{run}",
        layer=of_run(lambda run: run.last_layer),
        readout=of_run(lambda run: run.pair.model.readout_name),
        biases=STUDY.transfer and list(STUDY.transfer.bias),
        keep_models_at=STUDY.transfer and list(STUDY.transfer.keep_models_at),
        code=code_digest("transfer_weights"),
    script:
        "../workflow/scripts/transfer_weights.py"
