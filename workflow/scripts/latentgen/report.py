"""The report of a study: one HTML file that holds everything and asks no other host for anything.

Every number in it is taken from the tables when it is written; none is typed.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined

from latentgen.config import Drawing, Pair, Study
from latentgen.curves import DIFFERENCES, PROBES, protocols_table
from latentgen.errors import LatentgenError
from latentgen.figures import beside, other_study, select
from latentgen.files import atomic_path
from latentgen.joblog import duration
from latentgen.points import final_table, probes_table, sensitivity_table, share_of, untrained_table
from latentgen.published import read_fidelity
from latentgen.runs import EARLY_STOP, RELABEL
from latentgen.subspace_figure import subspaces_table
from latentgen.tables import ACCURACY, BESIDE, COMPARISONS, HISTORY, SUMMARY, read_cost, read_parquet

TEMPLATE = Path(__file__).with_name("report.html.j2")


@dataclass(frozen=True)
class Tables:
    """The tables of a study, and what it was made with."""

    accuracy: pd.DataFrame
    history: pd.DataFrame
    summary: pd.DataFrame
    comparisons: pd.DataFrame
    fidelity: pd.DataFrame
    cost: pd.DataFrame
    provenance: dict[str, Any]
    beside: pd.DataFrame | None = None


class Column(NamedTuple):
    """A column of a table for people: its heading, and how its values are written."""

    heading: str
    write: Callable[[Any], str] = str
    number: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table for people."""

    title: str
    note: str
    columns: Sequence[Column]
    rows: list[list[str]]


@dataclass(frozen=True)
class Caption:
    """What a figure shows, what to look at, and what was found."""

    title: str
    look: str
    found: list[str] = field(default_factory=list)
    where: str = "at the end of training"
    """What the numbers in `found` are of."""


def read_tables(folder: str | Path) -> Tables:
    """Read what the report is about from a study's folder of tables.

    Raises
    ------
    LatentgenError
        If a table is missing, unreadable or lacks a column.
    """
    folder = Path(folder)
    try:
        summary = pd.read_csv(folder / "summary.csv")[list(SUMMARY)]
        comparisons = pd.read_csv(folder / "comparisons.csv")[list(COMPARISONS)]
        provenance = json.loads((folder / "provenance.json").read_text())
    except (OSError, ValueError, KeyError) as error:
        raise LatentgenError(f"{folder} cannot be read ({error}). Make the study's tables anew.") from error
    return Tables(
        read_parquet(folder / "accuracy.parquet", ACCURACY),
        read_parquet(folder / "history.parquet", HISTORY),
        summary,
        comparisons,
        read_fidelity(folder / "fidelity.csv"),
        read_cost(folder / "cost.csv"),
        provenance,
        read_parquet(other, BESIDE) if (other := folder / "beside.parquet").exists() else None,
    )


