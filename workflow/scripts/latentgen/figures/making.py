"""Compute, draw and save one figure."""

from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.figure import Figure

from latentgen.errors import LatentgenError
from latentgen.figures.material import Material
from latentgen.runtime.files import atomic_path
from latentgen.runtime.import_paths import load

STYLE = Path(__file__).with_name("latentgen.mplstyle")
"""Sizes, fonts and lines of every figure."""


def make_figure(
    material: Material,
    stem: str | Path,
    *,
    name: str,
    table: str,
    draw: str,
    shows_probes: bool = True,
    n_classes: int | None = None,
    style: str | Path = STYLE,
) -> None:
    """Compute, draw and save one figure of one pair.

    Parameters
    ----------
    material : Material
        The tables of the pair.
    stem : str or Path
        Path without suffix, to which ``.pdf``, ``.png`` and ``.csv`` are added.
    name, table, draw, shows_probes
        As in `latentgen.study.figure_kinds.FigureKind`; table and draw are import paths.
    n_classes : int, optional
        Number of classes; if given, the level of chance is drawn.
    style : str or Path
        Matplotlib style file; the user's own Matplotlib settings are ignored.

    Raises
    ------
    LatentgenError
        If the material has no probe that the figure shows, or if custom code fails.
    """
    numbers = _called(table, pd.DataFrame, material)
    if numbers.empty and not table.startswith("latentgen."):
        raise LatentgenError(f"{table} returns no rows for {material.name}.")
    if numbers.empty or (shows_probes and numbers["probe"].eq("model").all()):
        raise LatentgenError(
            f"The tables have no probe of {material.name} that the figure {name} shows. "
            "Remove the figure from the study, or add its probes."
        )
    with matplotlib.rc_context(fname=str(style)):
        save_figure(_called(draw, Figure, numbers, 1 / n_classes if n_classes else None), numbers, stem)


def _called(path: str, kind: type[Any], *arguments: Any) -> Any:
    """Call a custom function and return its result; errors, and results of another type, are refused."""
    try:
        returned = load(path)(*arguments)
    except LatentgenError:
        raise
    except Exception as error:  # custom code can raise anything
        if path.startswith("latentgen."):
            raise
        raise LatentgenError(f"{path} fails: {type(error).__name__}: {error}") from error
    if not isinstance(returned, kind):
        raise LatentgenError(
            f"{path} must return a {kind.__module__.partition('.')[0]} {kind.__name__}; it returns "
            f"{type(returned).__name__}."
        )
    return returned


def save_figure(figure: Figure, table: pd.DataFrame, stem: str | Path) -> None:
    """Write a figure as PDF and PNG and its table as CSV; the same figure gives the same bytes."""
    stem = Path(stem)
    dateless = {"pdf": {"CreationDate": None}, "png": {"Software": None}}
    for suffix, metadata in dateless.items():
        with atomic_path(stem.with_name(f"{stem.name}.{suffix}")) as partial:
            figure.savefig(partial, format=suffix, metadata=metadata)
    with atomic_path(stem.with_name(f"{stem.name}.csv")) as partial:
        table.to_csv(partial, index=False, lineterminator="\n")
