def files_of_noise(wildcards):
    """Files that a kind of noise is read from, as the human labels of CIFAR-N."""
    run = run_with(wildcards)
    return files_or_refusal(
        lambda: run.noise.input_files(run.pair.dataset.name, data_dir()),
        LABELS.format(**dict(wildcards.items())),
    )


rule corrupt_labels:
    """Redraw some of the training labels at random."""
    input:
        dataset=DATASET,
        files=files_of_noise,
    output:
        labels=LABELS,
    log:
        f"{LOGS}/corrupt_labels/{{dataset}}-{{noise}}-{{label_seed}}.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        noise=lambda wildcards: run_with(wildcards).noise.label_settings,
        own_code=lambda wildcards: own_code(run_with(wildcards).noise),
        p=lambda wildcards: run_with(wildcards).spec.p,
        seed=lambda wildcards: int(wildcards.label_seed),
        code=code_digest("corrupt_labels"),
        versions=versions("numpy"),
    script:
        "../workflow/scripts/corrupt_labels.py"
