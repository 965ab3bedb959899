rule relabel:
    """Let MASC, on a layer of a trained network, say what the training items are."""
    input:
        dataset=run_dataset,
        labels=corrupted_labels,
        checkpoints=original_checkpoints,
    output:
        labels=RELABELLED,
    log:
        f"{LOGS}/relabel/{{run}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("relabel")
    resources:
        mem_mb=megabytes("relabel"),
        runtime=runtime("relabel"),
    params:
        model=lambda wildcards: plain(run_of(wildcards).pair.model),
        input_range=lambda wildcards: list(run_of(wildcards).pair.dataset.input_range),
        layers=lambda wildcards: list(run_of(wildcards).relabel_layers),
        code=code_digest("relabel"),
    script:
        "../workflow/scripts/relabel.py"
