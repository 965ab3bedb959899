"""Captions: what each figure shows, what to look at, and what was found, with numbers from the tables."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan

from latentgen.figures.curves import DIFFERENCES, protocols_table
from latentgen.figures.points import final_table, probes_table, sensitivity_table, share_of, untrained_table
from latentgen.figures.registry import beside, other_study, select
from latentgen.figures.styles import probe_looks
from latentgen.figures.subspaces import NOISE_LEFT, subspaces_table
from latentgen.report.lookup import (
    Tables,
    accuracy_of,
    best_layers,
    by_p,
    comparisons_of,
    final_rows,
    interventions_compared,
    model_peaks,
    names_of,
)
from latentgen.report.wording import counted, in_points, listed, percent, signed
from latentgen.study.config import Drawing
from latentgen.study.runs import EARLY_STOP, RELABEL


@dataclass(frozen=True)
class Caption:
    """What a figure shows, what to look at, and what was found."""

    title: str
    look: str
    found: list[str] = field(default_factory=list)
    where: str = "at the end of training"
    """What the numbers in `found` are of."""


def caption(drawing: Drawing, tables: Tables, name: str) -> Caption:
    """Return a figure's caption, with what was found filled in from the tables."""
    return _CAPTIONS[drawing.kind](drawing, tables)


def _dynamics(drawing: Drawing, tables: Tables) -> Caption:
    final, peaks = final_rows(drawing, tables), model_peaks(drawing, tables)
    lost = [
        f"{100 * (peaks[p].peak - accuracy_of(rows, 'model')):.1f} at p = {p:g}" for p, rows in by_p(final)
    ]
    found = [f"From its peak to the end the model loses, in points: {listed(lost)}."]
    for probe in probe_looks(final["probe"]):
        above = [
            f"{signed(mean - accuracy_of(rows, 'model'))} at p = {p:g} ({layer})"
            for p, rows in by_p(final)
            for _, layer, mean in best_layers(rows, [probe])
        ]
        if above:
            found.append(f"{probe} on its best layer is, at the end, above the model by {listed(above)}.")
    return Caption(
        "Accuracy while the network memorizes",
        "Follow the black line, the model on test items: where labels are noisy it rises, and falls again "
        "while the grey line (the noisy training labels) goes to 100 %. The coloured lines are probes "
        "of the same network’s layers, fitted with the same noisy labels: where they stay above the black "
        "line, the layers still hold what the output has lost. " + _CONTROLS + _dashes(drawing, tables),
        [*found, *_control(drawing, tables)],
    )


def _difference(drawing: Drawing, tables: Tables) -> Caption:
    rows = comparisons_of(drawing, tables)
    found = []
    for what, reference in DIFFERENCES:
        of_two = rows[(rows["what"] == what) & (rows["reference"] == reference)]
        for p, layers in by_p(of_two):
            ends = layers.sort_values("difference").to_dict("records")
            said = [
                f"{in_points(row)} on {row['layer']}"
                for row in ({0: ends[0], len(ends) - 1: ends[-1]}).values()
            ]
            found.append(
                f"{what} − {reference}, p = {p:g}: "
                + (f"from {' to '.join(said)}." if len(said) > 1 else f"{said[0]}.")
            )
    return Caption(
        "Probe less probe",
        "Each row subtracts one probe’s test accuracy from another’s, fitted on the same layer with the same "
        "labels in the same run: above zero, the first is better. VeLPIC has one direction per class, MASC a "
        "subspace per class, and logistic regression is fitted to the labels directly.",
        found,
    )


def _transfer(drawing: Drawing, tables: Tables) -> Caption:
    found = []
    for p, rows in by_p(final_rows(drawing, tables)):
        edited = [
            f"{percent(accuracy_of(rows, name))} (bias {name.removeprefix('transfer-')})"
            for name in rows["probe"].unique()
            if name.startswith("transfer-")
        ]
        found.append(
            f"p = {p:g}: {percent(accuracy_of(rows, 'model'))} as trained, {listed(edited)} after the edit."
        )
    return Caption(
        "The model with VeLPIC’s vectors in its readout",
        "Black is the model as trained; the broken lines are the same model with no further training, only "
        "the readout’s weights replaced. Where they are above the black line, the edit has given back test "
        "accuracy. With bias zero the edited model is, by construction, the last layer’s VeLPIC probe (broad "
        "pale line)." + _dashes(drawing, tables),
        found,
    )


