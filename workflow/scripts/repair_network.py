from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.repairing.repair import repair
from latentgen.repairing.runs import counts_on_test, read_run
from latentgen.repairing.saving import save_repair
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import atomic_path, write_json
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input), atomic_path(snakemake.output.repair) as folder:
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
    fixed = repair(**run.arguments)
    counts = counts_on_test(fixed, run.network, run.dataset, params.input_range, params.normalize)
    folder.mkdir()
    save_repair(fixed, folder)
    write_json(folder / "test.json", counts)

end_process()
