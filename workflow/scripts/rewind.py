from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.interventions.rewinding import rewind
from latentgen.networks.architectures import make_network
from latentgen.networks.base import READOUT
from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_csv, write_json
from latentgen.runtime.logs import end_process, job_log
from latentgen.training.data import training_data

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    device = use_device(params.threads, snakemake.resources)
    data = training_data(dataset, labels, params.input_range, device, params.normalize)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    first = params.readout if params.layers_from == READOUT else params.layers_from
    paths = checkpoint_paths(snakemake.input.checkpoints)
    result = rewind(network, paths, params.epochs, first, data)
    write_csv(snakemake.output.history, result.history_rows())
    write_json(snakemake.output.training, result.summary())

end_process()
