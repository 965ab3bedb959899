from latentgen.checkpoints import checkpoint_at, checkpoint_folder, load_network
from latentgen.datasets import read_dataset
from latentgen.devices import use_device
from latentgen.files import write_csv, write_json
from latentgen.interventions import edit_readout
from latentgen.joblog import job_log
from latentgen.labels import read_labels
from latentgen.models import make_network
from latentgen.training import train, training_data

with job_log(snakemake.log[0]):
    params = snakemake.params
    device = use_device(snakemake.threads)
    dataset = read_dataset(snakemake.input.dataset)
    data = training_data(dataset, read_labels(snakemake.input.labels), params.input_range, device)
    network = make_network(params.model, dataset.image_shape, dataset.n_classes).to(device)
    start, path = checkpoint_at(snakemake.input.edited, params.at_epoch)
    load_network(network, path)
    edit_readout(network, params.edit, data, params.layer, params.seed)
    with checkpoint_folder(snakemake.output.checkpoints, params.run) as save:
        result = train(network, data, **params.training, seed=params.seed, save=save, start=start)
    write_csv(snakemake.output.history, result.history_rows())
    write_json(snakemake.output.training, result.summary())
