rule write_report:
    """Write settings and results of the study, with figures and tables, to one HTML file."""
    input:
        tables=TABLE_FILES,
        figures=expand(f"{LAYOUT.figures}/{{figure}}.png", figure=DRAWINGS),
        template=of_project("workflow/scripts/latentgen/report/report.html.j2"),
    output:
        report=LAYOUT.report,
    log:
        f"{LOGS}/write_report.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        study=STUDY.model_dump(mode="json"),
        figures=list(DRAWINGS),
        code=code_digest("write_report"),
    script:
        "../workflow/scripts/write_report.py"
