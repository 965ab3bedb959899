"""The papers' figures, from the published numbers and from archives of reference results, on one page."""

import base64
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from jinja2 import Environment, StrictUndefined

from latentgen.figures.making import STYLE, save_figure
from latentgen.figures.panels import PUBLISHED
from latentgen.figures.paper import (
    draw_paper,
    our_angles,
    our_best_layers,
    our_points,
    their_angles,
    their_best_layers,
    their_points,
)
from latentgen.figures.paper_experiments import EXPERIMENTS
from latentgen.report.archive import STUDY, read_archive, tables_of
from latentgen.report.paper_fidelity import (
    CELLS,
    cells_outside,
    compare_their_runs,
    compared_angles,
    compared_cells,
    count_close,
)
from latentgen.report.paper_words import fidelity_in_words, limits_in_words, result_in_words
from latentgen.runtime.files import atomic_path
from latentgen.study.layout import TABLE_OF_ANGLES, TABLES, Layout
from latentgen.tables.geometry import GEOMETRY, read_geometry
from latentgen.tables.published import NOISES, online_counts, read_fidelity, read_published
from latentgen.tables.reading import read_accuracy, read_csv, read_history, write_csv_table
from latentgen.tables.selection import of_pair

PAIRS = (
    *("mnist mlp", "mnist cnn", "fashion_mnist cnn", "cifar10 mlp", "cifar10 cnn", "cifar10 resnet18"),
    *("cifar100 alexnet", "tiny_imagenet alexnet"),
)
"""The papers' eight pairs of data set and network."""
CLASSES = {"cifar100": 100, "tiny_imagenet": 200}
OWN_STUDIES = ("paper", "paper_published")
"""Studies of ``config/paper.yaml``, whose tables replace the reference results."""
OTHER_TITLES = {
    "geometry": (
        "Angle between VeLPIC's vectors and the readout's rows",
        "With noisy labels, vectors and rows move closer while the network learns, and apart again while it "
        "memorizes.",
    ),
    "best_layers": (
        "Best layers, as in the papers' tables",
        "With noisy labels, a probe on its best layer is far above the memorized network.",
    ),
}


@dataclass(frozen=True)
class Source:
    """Our results: an archive, or the folder of a study's results."""

    path: Path
    pairs: frozenset[str]
    is_own: bool = False

    @property
    def files(self) -> list[Path]:
        """The files that the figures are drawn from."""
        if not self.is_own:
            return [self.path]
        tables = (*TABLES, TABLE_OF_ANGLES)
        return [file for name in tables if (file := self.path / "tables" / name).exists()]


def find_sources(reference: str | Path, root: str | Path = ".") -> list[Source]:
    """Return the archives in a folder, and the user's own studies of the papers, which take precedence.

    Raises
    ------
    LatentgenError
        If an archive is damaged.
    """
    own = [Path(root, Layout(name).results) for name in OWN_STUDIES]
    own_sources = [
        Source(path, _pairs_of((path / "tables" / STUDY).read_text(encoding="utf-8")), is_own=True)
        for path in own
        if all((path / "tables" / name).exists() for name in TABLES)
    ]
    taken = frozenset().union(*(source.pairs for source in own_sources))
    archives = [
        Source(path, _pairs_of(read_archive(path)[STUDY])) for path in sorted(Path(reference).glob("*.zip"))
    ]
    kept = [Source(source.path, source.pairs - taken) for source in archives]
    return [*own_sources, *(source for source in kept if source.pairs)]


def _pairs_of(study: str | bytes) -> frozenset[str]:
    pairs = json.loads(study)["pairs"]
    return frozenset(
        f"{pair['dataset']['name']} {pair['model']['name'] or pair['model']['architecture'].lower()}"
        for pair in pairs
    )


@dataclass(frozen=True)
class Results:
    """Tables of one pair and noise, over all sources."""

    noise: str
    accuracy: pd.DataFrame
    fidelity: pd.DataFrame
    geometry: pd.DataFrame
    sources: list[str]


