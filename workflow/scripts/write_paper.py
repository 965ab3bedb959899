from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.report.paper import write_page
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0], snakemake.input):
    write_page(
        snakemake.output.page,
        snakemake.output.fidelity,
        dict(zip(snakemake.params.pairs, snakemake.input.folders, strict=True)),
        published=snakemake.input.published,
        template=snakemake.input.template,
        look=snakemake.input.look,
    )
