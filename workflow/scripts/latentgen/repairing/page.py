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

TICK_LETTERS = 60
"""Letters in the names of all layers from which these are tilted, so that they do not touch."""


def audit_page(audit: "Audit") -> str:
    """Return the page of an audit."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    pictures = _Pictures(audit)
    return template.render(
        headline=_headline(audit),
        findings=audit.findings,
        groups=_groups(audit, pictures),
        duplicates=[_cards(audit, pair, pictures) for pair in audit.duplicates[:MOST_DUPLICATES]],
        choice=audit.choice,
        curves=_curves(audit),
        references=_as_rows(audit.references),
        noise=_noise(audit),
    )


def _headline(audit: "Audit") -> str:
    n, marked = len(audit.table), int(audit.table["is_issue"].sum())
    text = f"{n:,} examples of {len(audit.classes)} classes; {marked:,} labels are marked as probably wrong."
    if audit.n_issues is not None:
        value, low, high = (f"{round(bound):,}" for bound in audit.n_issues)
        text += f" Estimated number of wrong labels: {value} (95 % interval {low} … {high})."
    return text


class _Pictures:
    """Examples as PNG, if they can be shown as images."""

    def __init__(self, audit: "Audit") -> None:
        shape = tuple(audit.inputs[:1].shape[1:])
        self.inputs = audit.inputs if len(shape) == 2 or (len(shape) == 3 and shape[0] in (1, 3)) else None
        if self.inputs is not None and min(shape[-2:]) < 4:
            self.inputs = None
        if self.inputs is not None:
            sample = self.inputs[:1000].float()
            # Negative values are normalized: each channel by itself, which would tint the images.
            kept = () if sample.ndim == 3 or bool((sample >= 0).all()) else (1,)
            dims = [dim for dim in range(sample.ndim) if dim not in kept]
            self.low, self.high = (extreme(dims, keepdim=True)[0] for extreme in (sample.amin, sample.amax))

    def png(self, index: int) -> str:
        """Return an example as base64 text; empty if it is not an image."""
        if self.inputs is None:
            return ""
        from PIL import Image

        scaled = (self.inputs[index : index + 1][0].float() - self.low) / (self.high - self.low).clamp_min(
            1e-12
        )
        pixels = (255 * scaled.clamp(0, 1)).round().byte().cpu().numpy()
        if pixels.ndim == 3:
            pixels = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="PNG")
        return base64.b64encode(file.getvalue()).decode()


def _groups(audit: "Audit", pictures: _Pictures) -> list[dict[str, Any]]:
    by_class = {name: rows for name, rows in audit.table.groupby("given", sort=False)}
    shown = sorted(by_class, key=lambda name: -int(by_class[name]["is_issue"].sum()))[:MOST_CLASSES]
    return [
        {
            "name": name,
            "issues": int(rows["is_issue"].sum()),
            "examples": len(rows),
            "cards": _cards(audit, rows.nsmallest(CARDS, "score")["index"].tolist(), pictures),
        }
        for name, rows in ((name, by_class[name]) for name in audit.classes if name in shown)
    ]


def _cards(audit: "Audit", indices: Sequence[int], pictures: _Pictures) -> list[dict[str, Any]]:
    rows = audit.table.iloc[list(indices)]
    return [
        {
            "index": row["index"],
            "given": row["given"],
            "suggested": row["suggested"],
            "score": f"{row['score']:.2g}",
            "file": row.get("file", ""),
            "name": Path(row.get("file", "")).name,
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


def _noise(audit: "Audit") -> dict[str, Any] | None:
    if audit.noise_matrix is None:
        return None
    matrix = audit.noise_matrix
    wrong = matrix[(matrix["true"] != matrix["given"]) & (matrix["probability"] >= 0.02)]
    note = "the quarter with the clearest scores, with 95 % intervals"
    return {"table": _as_rows(wrong.sort_values("probability", ascending=False).head(40)), "note": note}


def _curves(audit: "Audit") -> str:
    """Held-out accuracies by layer, and the distribution of scores, as a PNG in base64."""
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    table = audit.choice.candidates
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 3.4), layout="constrained")
        FigureCanvasAgg(figure)
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        if table["held_out_accuracy"].notna().any():
            _draw_accuracies(left, table[table["checkpoint"] == audit.choice.checkpoint], audit)
        else:
            left.set_axis_off()
            left.text(0.5, 0.5, "No held-out labels:\nlayers cannot be compared.", ha="center", va="center")
        scores: NDArray[np.float64] = audit.table["score"].to_numpy()
        marked = audit.table["is_issue"].to_numpy()
        bins = np.linspace(0, 1, 41)
        right.hist([scores[marked], scores[~marked]], bins, stacked=True, color=["#D55E00", "#B8C4CE"])
        right.legend(["marked", "not marked"], frameon=False)
        right.set(xlabel="score", ylabel="examples")
        file = io.BytesIO()
        figure.savefig(file, dpi=130, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def _draw_accuracies(axes: Any, table: pd.DataFrame, audit: "Audit") -> None:
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
    chosen = table[(table["layer"] == audit.choice.layer) & (table["probe"] == audit.choice.probe)]
    axes.vlines(chosen["layer"].map(places), chosen["low"], chosen["high"], color="black", lw=1)
    itself = table.loc[table["layer"] == NETWORK, "held_out_accuracy"]
    axes.axhline(float(itself.iloc[0]), color="black", lw=1, ls=":")
    names = {RAW_INPUT: "raw\ninput", "readout input": "readout\ninput", ALL_LAYERS: "all\nlayers"}
    shown = [names.get(name, name) for name in places]
    tilted = {"rotation": 35, "ha": "right"} if sum(map(len, shown)) > TICK_LETTERS else {}
    axes.set_xticks([*places.values()], shown, fontsize=8, **tilted)
    axes.set_ylabel("held-out accuracy (noisy labels)")
    axes.legend(frameon=False, fontsize=8)
