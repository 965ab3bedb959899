"""Directions of VeLPIC's vectors during training: their angles with other vectors, and the energy along them.

An angle is in degrees from 0 to 180 and averaged over the classes. At 90° the vectors are unrelated, above
90° they point away from each other. Angles are computed from vectors and weights that every study keeps,
without activations; the energy is counted where probes are fitted.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from latentgen.networks.checkpoints import checkpoint_paths, read_tensor, read_tensors
from latentgen.study.runs import RunSpec
from latentgen.tables.columns import IDENTITY
from latentgen.tables.published import NOISES
from latentgen.tables.published_settings import differences
from latentgen.tables.reading import read_csv, typed

Array: TypeAlias = np.ndarray[Any, Any]

_ANGLES = IDENTITY | {
    "source": "str",
    "epoch": "int64",
    "layer": "str",
    "angle_to": "str",
    "degrees": "float64",
    "classes": "Int64",
}
_ENERGY = {"energy_of": "str", "energy": "float64"}
GEOMETRY = _ANGLES | _ENERGY
"""The table of the vectors fitted with corrupted labels. ``angle_to``: ``readout``, the readout's row of the
same class; ``true``, the vector fitted with true labels. ``degrees``: mean over the ``classes`` that have
both. Other rows have ``energy``, the fraction of the energy Σ‖x‖² of a class's examples that lies along its
vector, mean over classes, of the examples ``energy_of``: ``train``, classes by corrupted label, where it is
λ₁/Σλ; or ``test``, by true label. ``source``: ``ours``, or ``published`` for the papers' curves, where they
can be compared."""


def class_angles(vectors: Array, others: Array) -> Array:
    """Return the angles in degrees between the rows of two matrices (C × d); NaN if a row is zero."""
    a, b = np.asarray(vectors, np.float64), np.asarray(others, np.float64)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = np.divide((a * b).sum(axis=1), norms, out=np.full(len(a), np.nan), where=norms > 0)
    angles: Array = np.degrees(np.arccos(cosine.clip(-1, 1)))
    return angles


def geometry_table(
    vectors: Mapping[str, list[Path]],
    checkpoints: Mapping[str, Path],
    networks: Mapping[str, Mapping[str, Any]],
) -> pd.DataFrame:
    """Return the angles of some runs: columns `GEOMETRY`, without energies.

    Parameters
    ----------
    vectors : mapping of str to list of Path
        For each run, the files of VeLPIC's vectors, one for each shard.
    checkpoints : mapping of str to Path
        For each run, the folder of its weights.
    networks : mapping of str to mapping
        For each run, its ``layers`` in order, the readout's input (``last_layer``), and the name of the
        ``readout`` among the weights.
    """
    rows = [
        {"run": run, **vars(RunSpec.parse(run)), "source": "ours", **angle}
        for run, files in vectors.items()
        for angle in _angles_of(files, checkpoint_paths(checkpoints[run]), **networks[run])
    ]
    return typed(pd.DataFrame(rows, columns=list(GEOMETRY)), GEOMETRY)


def with_energy(geometry: pd.DataFrame, accuracy: pd.DataFrame) -> pd.DataFrame:
    """Append the energy along the vectors, which the accuracies of a study have with VeLPIC's counts."""
    velpic = accuracy["probe"].eq("VeLPIC") & accuracy["fit_labels"].eq("corrupted")
    rows = accuracy[velpic & accuracy["intervention"].eq("none") & accuracy["first_energy"].notna()]
    splits = {"train": "corrupted", "test": "true"}
    rows = rows[rows["split"].map(splits) == rows["eval_labels"]]
    rows = rows.assign(source="ours", energy_of=rows["split"], energy=rows["first_energy"])
    return pd.concat([geometry, typed(rows.reindex(columns=list(GEOMETRY)), GEOMETRY)], ignore_index=True)


def _angles_of(
    files: list[Path], checkpoints: Mapping[int, Path], layers: list[str], last_layer: str, readout: str
) -> Iterator[dict[str, Any]]:
    for file in files:
        vectors = read_tensors(file)[0]
        for epoch in sorted({int(name.partition("/")[0]) for name in vectors}):
            rows = read_tensor(checkpoints[epoch], f"{readout}.weight")
            for layer in layers:
                noisy = vectors.get(f"{epoch}/{layer}/corrupted")
                others = {"readout": rows if layer == last_layer else None}
                others["true"] = vectors.get(f"{epoch}/{layer}/true")
                for angle_to, other in others.items():
                    if noisy is None or other is None or other.shape != noisy.shape:
                        continue
                    angles = class_angles(noisy, other)
                    known = angles[~np.isnan(angles)]
                    if len(known):
                        measured = {"degrees": known.mean(), "classes": len(known)}
                        yield {"epoch": epoch, "layer": layer, "angle_to": angle_to, **measured}


def with_published_angles(
    geometry: pd.DataFrame,
    published: pd.DataFrame,
    study: Mapping[str, Any],
    published_settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Append the papers' angles of the study's pairs, if the network and its data are theirs.

    Parameters
    ----------
    geometry : DataFrame
        As `geometry_table` returns it.
    published : DataFrame
        As `read_published_angles` returns it.
    study, published_settings : mapping
        As `latentgen.tables.published.fidelity_table` takes them.
    """
    pairs = geometry[["dataset", "model", "noise"]].drop_duplicates().itertuples(index=False, name=None)
    parts = [geometry]
    for dataset, model, noise in pairs:
        theirs = published[(published["dataset"] == dataset) & (published["model"] == model)]
        ours = geometry[(geometry["dataset"] == dataset) & (geometry["model"] == model)]
        if noise not in NOISES or theirs.empty:
            continue
        if differences(study, published_settings, dataset, model, noise).settings.always:
            continue
        layers = ours.loc[ours["angle_to"] == "readout", "layer"]
        parts.append(
            theirs[theirs["p"].isin(ours["p"])].assign(
                noise=noise,
                layer=layers.iloc[0] if len(layers) else "",
                intervention="none",
                source="published",
                angle_to="readout",
                classes=10,
                seed=theirs["run"],
                degrees=theirs["angle_degrees"],
                run="published " + theirs["run"].astype(str),
                **dict.fromkeys(_ENERGY),
            )
        )
    return pd.concat([typed(part, GEOMETRY) for part in parts], ignore_index=True)


def read_published_angles(path: str | Path) -> pd.DataFrame:
    """Return the papers' angles of VeLPIC's vectors to the readout's rows, one row per run and epoch."""
    columns = {"dataset": "str", "model": "str", "p": "float64", "run": "int64", "epoch": "int64"}
    return read_csv(Path(path), columns | {"angle_degrees": "float64"})


def read_geometry(path: str | Path) -> pd.DataFrame:
    """Return the table of angles, columns `GEOMETRY`; errors as in `latentgen.tables.reading.read_csv`.

    Tables of older versions have no energy.
    """
    return read_csv(Path(path), _ANGLES, _ENERGY)
