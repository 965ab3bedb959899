"""Whether networks can be trained in the batches that a study asks for: checked before it starts."""

from latentgen.errors import LatentgenError
from latentgen.study.config import Study
from latentgen.training.schedule import has_batch_of_one


def check_batches(study: Study) -> None:
    """Try each network that would be trained on a batch of one image; there is usually none.

    Raises
    ------
    LatentgenError
        If a network cannot be trained on one. Names a batch size that works.
    """
    checked = set()
    for run in study.runs.values():
        if run.pair.training is None or run.rewind:
            continue
        n_train, batch_size = run.pair.dataset.n_train, run.training["batch_size"]
        if (run.pair.name, batch_size) in checked or not has_batch_of_one(n_train, batch_size):
            continue
        checked.add((run.pair.name, batch_size))
        import torch  # takes seconds, and only here

        from latentgen.networks.architectures import make_network
        from latentgen.training.batches import check_batch_of_one

        info = run.pair.dataset.info
        network = make_network(run.pair.model.model_dump(mode="json"), info.shape, info.n_classes)
        try:
            check_batch_of_one(network, torch.zeros(1, *info.shape), n_train, batch_size)
        except LatentgenError as error:
            raise LatentgenError(f"{run.pair.name}: {error}") from error
