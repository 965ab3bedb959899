from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels, write_labels
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_network
from latentgen.networks.forward import dataset_inputs
from latentgen.repairing.relabelling import relabel
from latentgen.runtime.devices import use_device
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    device = use_device(params.threads, snakemake.resources)
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    paths = checkpoint_paths(snakemake.input.checkpoints)
    load_network(network, paths[max(paths)])
    inputs, held_out = (
        dataset_inputs(dataset, split, params.input_range, device, params.normalize) if there else None
        for split, there in (("train", True), ("held_out", dataset.held_out is not None))
    )
    relabelled, layer = relabel(
        network,
        inputs,
        labels,
        dataset.n_classes,
        params.layers,
        labels_from=params.labels_from,
        held_out=held_out,
        seed=params.seed,
    )
    write_labels(snakemake.output.labels, relabelled, {"layer": layer})

end_process()
