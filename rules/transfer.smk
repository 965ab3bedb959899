rule transfer_weights:
    """Write VeLPIC's vectors into the readout and count the edited network's correct predictions."""
    input:
        activations=ACTIVATIONS,
        vectors=LAYOUT.probe_vectors,
        checkpoints=LAYOUT.checkpoints,
        dataset=run_dataset,
        labels=run_labels,
    output:
        accuracy=LAYOUT.transfer_accuracy,
        models=directory(LAYOUT.transfer_models),
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


rule transfer_heads:
    """Write other linear heads into the readout, as a control, and measure calibration."""
    input:
        activations=ACTIVATIONS,
        vectors=LAYOUT.probe_vectors,
        checkpoints=LAYOUT.checkpoints,
        dataset=run_dataset,
        labels=run_labels,
    output:
        accuracy=LAYOUT.heads_accuracy,
        calibration=LAYOUT.heads_calibration,
    log:
        f"{LOGS}/transfer_heads/{{run}}-{{shard}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("transfer_heads")
    resources:
        mem_mb=megabytes("transfer_heads"),
        runtime=runtime("transfer_heads"),
    params:
        threads=threads_of("transfer_heads"),
        run="{run}",
        layer=of_run(lambda run: run.last_layer),
        readout=of_run(lambda run: run.pair.model.readout_name),
        biases=STUDY.transfer and list(STUDY.transfer.bias),
        heads=STUDY.transfer and list(STUDY.transfer.other_heads),
        code=code_digest("transfer_heads"),
    script:
        "../workflow/scripts/transfer_heads.py"


rule collect_calibration:
    """Collect the calibration of all networks with new readouts."""
    input:
        calibrations=for_each_shard(LAYOUT.heads_calibration),
    output:
        calibration=f"{TABLES}/{TABLE_OF_CALIBRATION}",
    log:
        f"{LOGS}/collect_calibration.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        code=code_digest("collect_calibration"),
    script:
        "../workflow/scripts/collect_calibration.py"