def read_results(pair: str, paths: Iterable[str | Path]) -> list[Results]:
    """Return the tables of a pair, by noise: the papers' protocol first."""
    by_noise: dict[str, list[Results]] = {}
    for path in map(Path, paths):
        with tables_of(path) as folder:
            for noise in NOISES:
                results = _read_tables(folder, pair, noise, path.name)
                if len(results.accuracy):
                    by_noise.setdefault(noise, []).append(results)
    return [_joined(noise, by_noise[noise]) for noise in NOISES if noise in by_noise]


def _read_tables(folder: Path, pair: str, noise: str, source: str) -> Results:
    dataset, model = pair.split()

    def cut(table: pd.DataFrame) -> pd.DataFrame:
        return of_pair(table, dataset, model, noise)

    angles = folder / TABLE_OF_ANGLES
    return Results(
        noise,
        cut(
            with_running_accuracy(
                read_accuracy(folder / "accuracy.parquet"), read_history(folder / "history.parquet")
            )
        ),
        cut(read_fidelity(folder / "fidelity.csv")),
        cut(read_geometry(angles) if angles.exists() else pd.DataFrame(columns=list(GEOMETRY))),
        [source],
    )


def with_running_accuracy(accuracy: pd.DataFrame, history: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies with the network's training accuracy measured as in the papers: during each epoch.

    Measured on all images after an epoch, as in our tables, it is far lower while a network memorizes images
    that come in the same order every time.
    """
    online = online_counts(accuracy, history).assign(split="train")
    after = (accuracy["probe"] == "model") & (accuracy["split"] == "train")
    after &= (accuracy["eval_labels"] == "corrupted") & accuracy["run"].isin(online["run"])
    return pd.concat([accuracy[~after], online], ignore_index=True)


def _joined(noise: str, parts: Sequence[Results]) -> Results:
    tables = {
        name: pd.concat([getattr(part, name) for part in parts], ignore_index=True)
        for name in ("accuracy", "fidelity", "geometry")
    }
    return Results(noise, **tables, sources=[name for part in parts for name in part.sources])


def draw_pair(folder: str | Path, pair: str, published: str | Path, paths: Iterable[str | Path]) -> None:
    """Draw all figures of a pair into a folder, and describe them in ``figures.json`` there.

    The published numbers that can be compared with ours are in ``fidelity.csv`` there.

    Parameters
    ----------
    folder : str or Path
        Folder for the figures; it is created.
    pair : str
        Data set and network, as in `PAIRS`.
    published : str or Path
        The folder of the papers' numbers.
    paths : paths
        Archives, or results folders, with results of the pair.
    """
    folder, published = Path(folder), Path(published)
    folder.mkdir(parents=True, exist_ok=True)
    results = read_results(pair, paths)
    theirs = _cut(read_published(published / "accuracy.csv.gz"), pair)
    described, cells = [], [pd.DataFrame(columns=list(CELLS)).astype(CELLS)]
    groups: list[Results | None] = [*results] or [None]
    for ours in groups:
        suffix = "-sound" if ours and ours.noise == NOISES[1] else ""
        for name, (table, against) in _tables(pair, published, theirs, ours).items():
            stem = f"{pair.replace(' ', '-')}-{name}{suffix}"
            chance = None if name == "geometry" else 1 / CLASSES.get(pair.split()[0], 10)
            with matplotlib.rc_context(fname=str(STYLE)):
                save_figure(draw_paper(table, against, chance), table, folder / stem)
            described.append({"stem": stem, **_described(pair, name, table, against, theirs, ours)})
            if name == "geometry":
                cells.append(compared_angles(table, pair))
        if ours:
            cells.append(compared_cells(ours.fidelity))
    write_csv_table(folder / "fidelity.csv", pd.concat(cells, ignore_index=True))
    text = json.dumps({"pair": pair, "figures": described}, indent=2, ensure_ascii=False)
    with atomic_path(folder / "figures.json") as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def _cut(table: pd.DataFrame, pair: str) -> pd.DataFrame:
    dataset, model = pair.split()
    return table[(table["dataset"] == dataset) & (table["model"] == model)]


def _tables(
    pair: str, published: Path, theirs: pd.DataFrame, ours: Results | None
) -> dict[str, tuple[pd.DataFrame, str]]:
    """Return the plotted table of each experiment that has numbers, theirs or ours."""
    angles = _cut(pd.read_csv(published / "readout_angle.csv"), pair)
    best = _cut(pd.read_csv(published / "best_layers.csv", keep_default_na=False), pair)
    source = PUBLISHED[bool(ours and ours.noise == NOISES[1])]
    parts: dict[str, list[pd.DataFrame]] = {
        name: [their_points(theirs, experiment, source)] for name, experiment in EXPERIMENTS.items()
    }
    parts["geometry"] = [their_angles(angles).assign(source=source)]
    parts["best_layers"] = [their_best_layers(best).assign(source=source)]
    if ours:
        for name, experiment in EXPERIMENTS.items():
            parts[name].insert(0, our_points(ours.accuracy, experiment))
        parts["geometry"].insert(0, our_angles(ours.geometry))
        papers = list(best["paper"].unique()) or ["ours alone"]
        parts["best_layers"].insert(0, our_best_layers(ours.accuracy, papers))
    against = {name: experiment.against for name, experiment in EXPERIMENTS.items()}
    against |= {"geometry": "epoch", "best_layers": "p"}
    tables = {name: [part for part in parts_of_table if len(part)] for name, parts_of_table in parts.items()}
    joined = {
        name: pd.concat(parts_of_table, ignore_index=True)
        for name, parts_of_table in tables.items()
        if parts_of_table
    }
    return {
        name: (table.astype({"epoch": float, "seeds": "int64", "final": bool}), against[name])
        for name, table in joined.items()
        if not table["probe"].eq("model").all() or name == "edits"
    }


def _described(
    pair: str, name: str, table: pd.DataFrame, against: str, theirs: pd.DataFrame, ours: Results | None
) -> dict[str, Any]:
    title, claim = OTHER_TITLES.get(name) or (EXPERIMENTS[name].title, EXPERIMENTS[name].claim)
    alone = not (table["source"] == "ours").any() or not table["source"].isin(PUBLISHED).any()
    who = "theirs" if table["source"].isin(PUBLISHED).any() else "ours"
    fidelity, not_compared = fidelity_in_words(name, table, ours.fidelity, pair) if ours else ("", [])
    return {
        "title": title + (" (sound protocol)" if ours and ours.noise == NOISES[1] else ""),
        "claim": claim,
        "alone": who if alone else "",
        "sources": ours.sources if ours and not (alone and who == "theirs") else [],
        "result": result_in_words(table, against),
        "fidelity": fidelity,
        "not_compared": not_compared,
        "limits": limits_in_words(name, table, theirs),
    }


def write_page(
    path: str | Path,
    fidelity: str | Path,
    folders: Mapping[str, str | Path],
    published: str | Path,
    template: str | Path,
    look: str | Path,
) -> None:
    """Write the self-contained page with all figures, and the table of compared numbers.

    Parameters
    ----------
    path, fidelity : str or Path
        Paths of the page and of the table, whose columns are `latentgen.report.paper_fidelity.CELLS`.
    folders : mapping
        Folder of each pair's figures, as `draw_pair` fills it.
    published : str or Path
        The papers' accuracies.
    template, look : str or Path
        The template of the page, and that of the report of a study, whose style it shares.
    """
    pairs = [json.loads((Path(folder) / "figures.json").read_text("utf-8")) for folder in folders.values()]
    for pair, folder in zip(pairs, folders.values(), strict=True):
        for figure in pair["figures"]:
            content = (Path(folder) / f"{figure['stem']}.png").read_bytes()
            figure["png"] = base64.b64encode(content).decode()
    tables = [read_csv(Path(folder) / "fidelity.csv", CELLS) for folder in folders.values()]
    cells = pd.concat(tables, ignore_index=True)
    write_csv_table(fidelity, cells)
    their_runs = compare_their_runs(read_published(published), cells)
    style = re.search(r"<style>\n(.*?)</style>", Path(look).read_text(encoding="utf-8"), re.DOTALL)
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(Path(template).read_text(encoding="utf-8")).render(
        pairs=pairs,
        counts=count_close(cells, their_runs) if len(cells) else [],
        outside=cells_outside(cells),
        style=style.group(1) if style else "",
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")
