from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import read_labels
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.repairing.audit import audit
from latentgen.repairing.runs import arguments_of_run
from latentgen.repairing.saving import save_audit
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import atomic_path
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input), atomic_path(snakemake.output.audit) as folder:
    params = snakemake.params
    device = use_device(params.threads, snakemake.resources)
    dataset, labels = read_dataset(snakemake.input.dataset), read_labels(snakemake.input.labels)
    network = make_network(params.model, dataset.input_shape, dataset.n_classes).to(device)
    paths = checkpoint_paths(snakemake.input.checkpoints)
    folder.mkdir()
    save_audit(
        audit(
            **arguments_of_run(
                network,
                dataset,
                labels,
                params.input_range,
                paths,
                params.layers,
                params.seed,
                params.normalize,
            )
        ),
        folder,
    )

end_process()
