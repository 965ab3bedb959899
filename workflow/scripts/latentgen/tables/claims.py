"""The numbers behind the papers' claims, of a study's accuracies or of the papers' own.

Each function returns a row for each data set, network, noise and p, of runs without intervention (but for
`initializations`). Differences are paired by seed, with the interval of `mean_difference_over_seeds`.
"""

from collections.abc import Iterator

import pandas as pd

from latentgen.networks.base import INPUT
from latentgen.tables.columns import ACCURACY
from latentgen.tables.comparisons import choosing_rows
from latentgen.tables.facts import with_facts
from latentgen.tables.published import of_older_networks
from latentgen.tables.selection import ONE_COMPONENT, last_checkpoint, on_test, paired
from latentgen.tables.statistics import mean_difference_over_seeds

CASE = ["dataset", "model", "noise", "p"]
THEIR_TEST_IMAGES = 10_000
"""Of every data set in the papers."""
TIE = 0.005
"""Half a point: a probe that is less behind than this counts as equally good."""

_RUN = [*CASE, "seed"]
_CURVE = ["probe", "layer", "seed"]


def their_accuracy(published: pd.DataFrame) -> pd.DataFrame:
    """Return the papers' test accuracies as a study has its own: a run is a seed, and counts are of 10,000.

    Left out are logs of older networks than the probed ones. VeLPIC on each layer at the end is their MASC
    with one component, which they published instead.
    """
    rows = published[on_test(published) & ~of_older_networks(published)]
    one = rows[rows["final"] & rows["probe"].eq(ONE_COMPONENT)].assign(probe="VeLPIC")
    rows = pd.concat([rows, one]).sort_values("final", kind="stable")
    rows = rows.assign(
        noise="symmetric_published",
        seed=rows["run"],
        correct=THEIR_TEST_IMAGES * rows["accuracy"],
        total=THEIR_TEST_IMAGES,
        run=rows["dataset"]
        + "-"
        + rows["model"]
        + "-"
        + rows["p"].astype(str)
        + "-"
        + rows["run"].astype(str),
    )
    place = [*_RUN, "intervention", "epoch", "layer", "probe"]
    rows = rows.drop_duplicates(place, keep="last").reset_index(drop=True)
    return with_facts(rows).assign(replicate=None).reindex(columns=list(ACCURACY))


def their_untrained_networks(best: pd.DataFrame) -> pd.DataFrame:
    """Return MASC on the best layer at the end and before training, by case, of the papers' tables."""
    rows = best[
        (best["paper"] == "dynamics") & (best["what"] == "MASC") & (best["fit_labels"] == "corrupted")
    ]
    of_case = rows.pivot_table(index=["dataset", "model", "p"], columns="stage", values="accuracy").dropna()
    return of_case.reset_index().query("0 < p < 1")


def _cases(accuracy: pd.DataFrame) -> Iterator[tuple[dict[str, object], pd.DataFrame]]:
    """Yield what names a case, with its rows on test examples; only where labels are partly noisy."""
    rows = accuracy[on_test(accuracy) & accuracy["p"].between(0, 1, inclusive="neither")]
    for case, of_case in rows.groupby(CASE, sort=True):
        yield dict(zip(CASE, case, strict=True)), of_case


def _ordinary(accuracy: pd.DataFrame) -> pd.DataFrame:
    return accuracy[accuracy["intervention"] == "none"]


def _mean(rows: pd.DataFrame) -> float:
    return float((rows["correct"] / rows["total"]).mean())


def _peak(rows: pd.DataFrame) -> dict[str, float]:
    """Return the mean over seeds of the highest accuracy, and of the first epoch at which it is reached."""
    accuracy = (rows["correct"] / rows["total"]).sort_index()
    ordered = rows.assign(accuracy=accuracy).sort_values("epoch", kind="stable")
    best = ordered.loc[ordered.groupby("seed")["accuracy"].idxmax()]
    return {"peak": float(best["accuracy"].mean()), "peak_epoch": float(best["epoch"].mean())}


def _difference(rows: pd.DataFrame, reference: pd.DataFrame) -> dict[str, float]:
    """Return the mean paired difference with its interval; NaN without pairs."""
    pairs = paired(rows, reference, _RUN)
    if pairs.empty:
        return dict.fromkeys(("difference", "low", "high"), float("nan")) | {"seeds": 0}
    (row,) = mean_difference_over_seeds(pairs, CASE).to_dict("records")
    return {"difference": row["mean"], **{name: row[name] for name in ("low", "high", "seeds")}}