def _final_figure(drawing: Drawing, tables: Tables) -> Caption:
    rows = comparisons_of(drawing, tables)
    rows = rows[(rows["reference"] == "model") & rows["best"]]
    found = []
    shown = final_table(select(tables.accuracy, **names_of(drawing)))["probe"].unique()
    for what in (what for what in rows["what"].unique() if what in shown):
        best = max(rows[rows["what"] == what].to_dict("records"), key=lambda row: float(row["difference"]))
        where = "" if best["layer"] == "readout" else f", on {best['layer']}"
        found.append(
            f"{what} is furthest above the model at p = {best['p']:g}{where}: "
            f"{percent(best['final'])} against {percent(best['reference_final'])}, {in_points(best)}."
        )
    return Caption(
        "Test accuracy at the end of training, by the strength of the noise",
        "The distance between the black line and the others is the latent generalization: what the layers "
        "still tell of the true labels, and the model’s own output does not. "
        + _CONTROLS
        + _dashes(drawing, tables),
        [*found, *_control(drawing, tables)],
    )


def _untrained(drawing: Drawing, tables: Tables) -> Caption:
    rows = untrained_table(select(tables.accuracy, **names_of(drawing)))
    fitted = rows[(rows["fit_labels"] == "corrupted") & (rows["probe"] != "model")]
    found = [
        f"p = {p:g}: {percent(best['mean'])} at most, by {best['probe']} on {best['layer']}; "
        f"the model itself {percent(accuracy_of(rows[rows['p'] == p], 'model'))}."
        for p, of_p in by_p(fitted)
        for best in [max(of_p.to_dict("records"), key=lambda row: float(row["mean"]))]
    ]
    return Caption(
        "The untrained network (epoch 0)",
        "Probes on a network that has learned nothing: what they get here comes from the images and the "
        "random weights, and is what trained layers have to beat. Crosses, where there are any, are a "
        "control: probes fitted with permuted labels. At p = 1 the labels themselves carry nothing.",
        found,
        "on the untrained network",
    )


def _probes(drawing: Drawing, tables: Tables) -> Caption:
    rows = probes_table(select(tables.accuracy, **names_of(drawing)))
    ends = rows[rows["final"] & (rows["fit_labels"] == "corrupted")]
    found = []
    for p, of_p in by_p(ends[ends["probe"] != "model"]):
        best = sorted(best_layers(of_p, list(of_p["probe"].unique())), key=lambda one: -one[2])
        said = listed(f"{probe} {percent(mean)} ({layer})" for probe, layer, mean in best)
        found.append(
            f"p = {p:g}, each probe on its best layer: {said}; "
            f"the model {percent(accuracy_of(ends[ends['p'] == p], 'model'))}."
        )
    return Caption(
        "Kinds of probes at the end of training, by layer",
        "Bars are probes fitted with the noisy labels on the trained network; the black line is the model’s "
        "own output. Open circles are the same probes on the untrained network, crosses the same probes "
        "fitted with permuted labels, where the study has these: controls. A bar tells of something that "
        "training left in a layer only where it is above both. Wide layers may lack the probes that the "
        "study limits to narrower ones." + _dashes(drawing, tables, "Short dark strokes on the bars"),
        [*found, *_control(drawing, tables)],
    )


