"""Check before a study starts that its networks can be trained as requested."""

from collections.abc import Iterator
from contextlib import contextmanager

from latentgen.errors import LatentgenError
from latentgen.study.config import Study
from latentgen.study.plan import Run
from latentgen.training.schedule import check_shares, has_batch_of_one


def check_trainings(study: Study) -> None:
    """Try each network that has a batch of one image, given initial weights, or groups of parameters.

    Usually there are none.

    Raises
    ------
    LatentgenError
        If batches cannot be divided among GPUs, a network cannot be trained on one image (the message has a
        batch size that works), its initial weights do not fit it, or a group matches no parameter.
    """
    checked = set()
    for run in study.runs.values():
        if run.pair.training is None or run.rewind:
            continue
        batch_size = run.training["batch_size"] // run.training.get("accumulate", 1)
        with _about(run):
            check_shares(run.pair.dataset.n_train_inputs, batch_size, run.training.get("gpus", 1))
        alone = has_batch_of_one(run.pair.dataset.n_train_inputs, batch_size)
        doubtful = alone or run.start or run.training.get("groups")
        if not doubtful or (run.pair.name, batch_size) in checked:
            continue
        checked.add((run.pair.name, batch_size))
        with _about(run):
            _try_training(run, batch_size)


@contextmanager
def _about(run: Run) -> Iterator[None]:
    """Name the pair in an error."""
    try:
        yield
    except LatentgenError as error:
        raise LatentgenError(f"{run.pair.name}: {error}") from error


def _try_training(run: Run, batch_size: int) -> None:
    # Importing torch takes seconds, so it is imported only here.
    from latentgen.networks.architectures import make_network
    from latentgen.networks.trial import made_up
    from latentgen.training.batches import check_batch_of_one
    from latentgen.training.initial_weights import start_from
    from latentgen.training.parameter_groups import parameter_groups

    info = run.pair.dataset.info
    network = make_network(run.pair.model.model_dump(mode="json"), info.shape, info.n_classes)
    if run.given_weights and run.start:
        start_from(network, run.given_weights.file, **run.start)
    parameter_groups(network, 1.0, special=run.training.get("groups", ()))
    check_batch_of_one(network, made_up(info.shape, 1), run.pair.dataset.n_train_inputs, batch_size)
