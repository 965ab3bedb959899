from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.custom import info_of
from latentgen.data.datasets import subset, write_dataset
from latentgen.data.registry import data_dir
from latentgen.runtime.logs import job_log

with job_log(snakemake.log[0]):
    params = snakemake.params
    info = info_of(params.name, params.own, params.reshaping)
    dataset = subset(
        info.read(info, data_dir(), True), params.train_items, params.test_items, params.held_out
    )
    write_dataset(snakemake.output.dataset, dataset)