def _sensitivity(drawing: Drawing, tables: Tables) -> Caption:
    rows = sensitivity_table(select(tables.accuracy, **names_of(drawing)))
    rows = rows[rows["fit_labels"] == "corrupted"]
    found = []
    for p, of_p in by_p(rows):
        means = of_p.groupby("probe", sort=False)["mean"].mean().sort_values()
        worst, best = (
            f"{percent(means.iloc[place])} with {_share(str(means.index[place]))}" for place in (0, -1)
        )
        found.append(f"p = {p:g}, mean over the layers: from {worst} to {best}.")
    return Caption(
        "How much of each class’s variance MASC keeps",
        "A flat line means that it does not matter how many directions a class’s subspace has. With "
        "noisy labels fewer directions may help or hurt; the papers keep 0.99. "
        + _CONTROLS
        + _dashes(drawing, tables),
        [*found, *_control(drawing, tables, probe="MASC")],
    )


def _cost(drawing: Drawing, tables: Tables) -> Caption:
    cost = tables.cost
    for column, value in names_of(drawing).items():
        cost = cost[cost[column] == value]
    found = []
    widest = cost[(cost["width"] == cost["width"].max()) & cost["probe"].isin(probe_looks(cost["probe"]))]
    for probe, rows in widest.groupby("probe", sort=False):
        median = rows[[f"{step}_{of}" for step in ("fit", "predict") for of in ("seconds", "flops")]].median()
        fit, predict = (  # no formula is known of a user's own probes
            f"{median[f'{step}_seconds']:.3g} s"
            + ("" if isnan(flops := median[f"{step}_flops"]) else f" with {flops:.2g} operations")
            for step in ("fit", "predict")
        )
        found.append(
            f"{probe} on {rows['layer'].iloc[0]} ({rows['width'].iloc[0]:,} units): fitted in {fit}, "
            f"{rows['predict_items'].iloc[0]:,} items predicted in {predict}."
        )
    machines = listed(
        f"{row['device']}, {counted(row['threads'], 'thread')}"
        for row in cost[["device", "threads"]].drop_duplicates().to_dict("records")
    )
    return Caption(
        "What probes cost",
        f"Each probe was fitted once more by itself, at the end of training ({machines}), for these numbers "
        "only: in the study itself MASC and VeLPIC, with all shares of variance, share one decomposition of "
        "each class. Seconds are of this machine, with whatever else it was doing, and differ from time to "
        "time; operations and bytes are by formula (latentgen/probes/costs.py): large products and "
        "decompositions, and what must be moved at least once.",
        found,
        "of the widest layer, medians over runs",
    )


def _protocols(drawing: Drawing, tables: Tables) -> Caption:
    found, other_name = [], "another study"
    if tables.beside is not None:
        other = other_study(tables.beside, **names_of(drawing))
        other_name = str(other["study"].iloc[0])
        rows = protocols_table(select(tables.accuracy, **names_of(drawing)), other)
        rows = rows[rows["final"]]
        for p, of_p in by_p(rows):
            ours, theirs = (of_p[of_p["source"] == source] for source in ("ours", other_name))
            said = listed(
                f"{probe} {percent(accuracy_of(ours, probe))} here, "
                f"{percent(accuracy_of(theirs, probe))} there"
                for probe in of_p["probe"].unique()
            )
            found.append(f"p = {p:g}: {said}.")
    return Caption(
        "The same networks in two studies",
        f"Full lines are this study ({drawing.noise.noise_name} noise), broken ones {other_name}: the model "
        "and the probes of its last layer, on the same axes. The studies differ in all that their protocols "
        "differ in, so a difference cannot be put down to one of these things. Each has its own seeds: the "
        "intervals are of each by itself, and nothing is paired.",
        found,
    )


_CONTROLS = (
    "The hatched band, where there is one, is a control: probes fitted with permuted labels, over all "
    "layers. At p = 1, another control, no label carries anything."
)


def _dashes(drawing: Drawing, tables: Tables, what: str = "Thin broken lines") -> str:
    """Say what the papers' numbers are, if any can be drawn."""
    rows = beside(tables.fidelity, **names_of(drawing))
    return f" {what} are the papers’ own numbers, where they can be compared." if len(rows) else ""


