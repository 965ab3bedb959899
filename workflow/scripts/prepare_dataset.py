from latentgen.datasets import data_dir, load_dataset, subset, write_dataset
from latentgen.joblog import job_log

with job_log(snakemake.log[0]):
    dataset = load_dataset(snakemake.params.name, data_dir())
    dataset = subset(dataset, snakemake.params.train_items, snakemake.params.test_items)
    write_dataset(snakemake.output.dataset, dataset)
