from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.networks.architectures import make_network
from latentgen.runtime.devices import use_devices
from latentgen.runtime.files import write_csv, write_json
from latentgen.runtime.logs import end_process, job_log
from latentgen.training.data import training_data, training_identity, weights_identity
from latentgen.training.initial_weights import start_from
from latentgen.training.loop import train
from latentgen.training.plan import TrainingPlan
from latentgen.training.processes import followers_job, training_processes
from latentgen.training.resuming import resumable

with job_log(snakemake.log[0], snakemake.input):
    params = snakemake.params
    plan = TrainingPlan(**params.training, seed=params.seed)
    devices = use_devices(plan.gpus, params.threads, snakemake.resources)
    device = devices[0]
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    data = training_data(dataset, labels, params.input_range, device, params.normalize)
    network = make_network(
        params.model, dataset.input_shape, dataset.n_classes, params.seed, params.initial_weights
    ).to(device)
    identity = training_identity(dict(params.items()), dataset, labels, device)
    if params.start:
        start_from(network, snakemake.input.start, **params.start)
        identity |= weights_identity(network)
    with resumable(snakemake.output.checkpoints, params.run, identity) as resume:
        if not resume.is_done(snakemake.output.training):
            job = followers_job(snakemake.input, params, plan)
            with training_processes(devices, job) as processes:
                result = train(network, data, plan, resume, processes)
            resume.publish_checkpoints(snakemake.output.checkpoints)
            write_csv(snakemake.output.history, result.history_rows())
            write_json(snakemake.output.training, result.summary())
            resume.discard()

end_process()
