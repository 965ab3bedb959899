"""Files that an audit and a repair write."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from latentgen.runtime.files import atomic_path, write_json

if TYPE_CHECKING:
    from latentgen.repairing.audit import Audit
    from latentgen.repairing.repair import Repair

WEIGHTS, PROGRAM, PICKLED = "weights.safetensors", "network.pt2", "network.pt"


def save_audit(audit: "Audit", folder: Path) -> None:
    """Write ``label_issues.csv``, ``audit.html`` and ``audit.json``."""
    with atomic_path(folder / "label_issues.csv") as partial:
        table = audit.table.join(audit.reference_scores)
        table.to_csv(partial, index=False, float_format="%.6g", encoding="utf-8", lineterminator="\n")
    audit.report(folder / "audit.html")
    summary = {
        "examples": len(audit.table),
        "classes": list(audit.classes),
        "marked": int(audit.table["is_issue"].sum()),
        "n_issues": _interval(audit.n_issues),
        "checkpoint": audit.choice.checkpoint,
        "layer": audit.choice.layer,
        "probe": audit.choice.probe,
        "how": audit.choice.how,
        "findings": list(audit.findings),
        "references": _records(audit.references),
        "candidates": _records(audit.choice.candidates),
        "noise_matrix": None if audit.noise_matrix is None else _records(audit.noise_matrix),
        "duplicates": [list(pair) for pair in audit.duplicates],
    }
    write_json(folder / "audit.json", summary)


def save_repair(repaired: "Repair", folder: Path) -> str:
    """Write the repaired network and ``repair.json``; return how to load the network.

    Only the weights (safetensors) if its structure is that of the given network; otherwise a
    ``torch.export`` program, which needs none of the network's code, or the pickled network if it cannot be
    exported.
    """
    if repaired.same_architecture:
        from safetensors.torch import save_file

        path = folder / WEIGHTS
        with atomic_path(path) as partial:
            save_file({name: tensor.contiguous() for name, tensor in repaired.state_dict().items()}, partial)
        load = f"from safetensors.torch import load_file; network.load_state_dict(load_file({str(path)!r}))"
    else:
        load = _save_whole(repaired, folder)
    summary = {
        "kind": repaired.kind,
        "load": load,
        "checkpoint": repaired.checkpoint,
        "layer": repaired.layer,
        "probe": repaired.probe,
        "before": _interval(repaired.before),
        "after": _interval(repaired.after),
        "gain": _interval(repaired.gain),
        "calibration": {name: measured._asdict() for name, measured in repaired.calibration.items()},
        "classes": list(repaired.classes),
        "findings": list(repaired.findings),
        "candidates": _records(repaired.candidates),
    }
    write_json(folder / "repair.json", summary)
    return load


def _save_whole(repaired: "Repair", folder: Path) -> str:
    path = folder / PROGRAM
    try:
        with atomic_path(path) as partial, partial.open("wb") as file:
            torch.export.save(exported(repaired), file)
        return f"import torch; network = torch.export.load({str(path)!r}).module()"
    except OSError:
        raise
    except Exception as error:  # of many types: torch.export cannot follow all code, such as len(x)
        reason = str(error).strip().partition("\n")[0]
    path = folder / PICKLED
    try:
        with atomic_path(path) as partial:
            torch.save(repaired.network, partial)
    except OSError:
        raise
    except Exception as error:  # of many types too
        return (
            f"nothing was written: torch.export fails ({reason}), and so does pickle ({error}). Call "
            "latentgen.repair in Python, and use .network."
        )
    return (
        f"import torch; network = torch.load({str(path)!r}, weights_only=False)"
        f"  # it needs the network's code: torch.export fails ({reason})"
    )


def exported(repaired: "Repair") -> torch.export.ExportedProgram:
    """Return the repaired network as a program for any number of examples."""
    batch = torch.export.Dim("batch", min=1)
    shapes = (({0: batch},),)  # for the one argument in *inputs
    with torch.no_grad():
        program = torch.export.export(
            repaired.network, (repaired.example,), dynamic_shapes=shapes, strict=False
        )
    program.graph.eliminate_dead_code()  # layers after the one where a network is truncated
    return program


def _interval(interval: Any) -> dict[str, float] | None:
    return None if interval is None else {key: float(value) for key, value in interval._asdict().items()}


def _records(table: Any) -> list[dict[str, Any]]:
    records = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in record.items()} for record in records]
