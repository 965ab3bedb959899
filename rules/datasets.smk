rule prepare_dataset:
    """Read a data set, check it, and write it in the format that all other steps read."""
    input:
        files=input_files_of_dataset,
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/prepare_dataset/{{dataset}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: lambda wildcards: MOST_THREADS if dataset_of(wildcards).own else 1
    resources:
        mem_mb=lambda wildcards, attempt: attempt * dataset_of(wildcards).megabytes,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        other_files=other_files_of_dataset,
        own=lambda wildcards: (own := dataset_of(wildcards).own) and plain(own),
        own_code=lambda wildcards: own_code(*filter(None, [dataset_of(wildcards).own])),
        name=lambda wildcards: dataset_of(wildcards).name,
        reshaping=lambda wildcards: dataset_of(wildcards).reshaping,
        train_items=lambda wildcards: dataset_of(wildcards).train_items,
        test_items=lambda wildcards: dataset_of(wildcards).test_items,
        held_out=lambda wildcards: dataset_of(wildcards).n_held_out_inputs,
        code=code_digest("prepare_dataset"),
        versions=versions("numpy", "scikit-learn"),
    script:
        "../workflow/scripts/prepare_dataset.py"
