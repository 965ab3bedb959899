from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import evaluation_labels, fitting_labels, read_labels
from latentgen.networks.activation_files import check_run
from latentgen.networks.checkpoints import checkpoint_paths, save_weights
from latentgen.probes.fitting import probe_activations
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import read_h5, write_csv
from latentgen.runtime.logs import end_process, job_log
from latentgen.runtime.memory import room_for_activations

with job_log(snakemake.log[0], snakemake.input), read_h5(snakemake.input.activations) as activations:
    check_run(activations, snakemake.params.run)
    dataset = read_dataset(snakemake.input.dataset, split="test")
    labels = read_labels(snakemake.input.labels)
    others = {
        name: read_labels(path).corrupted
        for name, path in zip(snakemake.params.others, snakemake.input.others, strict=True)
    }
    results = probe_activations(
        activations,
        evaluation_labels(labels, dataset.test_labels),
        dataset.n_classes,
        probes=snakemake.params.probes,
        fit_labels=fitting_labels(labels, snakemake.params.fit_labels, snakemake.params.seed),
        fit_labels_at_end=others,
        final_epoch=max(checkpoint_paths(snakemake.input.checkpoints)),
        device=use_device(snakemake.params.threads, snakemake.resources),
        count_train=snakemake.params.count_train,
        room=room_for_activations(snakemake.resources),
    )
    write_csv(snakemake.output.accuracy, results.rows)
    write_csv(snakemake.output.cost, results.costs)
    save_weights(snakemake.output.vectors, results.vectors)

end_process()
