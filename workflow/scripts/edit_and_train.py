from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.interventions.edits import data_for_vectors, edit_readout
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_at, load_network
from latentgen.runtime.devices import use_devices
from latentgen.runtime.files import write_csv, write_json
from latentgen.runtime.logs import end_process, job_log
from latentgen.training.data import training_data, training_identity, weights_identity
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import followers_job, training_processes
from latentgen.training.resuming import resumable

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    devices = use_devices(params.training.get("gpus", 1), params.threads, snakemake.resources)
    device = devices[0]
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    data = training_data(dataset, labels, params.input_range, device, params.normalize)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    start, path = checkpoint_at(snakemake.input.edited, params.at_epoch)
    load_network(network, path)
    other = read_labels(*snakemake.input.another_draw) if snakemake.input.another_draw else None
    source = data_for_vectors(data, params.vectors_from, params.seed, other)
    edit_readout(network, params.edit, source, params.layer, params.seed, params.sign)
    identity = training_identity(dict(params.items()), dataset, labels, device) | weights_identity(network)
    with resumable(snakemake.output.checkpoints, params.run, identity) as resume:
        if not resume.is_done(snakemake.output.training):
            plan = TrainingPlan(**params.training, seed=params.seed, start=start)
            job = followers_job(snakemake.input, params, plan)
            with training_processes(devices, job) as processes:
                result = train(network, data, plan, resume, processes)
            resume.publish_checkpoints(snakemake.output.checkpoints)
            write_csv(snakemake.output.history, result.history_rows())
            write_json(snakemake.output.training, result.summary())
            resume.discard()

end_process()
