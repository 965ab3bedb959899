# The papers' figures on one page, results/paper/index.html; run by `make paper`. Nothing is trained. They
# are drawn from resources/published/ and the archives in resources/reference/, or the user's own studies of
# the papers.
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

sys.path.insert(0, str(Path(workflow.basedir) / "scripts"))

from latentgen.errors import LatentgenError
from latentgen.report.paper import PAIRS, find_sources
from latentgen.runtime.code_digest import code_digest

LIBRARY = "workflow/scripts/latentgen"
PUBLISHED = "resources/published"
FOLDERS = {pair.replace(" ", "-"): pair for pair in PAIRS}

try:
    SOURCES = find_sources("resources/reference")
except LatentgenError as error:
    raise WorkflowError(str(error)) from None


def sources_of(wildcards):
    return [source for source in SOURCES if FOLDERS[wildcards.pair] in source.pairs]


rule paper:
    """The page with every figure."""
    input:
        "results/paper/index.html",
    localrule: True


rule draw_paper:
    """Draw the figures of one of the papers' pairs."""
    input:
        published=[
            f"{PUBLISHED}/{name}" for name in ("accuracy.csv.gz", "readout_angle.csv", "best_layers.csv")
        ],
        results=lambda wildcards: [str(file) for source in sources_of(wildcards) for file in source.files],
        style=f"{LIBRARY}/figures/latentgen.mplstyle",
    output:
        folder=directory("results/paper/pairs/{pair}"),
    log:
        "results/paper/logs/draw_paper/{pair}.log",
    conda:
        "../envs/latentgen.yaml"
    params:
        pair=lambda wildcards: FOLDERS[wildcards.pair],
        sources=lambda wildcards: [str(source.path) for source in sources_of(wildcards)],
        published=PUBLISHED,
        code=code_digest("draw_paper"),
    script:
        "scripts/draw_paper.py"


rule write_paper:
    """Write the self-contained page, and the table of all compared numbers."""
    input:
        folders=expand("results/paper/pairs/{pair}", pair=FOLDERS),
        published=f"{PUBLISHED}/accuracy.csv.gz",
        template=f"{LIBRARY}/report/paper.html.j2",
        look=f"{LIBRARY}/report/report.html.j2",
    output:
        page="results/paper/index.html",
        fidelity="results/paper/fidelity.csv",
    log:
        "results/paper/logs/write_paper.log",
    conda:
        "../envs/latentgen.yaml"
    params:
        pairs=list(FOLDERS.values()),
        code=code_digest("write_paper"),
    script:
        "scripts/write_paper.py"
