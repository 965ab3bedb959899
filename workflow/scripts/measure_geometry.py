from latentgen.runtime.startup import fast_imports

fast_imports()
import json
from pathlib import Path

from latentgen.runtime.logs import job_log
from latentgen.tables.geometry import (
    geometry_table,
    read_published_angles,
    with_energy,
    with_published_angles,
)
from latentgen.tables.published_settings import read_published_settings
from latentgen.tables.reading import read_accuracy, write_csv_table

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    checkpoints = dict(zip(params.networks, map(Path, snakemake.input.checkpoints), strict=True))
    vectors = {run: [Path(file) for file in params.vectors[run]] for run in params.networks}
    table = with_published_angles(
        with_energy(
            geometry_table(vectors, checkpoints, params.networks), read_accuracy(snakemake.input.accuracy)
        ),
        read_published_angles(snakemake.input.published),
        json.loads(Path(snakemake.input.study).read_text(encoding="utf-8")),
        read_published_settings(snakemake.input.settings),
    )
    write_csv_table(snakemake.output.geometry, table)
