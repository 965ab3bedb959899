from latentgen.datasets import read_dataset
from latentgen.joblog import job_log
from latentgen.labels import corrupt, write_labels

with job_log(snakemake.log[0], snakemake.input):
    dataset = read_dataset(snakemake.input.dataset)
    labels = corrupt(
        dataset.train_labels,
        dataset.n_classes,
        kind=snakemake.params.kind,
        p=snakemake.params.p,
        generator=snakemake.params.generator,
        seed=snakemake.params.seed,
    )
    write_labels(snakemake.output.labels, labels)
