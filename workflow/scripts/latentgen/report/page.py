"""The report of a study: one self-contained HTML file.

Every number in it is taken from the tables when it is written.
"""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from latentgen.figures.wording import listed, plural
from latentgen.report.audits import audit_tables, repair_tables
from latentgen.report.charts import library, make_charts
from latentgen.report.labels import confusion_tables, label_quality_tables
from latentgen.report.lookup import Tables, layer_widths, one_per_pair_and_noise
from latentgen.report.readable_tables import (
    best_layers_tables,
    comparisons_table,
    costs_table,
    finals_table,
    not_compared_tables,
    overview,
    published_comparison,
    steps_table,
    summary_table,
)
from latentgen.runtime.files import atomic_path
from latentgen.study.config import Study
from latentgen.study.pairs import Pair
from latentgen.tables.selection import last_checkpoint
from latentgen.tables.statistics import copied_runs

TEMPLATE = Path(__file__).with_name("report.html.j2")


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
        Path of the report.
    study : Study
    tables : Tables
    figures : mapping
        PNG file of each of the study's figures by name.
    template : str or Path
        The Jinja template of the page.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    charts = make_charts(one_per_pair_and_noise(study), tables)
    page = environment.from_string(Path(template).read_text(encoding="utf-8")).render(
        study=study,
        settings_in_words=settings_in_words(study, tables),
        warnings=warnings(study, tables),
        figures=[
            {
                "name": name,
                "title": study.drawings[name].kind.title,
                "caption": study.drawings[name].kind.caption,
                "png": base64.b64encode(Path(file).read_bytes()).decode(),
            }
            for name, file in figures.items()
        ],
        overview=[overview(drawing, tables) for drawing in one_per_pair_and_noise(study)],
        charts=charts,
        library=library() if charts else "",
        tables=[
            *audit_tables(tables),
            *repair_tables(tables),
            finals_table(study, tables),
            *best_layers_tables(tables),
            *label_quality_tables(tables),
            *confusion_tables(tables),
            comparisons_table(tables),
            *published_comparison(tables),
            *not_compared_tables(tables),
            costs_table(tables),
            summary_table(tables),
        ],
        provenance=tables.provenance,
        steps=steps_table(tables),
        settings=json.dumps(study.model_dump(mode="json"), indent=2),
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8")


def _held_out(pair: Pair) -> str:
    count = pair.dataset.n_held_out
    return f"{count:,} further examples, labelled likewise, were held out; " if count else ""


def settings_in_words(study: Study, tables: Tables) -> list[str]:
    """Describe the study file in sentences."""
    noises = "; ".join(
        "labels as given"
        if noise.kind == "given"
        else f"{noise.noise_name} label noise with p = {listed(f'{p:g}' for p in noise.p)}"
        for noise in study.noise
    )
    n_trained = sum(not run.intervention for run in study.runs.values())
    sentences = [
        f"{n_trained} networks were trained: {noises}; {plural(len(study.seeds), 'seed')} "
        f"({listed(map(str, study.seeds))}) of each."
    ]
    for pair in study.pairs:
        dataset = tables.provenance["datasets"][pair.dataset.dataset_id]
        layers = listed(f"{name} ({width:,})" for name, width in layer_widths(pair).items())
        sentences.append(
            f"{pair.name}: {pair.model.description} on {dataset['training_items']:,} training examples of "
            f"{dataset['classes']} classes, tested on {dataset['test_items']:,} with true labels; "
            f"{_held_out(pair)}{_trained(pair)}. "
            f"Probed layers, with their widths: {layers}."
        )
        if pair.interventions:
            edits = listed(one.intervention_name for one in pair.interventions)
            sentences.append(
                f"{pair.name}, further runs, edited midway or retrained: {edits}. Figures and tables that do "
                "not name them show the other runs."
            )
    fits = listed(name for name in study.fit_labels if name != "every_p")
    probes = listed(probe.probe_name for probe in study.probes)
    sentences.append(f"At every checkpoint, on every layer: {probes}, fitted with {fits} labels.")
    if "every_p" in study.fit_labels:
        sentences.append(
            "Networks trained on clean labels were also probed with the corrupted labels of every p."
        )
    if study.transfer:
        biases = listed(study.transfer.bias)
        sentences.append(f"VeLPIC's vectors were written into the readout, its bias {biases}.")
    return sentences


def _trained(pair: Pair) -> str:
    training = pair.training
    if training is None:
        return "with weights trained elsewhere"
    settings = ", ".join(
        f"{key.replace('_', ' ')} {value}"
        for key, value in training.optimizer.model_dump(mode="json").items()
        if key != "name"
    )
    stop = (
        f"until training accuracy reached {100 * training.stop.train_accuracy:g} %, "
        f"for at most {training.max_epochs} epochs"
        if training.stop
        else f"for {training.max_epochs} epochs"
    )
    return f"{training.optimizer.name} with {settings}, batches of {training.batch_size}, {stop}"


def warnings(study: Study, tables: Tables) -> list[str]:
    """Return warnings that a reader should know before trusting the numbers."""
    messages = []
    unmet = []
    last = {row["run"]: row for row in last_checkpoint(tables.history).to_dict("records")}
    for name, run in study.runs.items():
        training = run.pair.training
        stop = training.stop if training else None
        if training and stop and not run.intervention and name in last:
            row = last[name]
            fraction = float(row["train_corrupted_correct"]) / float(row["train_total"])
            if row["epoch"] == training.max_epochs and fraction < stop.train_accuracy:
                unmet.append(f"{name} ({100 * fraction:.1f} %)")
    if unmet:
        messages.append(
            f"{plural(len(unmet), 'run')} reached max_epochs before memorizing the labels as the stop rule "
            f"requires: {listed(unmet)}. Their “end” is not memorization."
        )
    missing = tables.accuracy[tables.accuracy["missing_classes"].fillna(0) > 0]
    if len(missing):
        runs = missing.groupby("run")["missing_classes"].max()
        named = listed(f"{run} ({count})" for run, count in runs.items())
        messages.append(
            f"In {plural(len(runs), 'run')} some classes have no training example, so probes never predict "
            f"them (number of classes): {named}."
        )
    unknown = dict.fromkeys(run.spec.dataset for run in study.runs.values() if not run.truth_known)
    if unknown:
        messages.append(
            f"True training labels of {listed(unknown)} are not known, so probes fitted with them, and "
            "training accuracy against them, are left out."
        )
    if copies := copied_runs(tables.accuracy):
        messages.append(
            "Runs that equal another seed’s in every count are copies, not replicates: they count once in "
            f"every mean, interval and test. {plural(len(copies), 'copy')}: {listed(copies)}."
        )
    if len(study.seeds) == 1:
        messages.append(
            "There is only one seed: intervals reflect the finite test set and not the spread between seeds."
        )
    if len(tables.provenance["devices"]) > 1:
        messages.append(f"Runs were trained on different devices: {listed(tables.provenance['devices'])}.")
    commit = tables.provenance["commit"]
    if commit is None:
        messages.append("The code was not in a git repository: only its package version is known.")
    elif commit.endswith("+changes"):
        messages.append("The code differed from the commit named below.")
    return messages
