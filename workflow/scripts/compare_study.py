from latentgen.runtime.startup import fast_imports

fast_imports()

import json
from pathlib import Path

from latentgen.runtime.logs import job_log
from latentgen.tables.gathering import ACCURACY, BESIDE, beside_table, read_parquet, write_parquet

with job_log(snakemake.log[0], snakemake.input):
    accuracy = read_parquet(snakemake.input.accuracy, ACCURACY)
    table = beside_table(accuracy, json.loads(Path(snakemake.input.study).read_text(encoding="utf-8")))
    write_parquet(snakemake.output.beside, table, BESIDE)
