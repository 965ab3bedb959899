"""Layers and sizes of custom networks, measured by a trial pass before a study runs, and cached.

Later starts, jobs and `make status` read the cache: they import neither torch nor the user's code.
"""

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latentgen.data.inputs import InputShape
from latentgen.errors import LatentgenError
from latentgen.networks.measured import Measured, MeasuredNetwork
from latentgen.runtime.files import write_json
from latentgen.runtime.import_paths import code_identities
from latentgen.study.layout import MEASURES
from latentgen.study.trust import MODULE, load_trusted

if TYPE_CHECKING:
    from torch import Tensor

TRIAL = "latentgen.networks.trial:measure"
"""Modules of the trial pass: a newer version may refuse more."""


def with_measures(
    model: MeasuredNetwork,
    input_shape: InputShape,
    n_classes: int,
    run_own_code: bool,
    trusted: tuple[str, ...] = (),
    examples: Callable[[], "Tensor | None"] = lambda: None,
) -> MeasuredNetwork:
    """Return a network's settings with the results of a trial pass, cached or new.

    Parameters
    ----------
    model : MeasuredNetwork
    input_shape : tuple of int, or Tokens
        Shape of an example.
    n_classes : int
    run_own_code : bool
        Whether a trial pass is allowed.
    trusted : tuple of str
        Packages whose functions may be called in it (`latentgen.study.trust`).
    examples : function () -> Tensor or None
        Returns `TRIED` examples for the trial pass; if it returns None, they are made up.

    Raises
    ------
    LatentgenError
        If there is a trial pass and the network cannot be used.
    """
    asked = model.model_dump(mode="json", exclude={"measured", "name"})
    try:
        code = code_identities([model.import_path or "", "torch:nn", TRIAL], model.code_files)
    except LatentgenError:
        if run_own_code:
            _check(model, trusted)
            model.make_body(input_shape, n_classes)  # has the best message about what is missing
        return model
    with_data, without = (
        _place([asked, repr(input_shape), n_classes, code, tried_with]) for tried_with in ("data", "made up")
    )
    measured = _kept(with_data)
    if measured is None and not run_own_code:
        measured = _kept(without)
    elif measured is None:
        first = examples()
        kept = without if first is None else with_data
        measured = _kept(kept)
        if measured is None:
            from latentgen.networks.trial import measure

            _check(model, trusted)
            trial = measure(
                lambda: model.make_body(input_shape, n_classes),
                input_shape,
                n_classes,
                model.layers,
                model.wanted_readout,
                not model.has_readout,
                first,
            )
            measured = Measured(**{name: value for name, value in trial.items() if name != "shapes"})
            with suppress(OSError, LatentgenError):  # if it cannot be cached, it is measured again
                write_json(kept, measured.model_dump())
    return model.model_copy(update={"measured": measured or model.measured})


def _place(key: list[Any]) -> Path:
    """Return the file of a cached result."""
    text = json.dumps(key, sort_keys=True)
    return Path(MEASURES.format(digest=hashlib.sha256(text.encode()).hexdigest()[:16]))


def _kept(path: Path) -> Measured | None:
    with suppress(OSError, ValueError):
        return Measured.model_validate_json(path.read_bytes())
    return None


def _check(model: MeasuredNetwork, trusted: tuple[str, ...]) -> None:
    if model.architecture == "own" and model.import_path:
        load_trusted(model.import_path, trusted, MODULE)
