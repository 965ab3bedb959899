from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.networks.activation_files import read_activations
from latentgen.networks.checkpoints import save_weights
from latentgen.probes.fits import fits_of_job
from latentgen.probes.fitting import probe_activations
from latentgen.probes.stored_ranges import read_results
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_csv
from latentgen.runtime.logs import end_process, job_log
from latentgen.runtime.memory import room_for_activations

with (
    job_log(snakemake.log[0], snakemake.input),
    read_activations(snakemake.input.activations, snakemake.params.run) as activations,
    read_results(snakemake.input.classes, snakemake.input.scores) as ranges,
):
    given, params = snakemake.input, snakemake.params
    fits, labels = fits_of_job(given, params)
    results = probe_activations(
        activations,
        labels,
        fits,
        device=use_device(params.threads, snakemake.resources),
        room=room_for_activations(snakemake.resources),
        count_train=params.count_train,
        ranges=ranges,
    )
    write_csv(snakemake.output.accuracy, results.rows)
    write_csv(snakemake.output.cost, results.costs)
    save_weights(snakemake.output.vectors, results.vectors)

end_process()
