rule collect_tables:
    """Collect the counts of all runs, in all and by class; summarize peaks and ends, and test differences."""
    input:
        datasets=sorted({DATASET.format(dataset=run.spec.dataset) for run in RUNS.values()}),
        trainings=expand(LAYOUT.training, run=RUNS),
        histories=expand(LAYOUT.history, run=RUNS),
        probes=for_each_shard(LAYOUT.probe_accuracy),
        costs=for_each_shard(LAYOUT.probe_cost),
        transfers=for_each_shard(LAYOUT.transfer_accuracy) if STUDY.transfer else [],
        heads=for_each_shard(LAYOUT.heads_accuracy) if STUDY.transfer and STUDY.transfer.other_heads else [],
    output:
        accuracy=f"{TABLES}/accuracy.parquet",
        history=f"{TABLES}/history.parquet",
        summary=report(f"{TABLES}/summary.csv", caption="../workflow/report/summary.rst", category="Tables"),
        comparisons=f"{TABLES}/comparisons.csv",
        cost=f"{TABLES}/cost.csv",
        classes=f"{TABLES}/{TABLE_OF_CLASSES}",
        study=f"{TABLES}/study.json",
        provenance=f"{TABLES}/provenance.json",
    log:
        f"{LOGS}/collect_tables.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: f"{30 * attempt}m",
    params:
        runs=list(RUNS),
        study=tables_study(STUDY),
        named=named_settings(STUDY),
        logs=LOGS,
        steps=list(BEFORE_TABLES),
        kept={"labels": f"{LAYOUT.results}/labels", "runs": f"{LAYOUT.results}/runs"},
        code=code_digest("collect_tables"),
    script:
        "../workflow/scripts/collect_tables.py"


rule compare_published:
    """Compare the papers' numbers with ours, cell by cell."""
    input:
        accuracy=f"{TABLES}/accuracy.parquet",
        history=f"{TABLES}/history.parquet",
        study=f"{TABLES}/study.json",
        published=of_project("resources/published/accuracy.csv.gz"),
        settings=of_project("resources/published/settings.json"),
        best_layers=of_project("resources/published/best_layers.csv"),
    output:
        fidelity=f"{TABLES}/fidelity.csv",
        best_layers=f"{TABLES}/best_layers.csv",
    log:
        f"{LOGS}/compare_published.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 2000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        code=code_digest("compare_published"),
    script:
        "../workflow/scripts/compare_published.py"


if STUDY.compare_with:

    rule compare_study:
        """Copy the accuracies of another study, to draw them beside this study's."""
        input:
            accuracy=f"{STUDY.compare_with}/accuracy.parquet",
            study=f"{STUDY.compare_with}/study.json",
        output:
            beside=f"{TABLES}/beside.parquet",
        log:
            f"{LOGS}/compare_study.log",
        conda:
            "../envs/latentgen.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: f"{10 * attempt}m",
        params:
            code=code_digest("compare_study"),
        script:
            "../workflow/scripts/compare_study.py"


UNEDITED = {
    name: run for name, run in RUNS.items() if run.intervention is None and run.pair.model.has_readout
}


if "geometry" in STUDY.figures:

    rule measure_geometry:
        """Measure angles between VeLPIC's vectors, the readout's rows, and vectors from true labels; add energies."""
        input:
            vectors=for_each_shard(LAYOUT.probe_vectors, runs=UNEDITED),
            checkpoints=expand(LAYOUT.checkpoints, run=UNEDITED),
            accuracy=f"{TABLES}/accuracy.parquet",
            study=f"{TABLES}/study.json",
            published=of_project("resources/published/readout_angle.csv"),
            settings=of_project("resources/published/settings.json"),
        output:
            geometry=f"{TABLES}/geometry.csv",
        log:
            f"{LOGS}/measure_geometry.log",
        conda:
            "../envs/latentgen.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: 2000 * attempt,
            runtime=lambda wildcards, attempt: f"{30 * attempt}m",
        params:
            vectors={
                name: for_each_shard(LAYOUT.probe_vectors, runs={name: run})
                for name, run in UNEDITED.items()
            },
            networks={
                name: {
                    "layers": list(run.layers),
                    "last_layer": run.last_layer,
                    "readout": run.pair.model.readout_name,
                }
                for name, run in UNEDITED.items()
            },
            code=code_digest("measure_geometry"),
        script:
            "../workflow/scripts/measure_geometry.py"
