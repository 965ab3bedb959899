from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels, write_labels
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths, load_network
from latentgen.networks.forward import as_input
from latentgen.repairing.relabelling import relabel
from latentgen.runtime.devices import use_device
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    device = use_device(params.threads, snakemake.resources)
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    network = make_network(params.model, dataset.image_shape, dataset.n_classes).to(device)
    paths = checkpoint_paths(snakemake.input.checkpoints)
    load_network(network, paths[max(paths)])
    inputs, held_out = (
        None if images is None else as_input(images, dataset.max_value, params.input_range, device)
        for images in (dataset.train_images, dataset.held_out and dataset.held_out.images)
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
