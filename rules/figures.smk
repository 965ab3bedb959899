rule draw_figure:
    """Draw one figure from the tables."""
    input:
        accuracy=f"{TABLES}/accuracy.parquet",
        fidelity=f"{TABLES}/fidelity.csv",
        cost=f"{TABLES}/cost.csv",
        further=lambda wildcards: (
            [f"{TABLES}/{name}"] if (name := figure_of(wildcards).kind.further_table) else []
        ),
        style=of_project("workflow/scripts/latentgen/figures/latentgen.mplstyle"),
    output:
        pdf=f"{LAYOUT.figures}/{{figure}}.pdf",
        png=report(
            f"{LAYOUT.figures}/{{figure}}.png",
            caption="../workflow/report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        table=f"{LAYOUT.figures}/{{figure}}.csv",
    log:
        f"{LOGS}/draw_figure/{{figure}}.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        stem=f"{LAYOUT.figures}/{{figure}}",
        figure=lambda wildcards: figure_of(wildcards).kind.code,
        own_code=lambda wildcards: own_code(*filter(None, [figure_of(wildcards).custom])),
        dataset=lambda wildcards: figure_of(wildcards).pair.dataset.dataset_id,
        model=lambda wildcards: figure_of(wildcards).pair.model.model_name,
        noise=lambda wildcards: figure_of(wildcards).noise.noise_name,
        n_classes=lambda wildcards: figure_of(wildcards).pair.dataset.info.n_classes,
        compared=lambda wildcards: figure_of(wildcards).kind.name == "protocols",
        code=lambda wildcards: code_digest("draw_figure", *figure_of(wildcards).kind.modules),
    script:
        "../workflow/scripts/draw_figure.py"
