from latentgen.runtime.startup import fast_imports

fast_imports()

from pathlib import Path

from latentgen.figures.material import read_material
from latentgen.figures.registry import make_figure
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    tables = Path(snakemake.input.accuracy).parent
    make_figure(
        params.kind,
        read_material(tables, params.dataset, params.model, params.noise, params.compared),
        params.stem,
        n_classes=params.n_classes,
        style=snakemake.input.style,
    )

end_process()
