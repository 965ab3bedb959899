from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import evaluation_labels, read_labels
from latentgen.networks.activation_files import read_activations
from latentgen.networks.checkpoints import checkpoint_paths, load_weights
from latentgen.repairing.transfer import transfer_heads
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_csv
from latentgen.runtime.logs import end_process, job_log

with (
    job_log(snakemake.log[0], snakemake.input),
    read_activations(snakemake.input.activations, snakemake.params.run) as activations,
):
    use_device(snakemake.params.threads, snakemake.resources)
    dataset = read_dataset(snakemake.input.dataset, split="test")
    results = transfer_heads(
        checkpoint_paths(snakemake.input.checkpoints),
        activations,
        load_weights(snakemake.input.vectors),
        snakemake.params.layer,
        evaluation_labels(read_labels(snakemake.input.labels), dataset.test_labels),
        dataset.n_classes,
        heads=snakemake.params.heads,
        biases=snakemake.params.biases,
        readout=snakemake.params.readout,
    )
    write_csv(snakemake.output.accuracy, results.rows)
    write_csv(snakemake.output.calibration, results.calibrations)

end_process()
