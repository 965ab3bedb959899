from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.repairing.audit import audit
from latentgen.repairing.runs import read_run
from latentgen.repairing.saving import save_audit
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import atomic_path
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input), atomic_path(snakemake.output.audit) as folder:
    params = snakemake.params
    run = read_run(
        snakemake.input.dataset,
        snakemake.input.labels,
        snakemake.input.checkpoints,
        params.model,
        use_device(params.threads, snakemake.resources),
        input_range=params.input_range,
        layers=params.layers,
        seed=params.seed,
        normalize=params.normalize,
    )
    folder.mkdir()
    save_audit(audit(**run.arguments), folder)

end_process()
