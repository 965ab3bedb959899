from latentgen.figures import make_figure
from latentgen.joblog import job_log
from latentgen.tables import ACCURACY, read_parquet

with job_log(snakemake.log[0], snakemake.input):
    make_figure(
        snakemake.params.kind,
        read_parquet(snakemake.input.accuracy, ACCURACY),
        snakemake.params.stem,
        dataset=snakemake.params.dataset,
        model=snakemake.params.model,
        noise=snakemake.params.noise,
        n_classes=snakemake.params.n_classes,
        style=snakemake.input.style,
    )