def write_report(
    path: str | Path,
    study: Study,
    tables: Tables,
    figures: Mapping[str, str | Path],
    template: str | Path = TEMPLATE,
) -> None:
    """Write the report of a study.

    Parameters
    ----------
    path : str or Path
        Where to.
    study : Study
    tables : Tables
    figures : mapping
        PNG file of each of the study's figures by its name.
    template : str or Path
        The page, in Jinja's language.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(Path(template).read_text()).render(
        study=study,
        asked=asked(study, tables),
        warnings=warnings(study, tables),
        figures=[
            {
                "name": name,
                "caption": caption(study.drawings[name], tables, name),
                "png": base64.b64encode(Path(file).read_bytes()).decode(),
            }
            for name, file in figures.items()
        ],
        overview=[overview(drawing, tables) for drawing in _one_per_pair_and_noise(study)],
        sheets=[
            _finals(study, tables),
            _comparisons(tables),
            *beside_published(tables),
            *_not_compared(tables),
            _costs(tables),
            _summary(tables),
        ],
        provenance=tables.provenance,
        steps=_steps(tables),
        settings=json.dumps(study.model_dump(mode="json"), indent=2),
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


# --- What was asked -------------------------------------------------------------------------------


def asked(study: Study, tables: Tables) -> list[str]:
    """Say in sentences what the study file asked for."""
    noises = "; ".join(
        "labels as they were given"
        if noise.kind == "given"
        else f"{noise.noise_name} label noise with p = {_listed(f'{p:g}' for p in noise.p)}"
        for noise in study.noise
    )
    n_trained = sum(not run.intervention for run in study.runs.values())
    sentences = [
        f"{n_trained} networks were trained: {noises}; {_counted(len(study.seeds), 'seed')} "
        f"({_listed(map(str, study.seeds))}) of each."
    ]
    for pair in study.pairs:
        dataset = tables.provenance["datasets"][pair.dataset.dataset_id]
        layers = _listed(f"{name} ({width:,})" for name, width in _layers(pair).items())
        sentences.append(
            f"{pair.name}: {pair.model.described} on {dataset['training_items']:,} training items of "
            f"{dataset['classes']} classes, tested on {dataset['test_items']:,} with true labels; "
            f"{_trained(pair)}. "
            f"Layers that were probed, with their widths: {layers}."
        )
        if pair.interventions:
            edits = _listed(one.intervention_name for one in pair.interventions)
            sentences.append(
                f"{pair.name}, edited midway or trained afresh, as further runs: {edits}. Figures and tables "
                "on this page, but for those that name one of these, are of the other runs."
            )
    fits = _listed(name for name in study.fit_labels if name != "every_p")
    probes = _listed(probe.probe_name for probe in study.probes)
    sentences.append(f"At every checkpoint, on every layer: {probes}, fitted with {fits} labels.")
    if "every_p" in study.fit_labels:
        sentences.append(
            "Networks trained on clean labels were probed with the corrupted labels of every p too."
        )
    if study.transfer:
        biases = _listed(study.transfer.bias)
        sentences.append(f"VeLPIC's vectors were written into the readout, its bias {biases}.")
    return sentences


def _trained(pair: Pair) -> str:
    training = pair.training
    if training is None:
        return "with weights that were trained elsewhere"
    settings = ", ".join(
        f"{key.replace('_', ' ')} {value}"
        for key, value in training.optimizer.model_dump(mode="json").items()
        if key != "name"
    )
    stop = (
        f"until they gave {100 * training.stop.train_accuracy:g} % of their training labels back, "
        f"for at most {training.max_epochs} epochs"
        if training.stop
        else f"for {training.max_epochs} epochs"
    )
    return f"{training.optimizer.name} with {settings}, batches of {training.batch_size}, {stop}"


# --- What was found -------------------------------------------------------------------------------


def caption(drawing: Drawing, tables: Tables, name: str) -> Caption:
    """Return a figure's caption, with what was found filled in from the tables."""
    return _CAPTIONS[drawing.kind](drawing, tables)


def _dynamics(drawing: Drawing, tables: Tables) -> Caption:
    final, peaks = _final(drawing, tables), _model_peaks(drawing, tables)
    lost = [f"{100 * (peaks[p].peak - _of(rows, 'model')):.1f} at p = {p:g}" for p, rows in _by_p(final)]
    found = [f"From its peak to the end the model loses, in points: {_listed(lost)}."]
    for probe in PROBES:
        above = [
            f"{_signed(mean - _of(rows, 'model'))} at p = {p:g} ({layer})"
            for p, rows in _by_p(final)
            for _, layer, mean in _best(rows, [probe])
        ]
        if above:
            found.append(f"{probe} on its best layer is, at the end, above the model by {_listed(above)}.")
    return Caption(
        "Accuracy while the network memorizes",
        "Follow the black line, the model on test items: where labels are noisy it rises, and falls again "
        "while the grey line (the noisy training labels) goes to 100 %. The coloured lines are probes "
        "of the same network’s layers, fitted with the same noisy labels: where they stay above the black "
        "line, the layers still hold what the output has lost. " + _CONTROLS + _dashes(drawing, tables),
        [*found, *_control(drawing, tables)],
    )


