rule draw_figure:
    """Draw one figure from the tables."""
    input:
        accuracy=f"{TABLES}/accuracy.parquet",
        style="config/figures.mplstyle",
    output:
        pdf=f"{FIGURES}/{{figure}}.pdf",
        png=f"{FIGURES}/{{figure}}.png",
        table=f"{FIGURES}/{{figure}}.csv",
    log:
        f"{LOGS}/draw_figure/{{figure}}.log",
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        kind=lambda wildcards: figure_of(wildcards)[0],
        dataset=lambda wildcards: figure_of(wildcards)[1].dataset.dataset_id,
        model=lambda wildcards: figure_of(wildcards)[1].model.model_name,
        code=code_digest("draw_figure"),
    script:
        "../workflow/scripts/draw_figure.py"
