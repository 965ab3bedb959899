from latentgen.runtime.startup import fast_imports

fast_imports()

import json
from pathlib import Path

from latentgen.runtime.logs import job_log
from latentgen.tables.columns import BESIDE
from latentgen.tables.gathering import beside_table
from latentgen.tables.reading import read_accuracy, write_parquet

with job_log(snakemake.log[0], snakemake.input):
    accuracy = read_accuracy(snakemake.input.accuracy)
    table = beside_table(accuracy, json.loads(Path(snakemake.input.study).read_text(encoding="utf-8")))
    write_parquet(snakemake.output.beside, table, BESIDE)
