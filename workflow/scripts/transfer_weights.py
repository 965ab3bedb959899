from latentgen.activation_files import check_run
from latentgen.checkpoints import checkpoint_paths, load_weights
from latentgen.datasets import read_dataset
from latentgen.files import atomic_path, read_h5, write_csv
from latentgen.joblog import job_log
from latentgen.labels import evaluation_labels, read_labels
from latentgen.transfer import transfer_weights

with (
    job_log(snakemake.log[0], snakemake.input),
    read_h5(snakemake.input.activations) as activations,
    atomic_path(snakemake.output.models) as models,
):
    check_run(activations, snakemake.params.run)
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
