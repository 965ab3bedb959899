from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import data_dir, read_dataset
from latentgen.data.labels import corrupt_dataset, write_labels
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0], snakemake.input):
    labels = corrupt_dataset(
        read_dataset(snakemake.input.dataset),
        data_dir(),
        **snakemake.params.noise,
        p=snakemake.params.p,
        seed=snakemake.params.seed,
    )
    write_labels(snakemake.output.labels, labels)
