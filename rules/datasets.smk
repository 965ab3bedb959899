def files_of_dataset(wildcards):
    """Files whose change means that a data set is to be read again. A missing one is reported only if it is needed."""
    info = dataset_of(wildcards).info
    try:
        return info.input_files(info, data_dir())
    except LatentgenError as error:
        if Path(DATASET.format(dataset=wildcards.dataset)).exists():
            return []
        raise WorkflowError(str(error)) from None


rule prepare_dataset:
    """Read a data set, check it, and write it in the one form that all other steps read."""
    input:
        files=files_of_dataset,
    output:
        dataset=DATASET,
    log:
        f"{LOGS}/prepare_dataset/{{dataset}}.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * dataset_of(wildcards).megabytes,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        own=lambda wildcards: (own := dataset_of(wildcards).own) and plain(own),
        own_code=lambda wildcards: own_code(*filter(None, [dataset_of(wildcards).own])),
        name=lambda wildcards: dataset_of(wildcards).name,
        train_items=lambda wildcards: dataset_of(wildcards).train_items,
        test_items=lambda wildcards: dataset_of(wildcards).test_items,
        code=code_digest("prepare_dataset"),
        versions=versions("numpy", "scikit-learn"),
    script:
        "../workflow/scripts/prepare_dataset.py"
