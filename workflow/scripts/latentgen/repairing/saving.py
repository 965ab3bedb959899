"""Files that an audit and a repair write."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from latentgen.runtime.files import atomic_path, write_json

if TYPE_CHECKING:
    from latentgen.repairing.audit import Audit
    from latentgen.repairing.repair import Repair

WEIGHTS, PROGRAM = "weights.safetensors", "network.pt2"


def save_audit(found: "Audit", folder: Path) -> None:
    """Write ``label_issues.csv``, ``audit.html`` and ``audit.json``."""
    with atomic_path(folder / "label_issues.csv") as partial:
        table = found.table.join(found.reference_scores)
        table.to_csv(partial, index=False, float_format="%.6g", encoding="utf-8", lineterminator="\n")
    found.report(folder / "audit.html")
    summary = {
        "examples": len(found.table),
        "classes": list(found.classes),
        "marked": int(found.table["is_issue"].sum()),
        "n_issues": _interval(found.n_issues),
        "checkpoint": found.choice.checkpoint,
        "layer": found.choice.layer,
        "probe": found.choice.probe,
        "how": found.choice.how,
        "findings": list(found.findings),
        "references": _records(found.references),
        "candidates": _records(found.choice.candidates),
        "noise_matrix": None if found.noise_matrix is None else _records(found.noise_matrix),
        "duplicates": [list(pair) for pair in found.duplicates],
    }
    write_json(folder / "audit.json", summary)


def save_repair(found: "Repair", folder: Path) -> str:
    """Write the repaired network and ``repair.json``; return how to load the network.

    Only the weights (safetensors) if its structure is that of the given network; otherwise a
    ``torch.export`` program, which needs none of the network's code.
    """
    if found.same_architecture:
        from safetensors.torch import save_file

        with atomic_path(folder / WEIGHTS) as partial:
            save_file({name: tensor.contiguous() for name, tensor in found.state_dict().items()}, partial)
        load = f"network.load_state_dict(safetensors.torch.load_file({WEIGHTS!r}))"
    else:
        with atomic_path(folder / PROGRAM) as partial, partial.open("wb") as file:
            torch.export.save(exported(found), file)
        load = f"network = torch.export.load({PROGRAM!r}).module()"
    summary = {
        "kind": found.kind,
        "load": load,
        "checkpoint": found.checkpoint,
        "layer": found.layer,
        "probe": found.probe,
        "before": _interval(found.before),
        "after": _interval(found.after),
        "gain": _interval(found.gain),
        "calibration": {name: measured._asdict() for name, measured in found.calibration.items()},
        "classes": list(found.classes),
        "findings": list(found.findings),
        "candidates": _records(found.candidates),
    }
    write_json(folder / "repair.json", summary)
    return load


def exported(found: "Repair") -> torch.export.ExportedProgram:
    """Return the repaired network as a program for any number of examples."""
    batch = torch.export.Dim("batch", min=1)
    shapes = (({0: batch},),)  # for the one argument in *inputs
    with torch.no_grad():
        program = torch.export.export(found.network, (found.example,), dynamic_shapes=shapes, strict=False)
    program.graph.eliminate_dead_code()  # layers after the one where a network is truncated
    return program


def _interval(found: Any) -> dict[str, float] | None:
    return None if found is None else {key: float(value) for key, value in found._asdict().items()}


def _records(table: Any) -> list[dict[str, Any]]:
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]
