rule take_weights:
    """Take trained weights as the checkpoints of a run, and count what the network classifies correctly."""
    input:
        dataset=run_dataset,
        labels=run_labels,
        weights=lambda wildcards: run_of(wildcards).weight_files,
    output:
        checkpoints=directory(CHECKPOINTS),
        history=HISTORY,
        training=TRAINING,
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
    params:
        run="{run}",
        epochs=lambda wildcards: list(run_of(wildcards).scheduled),
        model=lambda wildcards: plain(run_of(wildcards).pair.model),
        own_code=lambda wildcards: own_code(run_of(wildcards).pair.model),
        input_range=lambda wildcards: list(run_of(wildcards).pair.dataset.input_range),
        code=code_digest("take_weights"),
    script:
        "../workflow/scripts/take_weights.py"


ruleorder: take_weights > train
