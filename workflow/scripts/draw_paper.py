from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.report.paper import draw_pair
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    draw_pair(snakemake.output.folder, params.pair, params.published, params.sources)
