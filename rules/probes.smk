PROBE_MODULES = sorted({probe.estimator_path.partition(":")[0] for probe in STUDY.probes})
PROBING = {
    "run": "{run}",
    "probes": {
        probe.probe_name: plain(probe) | {"estimator": probe.estimator_path} for probe in STUDY.probes
    },
    "own_code": own_code(*STUDY.probes),
    "fit_labels": [name for name in STUDY.fit_labels if name != "every_p"],
    "others": of_run(lambda run: list(run.other_labels)),
    "seed": of_run(lambda run: run.spec.seed),
}


rule fit_probes:
    """Fit every probe on every layer at every checkpoint of a shard, and count its correct predictions."""
    input:
        activations=ACTIVATIONS,
        classes=all_ranges(LAYOUT.classes_range),
        scores=all_ranges(LAYOUT.scores_range),
        checkpoints=LAYOUT.checkpoints,
        dataset=run_dataset,
        labels=run_labels,
        others=other_labels,
    output:
        accuracy=LAYOUT.probe_accuracy,
        vectors=LAYOUT.probe_vectors,
        cost=LAYOUT.probe_cost,
    log:
        f"{LOGS}/fit_probes/{{run}}-{{shard}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("fit_probes")
    resources:
        mem_mb=megabytes("fit_probes"),
        runtime=runtime("fit_probes"),
        gpu=gpus("fit_probes"),
    params:
        **PROBING,
        threads=threads_of("fit_probes"),
        count_train=STUDY.activations.count_train,
        code=code_digest("fit_probes", *PROBE_MODULES),
    script:
        "../workflow/scripts/fit_probes.py"


rule fit_range:
    """Decompose a range of the classes for the probes on subspaces, of a shard that is divided."""
    input:
        activations=ACTIVATIONS,
        checkpoints=LAYOUT.checkpoints,
        dataset=run_dataset,
        labels=run_labels,
        others=other_labels,
    output:
        classes=temp(LAYOUT.classes_range),
    log:
        f"{LOGS}/fit_range/{{run}}-{{shard}}-{{range}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("fit_range")
    resources:
        mem_mb=megabytes("fit_range"),
        runtime=runtime("fit_range"),
        gpu=gpus("fit_range"),
        disk_mb=disk("fit_range"),
    params:
        **PROBING,
        threads=threads_of("fit_range"),
        range=range_of,
        code=code_digest("fit_range", *PROBE_MODULES),
    script:
        "../workflow/scripts/fit_range.py"


rule score_range:
    """Predict a range of the examples with the probes on subspaces, of a shard that is divided."""
    input:
        activations=LAYOUT.activations_range,
        classes=all_ranges(LAYOUT.classes_range),
        checkpoints=LAYOUT.checkpoints,
        dataset=run_dataset,
        labels=run_labels,
        others=other_labels,
    output:
        scores=temp(LAYOUT.scores_range),
    log:
        f"{LOGS}/score_range/{{run}}-{{shard}}-{{range}}.log",
    conda:
        "../envs/latentgen.yaml"
    threads: threads_of("score_range")
    resources:
        mem_mb=megabytes("score_range"),
        runtime=runtime("score_range"),
        gpu=gpus("score_range"),
        disk_mb=disk("score_range"),
    params:
        **PROBING,
        threads=threads_of("score_range"),
        range=range_of,
        count_train=STUDY.activations.count_train,
        code=code_digest("score_range", *PROBE_MODULES),
    script:
        "../workflow/scripts/score_range.py"
