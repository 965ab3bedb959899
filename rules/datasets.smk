from snakemake.io import contains_wildcard


def files_or_refusal(input_files, output):
    """Files that a job is to read; if they are missing, a refusal, unless what was read from them is there.

    Then a path that does not exist is returned: Snakemake keeps an output whose inputs are missing.
    """
    try:
        return input_files()
    except LatentgenError as error:
        if Path(output).exists():
            return [f"{output}.sources-are-missing"]
        raise WorkflowError(str(error)) from None


def files_of_dataset(wildcards):
    """Files whose change means that a data set is to be read again."""
    info = dataset_of(wildcards).info
    return files_or_refusal(
        lambda: info.input_files(info, data_dir()), DATASET.format(dataset=wildcards.dataset)
    )


def input_files_of_dataset(wildcards):
    """The files of a data set that can be inputs."""
    return [file for file in files_of_dataset(wildcards) if not contains_wildcard(file)]


def other_files_of_dataset(wildcards):
    """Size and time of files that cannot be inputs, since Snakemake takes braces in their names for a wildcard."""
    states = {str(file): file.stat() for file in files_of_dataset(wildcards) if contains_wildcard(file)}
    return {name: [state.st_size, state.st_mtime_ns] for name, state in states.items()}


rule prepare_dataset:
    """Read a data set, check it, and write it in the one form that all other steps read."""
    input:
        files=input_files_of_dataset,
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
        other_files=other_files_of_dataset,
        own=lambda wildcards: (own := dataset_of(wildcards).own) and plain(own),
        own_code=lambda wildcards: own_code(*filter(None, [dataset_of(wildcards).own])),
        name=lambda wildcards: dataset_of(wildcards).name,
        train_items=lambda wildcards: dataset_of(wildcards).train_items,
        test_items=lambda wildcards: dataset_of(wildcards).test_items,
        code=code_digest("prepare_dataset"),
        versions=versions("numpy", "scikit-learn"),
    script:
        "../workflow/scripts/prepare_dataset.py"
