rule corrupt_labels:
    """Redraw some of the training labels at random."""
    input:
        dataset=DATASET,
        files=files_of_noise,
    output:
        labels=LAYOUT.labels,
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
