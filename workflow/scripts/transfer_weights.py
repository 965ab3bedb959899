from latentgen.runtime.startup import fast_imports

fast_imports()

from threadpoolctl import threadpool_limits

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import evaluation_labels, read_labels
from latentgen.interventions.transfer import transfer_weights
from latentgen.networks.activation_files import read_activations
from latentgen.networks.checkpoints import checkpoint_paths, load_weights
from latentgen.runtime.files import atomic_path, write_csv
from latentgen.runtime.logs import job_log

with (
    job_log(snakemake.log[0], snakemake.input),
    threadpool_limits(snakemake.params.threads, "blas"),
    read_activations(snakemake.input.activations, snakemake.params.run) as activations,
    atomic_path(snakemake.output.models) as models,
):
    dataset = read_dataset(snakemake.input.dataset, split="test")
    models.mkdir()
    rows = transfer_weights(
        checkpoint_paths(snakemake.input.checkpoints),
        activations,
        load_weights(snakemake.input.vectors),
        snakemake.params.layer,
        evaluation_labels(read_labels(snakemake.input.labels), dataset.test_labels),
        biases=snakemake.params.biases,
        keep_models_at=snakemake.params.keep_models_at,
        models=models,
        readout=snakemake.params.readout,
    )
    write_csv(snakemake.output.accuracy, rows)
