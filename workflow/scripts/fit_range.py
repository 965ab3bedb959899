from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.networks.activation_files import read_activations
from latentgen.networks.ranges import Range
from latentgen.probes.fits import fits_of_job
from latentgen.probes.ranges import fit_range
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_h5
from latentgen.runtime.logs import end_process, job_log
from latentgen.runtime.memory import room_for_activations

with (
    job_log(snakemake.log[0], snakemake.input),
    read_activations(snakemake.input.activations, snakemake.params.run) as activations,
    write_h5(snakemake.output.classes) as file,
):
    given, params = snakemake.input, snakemake.params
    fits, _ = fits_of_job(given, params)
    fit_range(
        file,
        activations,
        fits,
        Range(*params.range),
        device=use_device(params.threads, snakemake.resources),
        room=room_for_activations(snakemake.resources),
    )

end_process()
