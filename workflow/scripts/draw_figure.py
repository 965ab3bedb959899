from latentgen.runtime.startup import fast_imports

fast_imports()

from pathlib import Path

from latentgen.figures.making import make_figure
from latentgen.figures.material import read_material
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    tables = Path(snakemake.input.accuracy).parent
    make_figure(
        read_material(tables, params.dataset, params.model, params.noise, params.compared),
        params.stem,
        **params.figure,
        n_classes=params.n_classes,
        style=snakemake.input.style,
    )

end_process()
