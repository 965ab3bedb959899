from latentgen.runtime.startup import fast_imports

fast_imports()
import json
from pathlib import Path

from latentgen.runtime.logs import job_log
from latentgen.tables.best_layers import best_layers_table, read_published_best_layers
from latentgen.tables.published import fidelity_table, read_published
from latentgen.tables.published_settings import read_published_settings
from latentgen.tables.reading import read_accuracy, read_history, write_csv_table

with job_log(snakemake.log[0]):
    accuracy = read_accuracy(snakemake.input.accuracy)
    table = fidelity_table(
        accuracy,
        read_history(snakemake.input.history),
        read_published(snakemake.input.published),
        json.loads(Path(snakemake.input.study).read_text(encoding="utf-8")),
        read_published_settings(snakemake.input.settings),
    )
    write_csv_table(snakemake.output.fidelity, table)
    best = best_layers_table(accuracy, read_published_best_layers(snakemake.input.best_layers))
    write_csv_table(snakemake.output.best_layers, best)
