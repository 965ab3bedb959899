rule export_study:
    """Pack tables, study and figures into one archive, from which the figures can be drawn anywhere."""
    input:
        tables=TABLE_FILES,
        figures=FIGURE_FILES,
    output:
        archive=LAYOUT.archive,
    log:
        f"{LOGS}/export_study.log",
    conda:
        "../envs/latentgen.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: 1000 * attempt,
        runtime=lambda wildcards, attempt: f"{10 * attempt}m",
    params:
        study=STUDY.model_dump(mode="json"),
        code=code_digest("export_study"),
    script:
        "../workflow/scripts/export_study.py"
