from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels, write_labels
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_network
from latentgen.repairing.relabelling import deciding_examples, relabel
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_csv
from latentgen.runtime.logs import end_process, job_log
from latentgen.training.data import training_data

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    device = use_device(params.threads, snakemake.resources)
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    data = training_data(dataset, labels, params.input_range, device, params.normalize)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    paths = checkpoint_paths(snakemake.input.checkpoints)
    load_network(network, paths[max(paths)])
    found = relabel(
        network,
        data.train_inputs,
        labels,
        dataset.n_classes,
        params.layers,
        labels_from=params.labels_from,
        deciding=deciding_examples(data, params.layer_by, params.seed),
        seed=params.seed,
        subspaces=params.subspaces,
    )
    write_labels(snakemake.output.labels, found.labels, {"layer": found.layer})
    write_csv(snakemake.output.quality, found.quality)

end_process()
