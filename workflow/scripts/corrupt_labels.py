from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import write_labels
from latentgen.data.noise.registry import corrupt_dataset
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0], [snakemake.input.dataset]):
    labels = corrupt_dataset(
        read_dataset(snakemake.input.dataset),
        snakemake.input.files,
        **snakemake.params.noise,
        p=snakemake.params.p,
        seed=snakemake.params.seed,
    )
    write_labels(snakemake.output.labels, labels)
