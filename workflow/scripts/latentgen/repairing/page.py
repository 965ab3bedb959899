"""The report of an audit: one self-contained HTML page."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from numpy.typing import NDArray

from latentgen.repairing.choice import ALL_LAYERS, NETWORK
from latentgen.repairing.features import RAW_INPUT

if TYPE_CHECKING:
    from latentgen.repairing.audit import Audit

TEMPLATE = Path(__file__).with_name("audit.html.j2")

CARDS = 8
"""Examples shown for each class."""

MOST_CLASSES = 30
"""Classes shown; of more classes, those with the most marked labels."""

MOST_DUPLICATES = 10


def audit_page(found: "Audit") -> str:
    """Return the page of an audit."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    pictures = _Pictures(found)
    return template.render(
        headline=_headline(found),
        findings=found.findings,
        groups=_groups(found, pictures),
        duplicates=[_cards(found, pair, pictures) for pair in found.duplicates[:MOST_DUPLICATES]],
        choice=found.choice,
        curves=_curves(found),
        references=_as_rows(found.references),
        noise=_noise(found),
    )


def _headline(found: "Audit") -> str:
    n, marked = len(found.table), int(found.table["is_issue"].sum())
    said = f"{n:,} examples of {len(found.classes)} classes; {marked:,} labels are marked as probably wrong."
    if found.n_issues is not None:
        value, low, high = (f"{round(bound):,}" for bound in found.n_issues)
        said += f" Estimated number of wrong labels: {value} (95 % interval {low} … {high})."
    return said


class _Pictures:
    """Examples as PNG, if they can be shown as images."""

    def __init__(self, found: "Audit") -> None:
        shape = tuple(found.inputs.shape[1:])
        self.inputs = found.inputs if len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3)) else None
        if self.inputs is not None and min(shape[-2:]) < 4:
            self.inputs = None
        if self.inputs is not None:
            sample = self.inputs[:1000].float()
            self.low, self.high = float(sample.min()), float(sample.max())

    def png(self, index: int) -> str:
        """Return an example as base64 text; empty if it is not an image."""
        if self.inputs is None:
            return ""
        from PIL import Image

        scaled = (self.inputs[index].float() - self.low) / max(self.high - self.low, 1e-12)
        pixels = (255 * scaled.clamp(0, 1)).round().byte().cpu().numpy()
        if pixels.ndim == 3:
            pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return base64.b64encode(file.getvalue()).decode()


def _groups(found: "Audit", pictures: _Pictures) -> list[dict[str, Any]]:
    by_class = {name: rows for name, rows in found.table.groupby("given", sort=False)}
    shown = sorted(by_class, key=lambda name: -int(by_class[name]["is_issue"].sum()))[:MOST_CLASSES]
    return [
        {
            "name": name,
            "issues": int(rows["is_issue"].sum()),
            "examples": len(rows),
            "cards": _cards(found, rows.nsmallest(CARDS, "score")["index"].tolist(), pictures),
        }
        for name, rows in ((name, by_class[name]) for name in found.classes if name in shown)
    ]


def _cards(found: "Audit", indices: Sequence[int], pictures: _Pictures) -> list[dict[str, Any]]:
    rows = found.table.iloc[list(indices)]
    return [
        {
            "index": row["index"],
            "given": row["given"],
            "suggested": row["suggested"],
            "score": f"{row['score']:.2g}",
            "file": row.get("file", ""),
            "png": pictures.png(int(row["index"])),
        }
        for row in rows.to_dict("records")
    ]


def _as_rows(table: pd.DataFrame) -> dict[str, Any]:
    def cell(value: Any) -> dict[str, Any]:
        number = isinstance(value, float | int | np.number)
        missing = number and bool(np.isnan(float(value)))
        text = "–" if missing else f"{value:.3f}" if isinstance(value, float) else str(value)
        return {"text": text, "number": number}

    return {
        "columns": [str(name).replace("_", " ") for name in table.columns],
        "rows": [[cell(value) for value in row] for row in table.itertuples(index=False)],
    }


def _noise(found: "Audit") -> dict[str, Any] | None:
    if found.noise_matrix is None:
        return None
    matrix = found.noise_matrix
    wrong = matrix[(matrix["true"] != matrix["given"]) & (matrix["probability"] >= 0.02)]
    note = "the quarter with the clearest scores, with 95 % intervals"
    return {"table": _as_rows(wrong.sort_values("probability", ascending=False).head(40)), "note": note}


def _curves(found: "Audit") -> str:
    """Held-out accuracies by layer, and the distribution of scores, as a PNG in base64."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = found.choice.candidates
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        if table["held_out_accuracy"].notna().any():
            _draw_accuracies(left, table[table["checkpoint"] == found.choice.checkpoint], found)
        else:
            left.set_axis_off()
            left.text(0.5, 0.5, "No held-out labels:\nlayers cannot be compared.", ha="center", va="center")
        scores: NDArray[np.float64] = found.table["score"].to_numpy()
        marked = found.table["is_issue"].to_numpy()
        bins = np.linspace(0, 1, 41)
        right.hist([scores[marked], scores[~marked]], bins, stacked=True, color=["#D55E00", "#B8C4CE"])
        right.legend(["marked", "not marked"], frameon=False)
        right.set(xlabel="score", ylabel="examples")
        file = io.BytesIO()
        figure.savefig(file, dpi=130, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def _draw_accuracies(axes: Any, table: pd.DataFrame, found: "Audit") -> None:
    """Draw a line for each probe over the layers, with the sum over all layers apart at the right."""
    layers = [name for name in dict.fromkeys(table["layer"]) if name not in (NETWORK, ALL_LAYERS)]
    places = {name: i for i, name in enumerate([*layers, ALL_LAYERS])}
    colours = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999"]
    probes = table[table["layer"] != NETWORK].groupby("probe", sort=False)
    for i, (probe, rows) in enumerate(probes):
        colour = colours[i % len(colours)]
        single = rows[rows["layer"] != ALL_LAYERS]
        axes.plot(
            single["layer"].map(places),
            single["held_out_accuracy"],
            "o-",
            ms=4,
            lw=1,
            color=colour,
            label=probe,
        )
        together = rows[rows["layer"] == ALL_LAYERS]
        axes.plot(together["layer"].map(places), together["held_out_accuracy"], "o", ms=4, color=colour)
    chosen = table[(table["layer"] == found.choice.layer) & (table["probe"] == found.choice.probe)]
    axes.vlines(chosen["layer"].map(places), chosen["low"], chosen["high"], color="black", lw=1)
    itself = table.loc[table["layer"] == NETWORK, "held_out_accuracy"]
    axes.axhline(float(itself.iloc[0]), color="black", lw=1, ls=":")
    names = {RAW_INPUT: "raw\ninput", "readout input": "readout\ninput", ALL_LAYERS: "all\nlayers"}
    axes.set_xticks([*places.values()], [names.get(name, name) for name in places], fontsize=8)
    axes.set_ylabel("held-out accuracy (noisy labels)")
    axes.legend(frameon=False, fontsize=8)
