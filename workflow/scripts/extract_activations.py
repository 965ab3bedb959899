from latentgen.runtime.startup import fast_imports

fast_imports()

from latentgen.data.datasets import read_dataset
from latentgen.data.labels import fitting_labels, read_labels
from latentgen.networks.activations import write_activations
from latentgen.networks.architectures import make_network
from latentgen.networks.checkpoints import checkpoint_paths
from latentgen.networks.forward import dataset_inputs
from latentgen.networks.ranges import Range
from latentgen.runtime.devices import use_device
from latentgen.runtime.files import write_h5
from latentgen.runtime.logs import end_process, job_log

with job_log(snakemake.log[0], snakemake.input), write_h5(snakemake.output.activations) as file:
    params = snakemake.params
    device = use_device(params.threads, snakemake.resources)
    dataset = read_dataset(snakemake.input.dataset)
    splits = ("train", "test", *([] if dataset.held_out is None else ["held_out"]))
    write_activations(
        file,
        make_network(params.model, dataset.input_shape, dataset.n_classes).to(device),
        checkpoint_paths(snakemake.input.checkpoints, range(*params.epochs)),
        {
            split: dataset_inputs(
                dataset, split, params.input_range, device, params.normalize, Range(*params.range)
            )
            for split in splits
        },
        layers=params.layers,
        dtype=params.dtype,
        mantissa_bits=params.mantissa_bits,
        mode=params.mode,
        run=params.run,
        moments=params.moments
        and (
            fitting_labels(read_labels(snakemake.input.labels), params.moments, params.seed),
            dataset.n_classes,
        ),
    )

end_process()
