from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.custom import custom_info
from latentgen.data.datasets import subset, write_dataset
from latentgen.data.registry import data_dir, dataset_info
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    info = custom_info(params.name, **params.own) if params.own else dataset_info(params.name)
    dataset = subset(
        info.read(info, data_dir(), True), params.train_items, params.test_items, params.held_out
    )
    write_dataset(snakemake.output.dataset, dataset)
