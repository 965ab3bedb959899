"""The best layer of each probe, chosen on test images as in the papers, and without test labels."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from latentgen.tables.columns import GROUP
from latentgen.tables.published import NOISES
from latentgen.tables.reading import read_csv, typed
from latentgen.tables.selection import last_checkpoint, on_test
from latentgen.tables.statistics import mean_over_seeds

PAPERS = ("decoding", "dynamics")
"""Short names of the papers: arXiv 2501.14687 and 2603.19865."""

BEST_LAYERS = {
    "dataset": "str",
    "model": "str",
    "noise": "str",
    "p": "float64",
    "stage": "str",
    "what": "str",
    "fit_labels": "str",
    "chosen_by": "str",
    "layer": "str",
    "seeds": "int64",
    "mean": "float64",
    "low": "float64",
    "high": "float64",
    **{name: kind for paper in PAPERS for name, kind in ((paper, "float64"), (f"{paper}_layer", "str"))},
}
"""The table of best layers. ``stage``: ``untrained`` or ``end``. ``chosen_by``: ``test`` (on the same test
images, as in the papers, so slightly optimistic) or ``training`` (the layer on which the probe gives most
training examples their true label; no test label is used). ``mean``, ``low``, ``high``: test accuracy on that
layer. Under a paper's name: its printed value, and the layer if it is named."""

PUBLISHED = {
    "paper": "str", "dataset": "str", "model": "str", "p": "float64", "stage": "str", "what": "str",
    "fit_labels": "str", "layer": "str", "accuracy": "float64", "runs": "int64",
}  # fmt: skip
PLACE = ["p", "stage", "what", "fit_labels"]
_BY = [*GROUP, "p", "probe", "fit_labels", "layer"]


def best_layers_table(accuracy: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """Return the best layer of MASC and VeLPIC and the network itself: columns `BEST_LAYERS`.

    Parameters
    ----------
    accuracy : DataFrame
        The accuracies of a study.
    published : DataFrame
        As `read_published_best_layers` returns it. The values are shown for a pair of that name with the
        whole data set and the papers' kind of noise, even if other settings differ (see `fidelity_table`).
    """
    rows = accuracy[
        (accuracy["intervention"] == "none")
        & accuracy["probe"].isin(["model", "MASC", "VeLPIC"])
        & accuracy["fit_labels"].isin(["corrupted", "true"])
    ]
    stages = {"untrained": rows[rows["epoch"] == 0], "end": last_checkpoint(rows)}
    chosen = [table.assign(stage=stage) for stage, part in stages.items() for table in _chosen(part)]
    if not chosen:
        return typed(pd.DataFrame(columns=list(BEST_LAYERS)), BEST_LAYERS)
    table = pd.concat(chosen, ignore_index=True).rename(columns={"probe": "what"})
    for paper in PAPERS:
        theirs = published[published["paper"] == paper].rename(columns={"accuracy": paper})
        theirs = theirs.assign(**{f"{paper}_layer": theirs["layer"]})
        table = table.merge(
            theirs[["dataset", "model", *PLACE, paper, f"{paper}_layer"]],
            on=["dataset", "model", *PLACE],
            how="left",
        )
        table.loc[~table["noise"].isin(NOISES), [paper, f"{paper}_layer"]] = None
    table["stage"] = pd.Categorical(table["stage"], list(stages))
    table["what"] = pd.Categorical(table["what"], ["model", "MASC", "VeLPIC"])
    order = ["dataset", "model", "noise", *PLACE, "chosen_by"]
    return typed(table.sort_values(order, kind="stable", ignore_index=True), BEST_LAYERS)


def _chosen(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the mean test accuracy on the layer that each rule chooses, by group, p, probe and labels."""
    test = rows[on_test(rows) | on_test(rows, "true")]
    if test.empty:
        return
    layers = mean_over_seeds(test, _BY)
    train = rows[(rows["split"] == "train") & (rows["eval_labels"] == "true")]
    on_training = train.groupby(_BY, sort=False)["correct"].sum().rename("on_training")
    layers = layers.join(on_training, on=_BY)
    for rule, by in {"test": "mean", "training": "on_training"}.items():
        known = layers[layers[by].notna()]
        best = known.groupby([name for name in _BY if name != "layer"], sort=False)[by].idxmax()
        yield known.loc[best].assign(chosen_by=rule)


def read_published_best_layers(path: str | Path) -> pd.DataFrame:
    """Return the papers' best-layer tables, one row per paper, pair, p, stage, probe and fit labels."""
    return read_csv(Path(path), PUBLISHED)


def read_best_layers(path: str | Path) -> pd.DataFrame:
    """Return the table of best layers, columns `BEST_LAYERS`; errors as in `read_csv`."""
    return read_csv(Path(path), BEST_LAYERS)
