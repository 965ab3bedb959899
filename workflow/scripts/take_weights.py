from latentgen.datasets import read_dataset
from latentgen.devices import use_device
from latentgen.files import write_csv, write_json
from latentgen.joblog import end_process, job_log
from latentgen.labels import read_labels
from latentgen.models import make_network
from latentgen.own_weights import take_weights
from latentgen.training import training_data

with job_log(snakemake.log[0], [snakemake.input.dataset, snakemake.input.labels]):
    params = snakemake.params
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    device = use_device(snakemake.threads, snakemake.resources)
    data = training_data(dataset, labels, params.input_range, device)
    network = make_network(params.model, dataset.image_shape, dataset.n_classes).to(device)
    files = dict(zip(params.epochs, snakemake.input.weights, strict=True))
    result = take_weights(network, files, data, params.run, snakemake.output.checkpoints)
    write_csv(snakemake.output.history, result.history_rows())
    write_json(snakemake.output.training, result.summary())

end_process()
