from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import evaluation_labels, read_labels
from latentgen.networks.activation_files import read_activations
from latentgen.networks.checkpoints import save_weights
from latentgen.probes.fits import fits_of_run
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
    dataset = read_dataset(given.dataset, split="test")
    labels = read_labels(given.labels)
    others = dict(zip(params.others, given.others, strict=True))
    fits = fits_of_run(
        labels, dataset.n_classes, params.probes, params.fit_labels, params.seed, given.checkpoints, others
    )
    results = probe_activations(
        activations,
        evaluation_labels(labels, dataset.test_labels),
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
