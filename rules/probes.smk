rule fit_probes:
    """Fit every probe on every layer at every checkpoint of a shard, and count its correct predictions."""
    input:
        activations=LAYOUT.activations,
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
        threads=threads_of("fit_probes"),
        run="{run}",
        probes={
            probe.probe_name: plain(probe) | {"estimator": probe.estimator_path} for probe in STUDY.probes
        },
        own_code=own_code(*STUDY.probes),
        fit_labels=[name for name in STUDY.fit_labels if name != "every_p"],
        others=of_run(lambda run: list(run.other_labels)),
        seed=of_run(lambda run: run.spec.seed),
        count_train=STUDY.activations.count_train,
        code=code_digest(
            "fit_probes", *sorted({probe.estimator_path.partition(":")[0] for probe in STUDY.probes})
        ),
    script:
        "../workflow/scripts/fit_probes.py"