def _control(drawing: Drawing, tables: Tables, probe: str | None = None) -> list[str]:
    """Say how far from chance probes of permuted labels are, if there are any."""
    rows = select(tables.accuracy, **names_of(drawing))
    rows = rows[(rows["fit_labels"] == "permuted") & (rows["split"] == "test")]
    if probe is not None:
        rows = rows[rows["probe"].str.startswith(probe)]
    if rows.empty:
        return []
    last = rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]
    shares = last["correct"] / last["total"]
    chance = 1 / drawing.pair.dataset.info.n_classes
    return [
        f"Control: fitted with permuted labels, probes get {percent(shares.mean())} on average over all "
        f"runs and layers (from {percent(shares.min())} to {percent(shares.max())}); chance is "
        f"{percent(chance)}. A single permutation can favour whole classes, so this scatters widely."
    ]


def _share(probe: str) -> str:
    found = share_of(probe)
    return f"{found[1]}" if found else probe


def _edits(drawing: Drawing, tables: Tables) -> Caption:
    rows = interventions_compared(drawing, tables)
    rows = rows[rows["reference"].str.startswith("model, none_at_")]
    return Caption(
        "Networks that were edited midway, and went on training",
        "Each coloured line is the same network, its readout changed at the epoch that is named; black is "
        "the network that was left alone, grey the control: nothing changed but a fresh optimizer. What an "
        "edit does is its distance from the grey line of the same kind. Where training had ended before that "
        "epoch, its last weights were edited. Items whose label was redrawn and those left untouched are "
        "shown apart: noise is forgotten where redrawn items turn to their true label.",
        [
            f"{row['intervention']}, p = {row['p']:g}: {in_points(row)} against its control."
            for row in rows.to_dict("records")
        ],
    )


def _relabel(drawing: Drawing, tables: Tables) -> Caption:
    rows = interventions_compared(drawing, tables)
    rows = rows[rows["intervention"].str.startswith(RELABEL)]
    words = {
        f"model, {EARLY_STOP}": "training on the corrupted labels, stopped early too",
        "model, unedited": "the network that memorized them",
    }
    return Caption(
        "Trained afresh on what MASC says of the training items",
        "All were measured on the four fifths of the test items that no training was stopped by. The middle "
        "panel is what the new labels bring over the corrupted ones at equal stopping; the one on the right, "
        "over memorization: how much of that stopping early alone brings, the grey control tells.",
        [
            f"{row['intervention']}, p = {row['p']:g}: {percent(row['final'])}, {in_points(row)} against "
            f"{words[row['reference']]}."
            for row in rows.to_dict("records")
        ],
    )


def _subspaces(drawing: Drawing, tables: Tables) -> Caption:
    accuracy = tables.accuracy
    for column, value in (names_of(drawing) | {"intervention": "none"}).items():
        accuracy = accuracy[accuracy[column] == value]
    table, found = subspaces_table(accuracy), []
    for p, rows in by_p(table):
        said = [
            f"{percent(mean)} ({title}, {layer})"
            for title in rows["shown"].unique()
            for _, layer, mean in best_layers(rows[rows["shown"] == title], ["MASC"])
        ]
        found.append(f"p = {p:g}, MASC on its best layer: {listed(said)}.")
    shown = table["shown"].unique()
    return Caption(
        "Noisy or clean network, noisy or true labels",
        "What costs accuracy, the noise that the network was trained on, or the noise in the labels that the "
        f"subspaces are fitted with? From left to right: {'; '.join(NOISE_LEFT[title] for title in shown)}.",
        found,
    )


_CAPTIONS: dict[str, Callable[[Drawing, Tables], Caption]] = {
    "dynamics": _dynamics,
    "difference": _difference,
    "transfer": _transfer,
    "final": _final_figure,
    "untrained": _untrained,
    "probes": _probes,
    "sensitivity": _sensitivity,
    "cost": _cost,
    "protocols": _protocols,
    "edits": _edits,
    "relabel": _relabel,
    "subspaces": _subspaces,
}
