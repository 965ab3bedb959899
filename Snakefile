# Latent generalization during memorization, from a data set to figures:
#   snakemake --cores all --configfile config/digits.yaml
# Data flows one way: datasets → labels → training → activations → probes → transfer → tables → figures.
# Each step is a file in rules/ and a script in workflow/scripts/ with the name of its rule.
from snakemake.utils import min_version

min_version("9.27")


report: "workflow/report/study.rst"


include: "rules/common.smk"


if DRAW_FROM_TABLES:
    say(f"Figures are drawn from the tables in {TABLES}; nothing is computed.")
else:

    include: "rules/datasets.smk"
    include: "rules/labels.smk"
    include: "rules/training.smk"
    include: "rules/weights.smk"
    include: "rules/interventions.smk"
    include: "rules/relabel.smk"
    include: "rules/rewind.smk"
    include: "rules/activations.smk"
    include: "rules/probes.smk"
    include: "rules/transfer.smk"
    include: "rules/audit.smk"
    include: "rules/repair.smk"
    include: "rules/tables.smk"


include: "rules/cost.smk"
include: "rules/figures.smk"
include: "rules/report.smk"
include: "rules/export.smk"


rule all:
    """All results of a study: tables and figures."""
    default_target: True
    input:
        tables=TABLE_FILES,
        figures=FIGURE_FILES,
    localrule: True


rule tables:
    """The tables, without the figures."""
    input:
        TABLE_FILES,
    localrule: True


rule figures:
    """The figures; if the tables exist, nothing else is computed."""
    input:
        FIGURE_FILES,
    localrule: True


rule report:
    """Settings and results of the study on one self-contained page."""
    input:
        LAYOUT.report,
    localrule: True


rule export:
    """The study as one archive, from which figures can be redrawn: make figures FROM=…"""
    input:
        LAYOUT.archive,
    localrule: True


onstart:
    refuse_what_cannot_run()
