"""What networks of one's own are like: found by a trial when a study is about to be run, and kept.

Later starts, jobs and `make status` read what was kept: they take neither torch nor the user's code.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from latentgen.errors import LatentgenError
from latentgen.networks.base import ImageShape
from latentgen.networks.measured import Measured, MeasuredNetwork
from latentgen.runtime.files import write_json
from latentgen.runtime.import_paths import code_identities
from latentgen.study.layout import MEASURES
from latentgen.study.trust import MODULE, load_trusted

TRIAL = "latentgen.networks.trial:measure"
"""What makes the trial: a newer one may refuse more."""


def with_measures(
    model: MeasuredNetwork,
    image_shape: ImageShape,
    n_classes: int,
    run_own_code: bool,
    trusted: tuple[str, ...] = (),
) -> MeasuredNetwork:
    """Return a network's settings with what a trial finds, or found before.

    Parameters
    ----------
    model : MeasuredNetwork
    image_shape : (int, int, int)
        Channels, height, width.
    n_classes : int
    run_own_code : bool
        Whether there may be a trial.
    trusted : tuple of str
        Packages whose functions may be called in it (`latentgen.study.trust`).

    Raises
    ------
    LatentgenError
        If there is a trial, and the network cannot be used.
    """
    asked = model.model_dump(mode="json", exclude={"measured", "name"})
    try:
        code = code_identities([model.import_path or "", "torch:nn", TRIAL], model.code_files)
    except LatentgenError:
        if run_own_code:
            _check(model, trusted)
            model.make_body(image_shape, n_classes)  # says best what is missing
        return model
    key = json.dumps([asked, image_shape, n_classes, code], sort_keys=True)
    kept = Path(MEASURES.format(digest=hashlib.sha256(key.encode()).hexdigest()[:16]))
    found: Measured | None = None
    with suppress(OSError, ValueError):
        found = Measured.model_validate_json(kept.read_bytes())
    if found is None and run_own_code:
        from latentgen.networks.trial import measure

        _check(model, trusted)
        trial = measure(
            lambda: model.make_body(image_shape, n_classes),
            image_shape,
            n_classes,
            model.layers,
            model.wanted_readout,
            not model.has_readout,
        )
        found = Measured(**{name: of for name, of in trial.items() if name != "shapes"})
        with suppress(OSError, LatentgenError):  # if it cannot be kept, it is found again
            write_json(kept, found.model_dump())
    return model.model_copy(update={"measured": found or model.measured})


def _check(model: MeasuredNetwork, trusted: tuple[str, ...]) -> None:
    if model.architecture == "own" and model.import_path:
        load_trusted(model.import_path, trusted, MODULE)