def _difference(drawing: Drawing, tables: Tables) -> Caption:
    rows = _comparisons_of(drawing, tables)
    found = []
    for what, reference in DIFFERENCES:
        of_two = rows[(rows["what"] == what) & (rows["reference"] == reference)]
        for p, layers in _by_p(of_two):
            ends = layers.sort_values("difference").to_dict("records")
            said = [
                f"{_points(row)} on {row['layer']}"
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
    for p, rows in _by_p(_final(drawing, tables)):
        edited = [
            f"{_percent(_of(rows, name))} (bias {name.removeprefix('transfer-')})"
            for name in rows["probe"].unique()
            if name.startswith("transfer-")
        ]
        found.append(
            f"p = {p:g}: {_percent(_of(rows, 'model'))} as trained, {_listed(edited)} after the edit."
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
    rows = _comparisons_of(drawing, tables)
    rows = rows[(rows["reference"] == "model") & rows["best"]]
    found = []
    shown = final_table(select(tables.accuracy, **_names(drawing)))["probe"].unique()
    for what in (what for what in rows["what"].unique() if what in shown):
        best = max(rows[rows["what"] == what].to_dict("records"), key=lambda row: float(row["difference"]))
        where = "" if best["layer"] == "readout" else f", on {best['layer']}"
        found.append(
            f"{what} is furthest above the model at p = {best['p']:g}{where}: "
            f"{_percent(best['final'])} against {_percent(best['reference_final'])}, {_points(best)}."
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
    rows = untrained_table(select(tables.accuracy, **_names(drawing)))
    fitted = rows[(rows["fit_labels"] == "corrupted") & (rows["probe"] != "model")]
    found = [
        f"p = {p:g}: {_percent(best['mean'])} at most, by {best['probe']} on {best['layer']}; "
        f"the model itself {_percent(_of(rows[rows['p'] == p], 'model'))}."
        for p, of_p in _by_p(fitted)
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
    rows = probes_table(select(tables.accuracy, **_names(drawing)))
    ends = rows[rows["final"] & (rows["fit_labels"] == "corrupted")]
    found = []
    for p, of_p in _by_p(ends[ends["probe"] != "model"]):
        best = sorted(_best(of_p, list(of_p["probe"].unique())), key=lambda one: -one[2])
        said = _listed(f"{probe} {_percent(mean)} ({layer})" for probe, layer, mean in best)
        found.append(
            f"p = {p:g}, each probe on its best layer: {said}; "
            f"the model {_percent(_of(ends[ends['p'] == p], 'model'))}."
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
    rows = sensitivity_table(select(tables.accuracy, **_names(drawing)))
    rows = rows[rows["fit_labels"] == "corrupted"]
    found = []
    for p, of_p in _by_p(rows):
        means = of_p.groupby("probe", sort=False)["mean"].mean().sort_values()
        worst, best = (
            f"{_percent(means.iloc[place])} with {_share(str(means.index[place]))}" for place in (0, -1)
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
    for column, value in _names(drawing).items():
        cost = cost[cost[column] == value]
    found = []
    widest = cost[(cost["width"] == cost["width"].max()) & cost["probe"].isin(PROBES)]
    for probe, rows in widest.groupby("probe", sort=False):
        median = rows[[f"{step}_{of}" for step in ("fit", "predict") for of in ("seconds", "flops")]].median()
        found.append(
            f"{probe} on {rows['layer'].iloc[0]} ({rows['width'].iloc[0]:,} units): fitted in "
            f"{median['fit_seconds']:.3g} s with {median['fit_flops']:.2g} operations, "
            f"{rows['predict_items'].iloc[0]:,} items predicted in {median['predict_seconds']:.3g} s with "
            f"{median['predict_flops']:.2g}."
        )
    machines = _listed(
        f"{row['device']}, {_counted(row['threads'], 'thread')}"
        for row in cost[["device", "threads"]].drop_duplicates().to_dict("records")
    )
    return Caption(
        "What probes cost",
        f"Each probe was fitted once more by itself, at the end of training ({machines}), for these numbers "
        "only: in the study itself MASC and VeLPIC, with all shares of variance, share one decomposition of "
        "each class. Seconds are of this machine, with whatever else it was doing, and differ from time to "
        "time; operations and bytes are by formula (latentgen/probe_costs.py): large products and "
        "decompositions, and what must be moved at least once.",
        found,
        "of the widest layer, medians over runs",
    )


def _protocols(drawing: Drawing, tables: Tables) -> Caption:
    found, other_name = [], "another study"
    if tables.beside is not None:
        other = other_study(tables.beside, **_names(drawing))
        other_name = str(other["study"].iloc[0])
        rows = protocols_table(select(tables.accuracy, **_names(drawing)), other)
        rows = rows[rows["final"]]
        for p, of_p in _by_p(rows):
            two = [of_p[of_p["source"] == source] for source in ("ours", other_name)]
            said = _listed(
                f"{probe} {_percent(_of(two[0], probe))} here, {_percent(_of(two[1], probe))} there"
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
    rows = beside(tables.fidelity, **_names(drawing))
    return f" {what} are the papers’ own numbers, where they can be compared." if len(rows) else ""


def _control(drawing: Drawing, tables: Tables, probe: str | None = None) -> list[str]:
    """Say how far from chance probes of permuted labels are, if there are any."""
    rows = select(tables.accuracy, **_names(drawing))
    rows = rows[(rows["fit_labels"] == "permuted") & (rows["split"] == "test")]
    if probe is not None:
        rows = rows[rows["probe"].str.startswith(probe)]
    if rows.empty:
        return []
    last = rows[rows["epoch"] == rows.groupby("run")["epoch"].transform("max")]
    shares = last["correct"] / last["total"]
    chance = 1 / drawing.pair.dataset.info.n_classes
    return [
        f"Control: fitted with permuted labels, probes get {_percent(shares.mean())} on average over all "
        f"runs and layers (from {_percent(shares.min())} to {_percent(shares.max())}); chance is "
        f"{_percent(chance)}. A single permutation can favour whole classes, so this scatters widely."
    ]


def _share(probe: str) -> str:
    found = share_of(probe)
    return f"{found[1]}" if found else probe


def _edits(drawing: Drawing, tables: Tables) -> Caption:
    rows = _interventions_compared(drawing, tables)
    rows = rows[rows["reference"].str.startswith("model, none_at_")]
    return Caption(
        "Networks that were edited midway, and went on training",
        "Each coloured line is the same network, its readout changed at the epoch that is named; black is "
        "the network that was left alone, grey the control: nothing changed but a fresh optimizer. What an "
        "edit does is its distance from the grey line of the same kind. Items whose label was redrawn and "
        "those left untouched are shown apart: noise is forgotten where redrawn items turn to their true "
        "label.",
        [
            f"{row['intervention']}, p = {row['p']:g}: {_points(row)} against its control."
            for row in rows.to_dict("records")
        ],
    )


def _relabel(drawing: Drawing, tables: Tables) -> Caption:
    rows = _interventions_compared(drawing, tables)
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
            f"{row['intervention']}, p = {row['p']:g}: {_percent(row['final'])}, {_points(row)} against "
            f"{words[row['reference']]}."
            for row in rows.to_dict("records")
        ],
    )


def _subspaces(drawing: Drawing, tables: Tables) -> Caption:
    accuracy = tables.accuracy
    for column, value in (_names(drawing) | {"intervention": "none"}).items():
        accuracy = accuracy[accuracy[column] == value]
    found = []
    for p, rows in _by_p(subspaces_table(accuracy)):
        said = [
            f"{_percent(mean)} ({title}, {layer})"
            for title in rows["shown"].unique()
            for _, layer, mean in _best(rows[rows["shown"] == title], ["MASC"])
        ]
        found.append(f"p = {p:g}, MASC on its best layer: {_listed(said)}.")
    return Caption(
        "Noisy or clean network, noisy or true labels",
        "What costs accuracy, the noise that the network was trained on, or the noise in the labels that the "
        "subspaces are fitted with? Left, both; middle, the network’s noise alone; right, the labels’ alone.",
        found,
    )


def _interventions_compared(drawing: Drawing, tables: Tables) -> pd.DataFrame:
    """Paired comparisons of the models of a pair's runs with an intervention."""
    rows = tables.comparisons[tables.comparisons["what"] == "model"]
    for column, value in _names(drawing).items():
        rows = rows[rows[column] == value]
    return rows


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


def overview(drawing: Drawing, tables: Tables) -> Sheet:
    """Return, per strength of noise, the model's peak and end and the best layer of every probe."""
    final, peaks = _final(drawing, tables), _model_peaks(drawing, tables)
    probes = [name for name in final["probe"].unique() if name != "model"]
    rows = []
    for p, of_p in _by_p(final):
        best = {probe: (layer, mean) for probe, layer, mean in _best(of_p, probes)}
        row = {"p": p, **peaks[p]._asdict(), "model": _of(of_p, "model")}
        rows.append(row | {f"best {probe}": best.get(probe) for probe in probes})
    columns = {
        "p": Column("p", _general, number=True),
        "peak": Column("model, peak", _percent, number=True),
        "epoch": Column("at epoch", "{:.0f}".format, number=True),
        "model": Column("model, end", _percent, number=True),
    }
    columns |= {f"best {probe}": Column(f"{probe}, end", _with_layer, number=True) for probe in probes}
    several = len(set(tables.accuracy["noise"])) > 1
    chance = 1 / drawing.pair.dataset.info.n_classes
    return _sheet(
        drawing.pair.name + (f", {drawing.noise.noise_name} noise" if several else ""),
        f"Test accuracy against true labels, in percent, mean of {_counted(final['seeds'].max(), 'seed')}; "
        f"chance is {_percent(chance)}. Probes are fitted with corrupted labels. Peaks, and the layer of a "
        "probe (in brackets), are the best on these same test items, picked afterwards: a little too good. "
        "All layers stand in the tables below.",
        pd.DataFrame(rows),
        columns,
    )


def warnings(study: Study, tables: Tables) -> list[str]:
    """Say what a reader should know before believing a number."""
    found = []
    unmet = []
    last = {row["run"]: row for row in tables.history.sort_values("epoch").to_dict("records")}
    for name, run in study.runs.items():
        training = run.pair.training
        stop = training.stop if training else None
        if training and stop and not run.intervention and name in last:
            row = last[name]
            share = float(row["train_corrupted_correct"]) / float(row["train_total"])
            if row["epoch"] == training.max_epochs and share < stop.train_accuracy:
                unmet.append(f"{name} ({100 * share:.1f} %)")
    if unmet:
        found.append(
            f"{_counted(len(unmet), 'run')} reached max_epochs before having memorized the labels as the "
            f"stop rule asks: {_listed(unmet)}. What stands under “end” is not memorization there."
        )
    missing = tables.accuracy[tables.accuracy["missing_classes"].fillna(0) > 0]
    if len(missing):
        runs = missing.groupby("run")["missing_classes"].max()
        named = _listed(f"{run} ({count})" for run, count in runs.items())
        found.append(
            f"In {_counted(len(runs), 'run')} no training item had the label of some class, which the probes "
            f"then never predict (number of classes): {named}."
        )
    unknown = dict.fromkeys(run.spec.dataset for run in study.runs.values() if not run.truth_known)
    if unknown:
        found.append(
            f"True training labels of {_listed(unknown)} are not known: what would need them is left out, "
            "that is, probes fitted with them, and what training items count against them."
        )
    if len(study.seeds) == 1:
        found.append(
            "There is one seed: intervals are those of the finite test set and say nothing about other seeds."
        )
    if len(tables.provenance["devices"]) > 1:
        found.append(f"Runs were trained on different devices: {_listed(tables.provenance['devices'])}.")
    commit = tables.provenance["commit"]
    if commit is None:
        found.append("The code was in no git repository: its version is known by its package's number only.")
    elif commit.endswith("+changes"):
        found.append("The code differed from the commit named below.")
    return found


# --- Numbers --------------------------------------------------------------------------------------


def _one_per_pair_and_noise(study: Study) -> list[Drawing]:
    return [Drawing("final", pair, noise) for pair in study.pairs for noise in study.noise]


def _names(drawing: Drawing) -> dict[str, str]:
    return {
        "dataset": drawing.pair.dataset.dataset_id,
        "model": drawing.pair.model.model_name,
        "noise": drawing.noise.noise_name,
    }


def _final(drawing: Drawing, tables: Tables) -> pd.DataFrame:
    """Mean accuracy at the seeds' last checkpoints: columns p, probe, layer, seeds, mean, low, high."""
    table = final_table(select(tables.accuracy, **_names(drawing)))
    return table[table["fit_labels"] == "corrupted"]


class Peak(NamedTuple):
    """The model's best test accuracy, and the epoch where it was; means over seeds."""

    peak: float
    epoch: float


def _model_peaks(drawing: Drawing, tables: Tables) -> dict[float, Peak]:
    test = select(tables.accuracy, **_names(drawing))
    test = test[(test["probe"] == "model") & (test["split"] == "test") & (test["eval_labels"] == "true")]
    test = test.assign(value=test["correct"] / test["total"]).sort_values("epoch")
    best = test.loc[test.groupby(["p", "seed"])["value"].idxmax()]
    return {p: Peak(float(rows["value"].mean()), float(rows["epoch"].mean())) for p, rows in _by_p(best)}


def _by_p(rows: pd.DataFrame) -> list[tuple[float, pd.DataFrame]]:
    return [(float(p), rows[rows["p"] == p]) for p in sorted(rows["p"].unique())]


def _comparisons_of(drawing: Drawing, tables: Tables) -> pd.DataFrame:
    rows = tables.comparisons
    for column, value in _names(drawing).items():
        rows = rows[rows[column] == value]
    return rows[rows["intervention"] == "none"]


def _of(rows: pd.DataFrame, probe: str) -> float:
    return float(rows.loc[rows["probe"] == probe, "mean"].iloc[0])


def _best(rows: pd.DataFrame, probes: Sequence[str]) -> list[tuple[str, str, float]]:
    """Return each probe with the layer on which it is best, and its accuracy there."""
    best = []
    for probe in probes:
        layers = rows[rows["probe"] == probe].to_dict("records")
        if layers:
            row = max(layers, key=lambda row: float(row["mean"]))
            best.append((probe, str(row["layer"]), float(row["mean"])))
    return best


# --- Tables for people ----------------------------------------------------------------------------


def _sheet(title: str, note: str, table: pd.DataFrame, columns: Mapping[str, Column]) -> Sheet:
    rows = [
        [column.write(value) for column, value in zip(columns.values(), row, strict=True)]
        for row in table[list(columns)].itertuples(index=False, name=None)
    ]
    return Sheet(title, note, list(columns.values()), rows)


def _finals(study: Study, tables: Tables) -> Sheet:
    parts = [
        _final(drawing, tables).assign(pair=drawing.pair.name, noise=drawing.noise.noise_name)
        for drawing in _one_per_pair_and_noise(study)
    ]
    return _sheet(
        "End of training, by layer",
        "Mean test accuracy over seeds at the last checkpoint, with its 95 % interval (Student t over seeds; "
        "of one seed, Wilson’s, of the test set), in percent. Probes are fitted with corrupted labels.",
        pd.concat(parts).sort_values(["pair", "noise", "p"], kind="stable"),
        {
            "pair": Column("data and network"),
            "noise": Column("noise"),
            "p": Column("p", _general, number=True),
            "probe": Column("probe"),
            "layer": Column("layer"),
            "seeds": Column("seeds", number=True),
            "mean": Column("mean", _percent, number=True),
            "low": Column("low", _percent, number=True),
            "high": Column("high", _percent, number=True),
        },
    )


def _comparisons(tables: Tables) -> Sheet:
    return _sheet(
        "Paired comparisons at the end of training",
        "Difference of test accuracies, same noise and same seed, in percentage points, with its 95 % "
        "interval; p-value of the paired t test, and corrected after Holm within data, network and noise.",
        tables.comparisons,
        {
            "dataset": Column("data"),
            "model": Column("network"),
            "noise": Column("noise"),
            "intervention": Column("edit"),
            "p": Column("p", _general, number=True),
            "what": Column("what"),
            "layer": Column("layer"),
            "reference": Column("less"),
            "seeds": Column("seeds", number=True),
            "difference": Column("difference", _percent, number=True),
            "low": Column("low", _percent, number=True),
            "high": Column("high", _percent, number=True),
            "p_value": Column("p-value", _general, number=True),
            "p_holm": Column("after Holm", _general, number=True),
        },
    )


def beside_published(tables: Tables) -> list[Sheet]:
    """Return the papers' accuracies beside ours, where there are any of the study's pairs."""
    published = tables.fidelity
    compared = published[published["why_not"].isna() & published["ours"].notna()]
    if compared.empty:
        return []
    inside = int(compared["inside"].astype(bool).sum())
    return [
        _sheet(
            "Beside the papers’ numbers",
            f"Of {_counted(len(compared), 'published accuracy')} that can be compared, {inside} lie within "
            f"our 95 % interval; {len(published) - len(compared)} others are not compared, for the reasons "
            "in tables/fidelity.csv. In percent; the difference, ours less theirs, in points.",
            compared,
            {
                "dataset": Column("data"),
                "model": Column("network"),
                "p": Column("p", _general, number=True),
                "their_epoch": Column("their epoch", _general, number=True),
                "our_epoch": Column("our epoch", _general, number=True),
                "probe": Column("probe"),
                "layer": Column("layer"),
                "fit_labels": Column("fit labels"),
                "split": Column("split"),
                "eval_labels": Column("against"),
                "theirs": Column("theirs", _percent, number=True),
                "ours": Column("ours", _percent, number=True),
                "low": Column("low", _percent, number=True),
                "high": Column("high", _percent, number=True),
                "difference": Column("difference", _percent, number=True),
            },
        )
    ]


def _not_compared(tables: Tables) -> list[Sheet]:
    """Return the published cells that are not compared, counted by reason."""
    rows = tables.fidelity[tables.fidelity["why_not"].notna()]
    if rows.empty:
        return []
    by = ["dataset", "model", "noise", "probe", "table", "why_not"]
    counted = rows.groupby(by, sort=False).size().rename("cells").reset_index()
    return [
        _sheet(
            "Published numbers that are not compared, and why",
            "Every single one stands in tables/fidelity.csv, with its reason.",
            counted,
            {
                "dataset": Column("data"),
                "model": Column("network"),
                "noise": Column("our noise"),
                "probe": Column("probe"),
                "table": Column("published table"),
                "cells": Column("numbers", number=True),
                "why_not": Column("reason"),
            },
        )
    ]


def _costs(tables: Tables) -> Sheet:
    measures = [f"{step}_{of}" for step in ("fit", "predict") for of in ("seconds", "flops", "bytes")]
    by = ["dataset", "model", "noise", "layer", "width", "probe"]
    medians = tables.cost.groupby(by, sort=False)[measures].median().reset_index()
    return _sheet(
        "What probes cost",
        "Median over runs, of each probe fitted by itself at the end of training; single runs are in "
        "tables/cost.csv. Seconds are measured; floating-point operations and bytes are by formula.",
        medians,
        {
            "dataset": Column("data"),
            "model": Column("network"),
            "noise": Column("noise"),
            "layer": Column("layer"),
            "width": Column("units", number=True),
            "probe": Column("probe"),
            **{measure: Column(measure.replace("_", ": "), _general, number=True) for measure in measures},
        },
    )


def _summary(tables: Tables) -> Sheet:
    return _sheet(
        "Every run: peak and end",
        "Test accuracy against true labels, in percent, of every run, probe, layer and fit labels.",
        tables.summary,
        {
            "run": Column("run"),
            "p": Column("p", _general, number=True),
            "seed": Column("seed", number=True),
            "what": Column("what"),
            "layer": Column("layer"),
            "fit_labels": Column("fit labels"),
            "peak": Column("peak", _percent, number=True),
            "peak_epoch": Column("at epoch", number=True),
            "final": Column("end", _percent, number=True),
            "final_epoch": Column("at epoch", number=True),
        },
    )


def _steps(tables: Tables) -> Sheet:
    steps = [{"step": step, **of} for step, of in tables.provenance["steps"].items()]
    return _sheet(
        "What the steps took",
        "Computing time of all jobs of a step, without starting Python; the most memory that one job took.",
        pd.DataFrame(steps, columns=["step", "jobs", "seconds", "peak_megabytes"]),
        {
            "step": Column("step"),
            "jobs": Column("jobs", number=True),
            "seconds": Column("time", duration, number=True),
            "peak_megabytes": Column("memory", "{:,} MB".format, number=True),
        },
    )


# --- Words ----------------------------------------------------------------------------------------


def _layers(pair: Pair) -> dict[str, int]:
    return pair.model.probed_layers(pair.dataset.info.shape)


def _listed(words: Any) -> str:
    """Join words as in a sentence: a, b and c."""
    *first, last = list(words)
    return f"{', '.join(first)} and {last}" if first else last


def _counted(count: int, thing: str) -> str:
    several = f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"
    return f"{count} {thing if count == 1 else several}"


def _percent(share: float) -> str:
    return f"{100 * share:.1f}".replace("-", "−")


def _with_layer(best: tuple[str, float] | None) -> str:
    """Write an accuracy with the layer that it is of, which goes without saying for the readout."""
    if best is None:
        return "–"
    layer, accuracy = best
    return _percent(accuracy) + (f" ({layer})" if layer != "readout" else "")


def _general(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.3g}"


def _signed(share: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def _points(row: Mapping[Any, Any]) -> str:
    """Write a difference with its interval, in percentage points."""
    return f"{_signed(row['difference'])} [{_signed(row['low'])}, {_signed(row['high'])}]"
