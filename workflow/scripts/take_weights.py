from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.networks.architectures import make_network
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_csv, write_json
from latentgen.runtime.logs import end_process, job_log
from latentgen.training.data import training_data
from latentgen.training.given_weights import take_weights

with job_log(snakemake.log[0], [snakemake.input.dataset, snakemake.input.labels]):
    params = snakemake.params
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    device = use_device(params.threads, snakemake.resources)
    data = training_data(dataset, labels, params.input_range, device, params.normalize)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    files = dict(zip(params.epochs, snakemake.input.weights, strict=True))
    result = take_weights(network, files, data, params.run, snakemake.output.checkpoints)
    write_csv(snakemake.output.history, result.history_rows())
    write_json(snakemake.output.training, result.summary())

end_process()