def probes_and_network(accuracy: pd.DataFrame, least_checkpoints: int = 1) -> pd.DataFrame:
    """Return peak and end of the network, and of MASC and VeLPIC on one layer, with what they surpass.

    The layer is the one that is chosen without test labels (`choosing_rows`), or, where nothing can choose it
    (``chosen`` is False, as in the papers), the one that is best at the end on these same test examples.
    ``difference`` is the probe's end less the network's; ``raw_input`` and ``untrained`` are the same probe's
    accuracy on the raw input and on that layer of the untrained network. ``epochs``: of the last checkpoint.
    Seeds of which fewer than `least_checkpoints` of a layer are known are left out: their peak is not. If it
    is more than 1, so are frozen layers, whose curves have no peak.
    """
    table = []
    ordinary = _ordinary(accuracy)
    training = last_checkpoint(choosing_rows(ordinary), [*_RUN, *_CURVE[:2]])
    right = training.groupby([*CASE, "probe", "layer"])["correct"].sum()
    for case, every in _cases(ordinary):
        checkpoints = every.groupby(_CURVE)["epoch"].transform("nunique")
        rows = every[checkpoints >= least_checkpoints]
        ends = last_checkpoint(rows, _CURVE)
        for probe in ("MASC", "VeLPIC"):
            probe_rows = ends[(ends["probe"] == probe) & (ends["layer"] != INPUT)]
            network = rows[(rows["probe"] == "model") & rows["seed"].isin(probe_rows["seed"])]
            if probe_rows.empty or network.empty:
                continue
            end = last_checkpoint(network, "seed")
            score = (
                (probe_rows["correct"] / probe_rows["total"]).groupby(probe_rows["layer"], sort=False).mean()
            )
            known = right.get((*case.values(), probe)) if len(right) else None
            layer = str((score if known is None else known.reindex(score.index)).idxmax())
            curve = rows[(rows["probe"] == probe) & (rows["layer"] == layer)]
            is_frozen = curve.groupby("seed")["correct"].nunique().eq(1).all()
            if least_checkpoints > 1 and is_frozen:
                continue
            at_input = ends[(ends["probe"] == probe) & (ends["layer"] == INPUT)]
            at_end = probe_rows[probe_rows["layer"] == layer]
            table.append(
                case
                | {"probe": probe, "layer": layer, "chosen": known is not None, "end": _mean(at_end)}
                | _peak(curve)
                | {"epochs": float(curve["epoch"].max())}
                | {f"network_{name}": value for name, value in _peak(network).items()}
                | {"network_end": _mean(end), "raw_input": _mean(at_input)}
                | {"untrained": _mean(curve[curve["epoch"] == 0])}
                | _difference(at_end, end)
            )
    return pd.DataFrame(table)


def linear_probes(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return on how many hidden layers each linear probe is at least as good as MASC at the end."""
    table = []
    for case, rows in _cases(_ordinary(accuracy)):
        ends = last_checkpoint(rows, _CURVE)
        masc = ends[ends["probe"] == "MASC"]
        for probe in ("VeLPIC", "logistic"):
            probe_rows = ends[(ends["probe"] == probe) & (ends["layer"] != INPUT)]
            pairs = paired(probe_rows, masc, [*_RUN, "layer"])
            if pairs.empty:
                continue
            layers = mean_difference_over_seeds(pairs, [*CASE, "layer"])["mean"]
            counts = {"layers": len(layers), "as_good": int((layers >= -TIE).sum())}
            spread = {"lowest": layers.min(), "mean": layers.mean(), "highest": layers.max()}
            table.append(case | {"probe": probe} | counts | spread)
    return pd.DataFrame(table)


def same_class(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return the fraction of test examples to which VeLPIC and MASC of one component give the same class."""
    rows = _ordinary(accuracy)
    rows = rows[on_test(rows) & rows["probe"].eq("VeLPIC") & rows["one_component_equal"].notna()]
    rows = rows.assign(equal=(rows["one_component_equal"] / rows["total"]).astype(float))
    fractions = rows.groupby(CASE)["equal"].agg(lowest="min", mean="mean").reset_index()
    return fractions[fractions["p"].between(0, 1, inclusive="neither")]


def transfers(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return what a new readout does to the network at the last checkpoint of which both are known."""
    table = []
    for case, rows in _cases(_ordinary(accuracy)):
        network = rows[rows["probe"] == "model"]
        for head in (name for name in rows["probe"].unique() if str(name).startswith("transfer-")):
            edited = rows[rows["probe"] == head].merge(network[["seed", "epoch"]])
            if edited.empty:
                continue
            last = last_checkpoint(edited, "seed")
            before = network.merge(last[["seed", "epoch"]])
            table.append(
                case
                | {"head": str(head).removeprefix("transfer-"), "edited": _mean(last)}
                | {"network": _mean(before), "network_peak": _peak(network)["peak"]}
                | {"epoch": float(last["epoch"].mean())}
                | _difference(last, before)
            )
    return pd.DataFrame(table)


def initializations(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return how networks end whose readout was VeLPIC's vectors before training, and the two references.

    ``reference`` is the ordinary network with the same optimizer and number of epochs, or random rows.
    """
    table = []
    of_model = accuracy[accuracy["probe"] == "model"]
    started = of_model[(of_model["at_epoch"] == 0).fillna(False)]
    for case, rows in _cases(started):
        ends = last_checkpoint(rows)
        velpic = ends[ends["intervention"].str.fullmatch(r"velpic_at_0(_batch\d+)?")]
        for edit, reference in (("none", "ordinary network"), ("random", "random rows")):
            other = ends[ends["edit"] == edit]
            if len(velpic) and len(other):
                of_velpic = rows[rows["intervention"] == velpic["intervention"].iloc[0]]
                table.append(
                    case
                    | {"reference": reference, "end": _mean(velpic), "peak": _peak(of_velpic)["peak"]}
                    | {"reference_end": _mean(other)}
                    | _difference(velpic, other)
                )
    return pd.DataFrame(table)
