"""The settings that the tables of a study depend on, and a check that existing tables were made from them."""

import json
from pathlib import Path
from typing import Any

from latentgen.errors import LatentgenError
from latentgen.study.config import Study, read_study
from latentgen.study.layout import (
    AUDIT_TABLES,
    LATER_TABLES,
    REPAIR_TABLES,
    TABLE_OF_ANGLES,
    TABLE_OF_CALIBRATION,
    TABLE_OF_CLASSES,
    TABLE_OF_LABEL_QUALITY,
    TABLES,
    TABLES_BESIDE,
    Layout,
)


def tables_study(study: Study) -> dict[str, Any]:
    """Return the settings that the tables depend on: if they are equal, figures can be drawn."""
    return study.model_dump(
        mode="json",
        exclude={
            "figures": True,
            "compare_with": True,
            "trusted": True,
            "pairs": {"__all__": {"model": {"measured"}}},
        },
    )


def table_names(study: Study) -> list[str]:
    """Return the names of the files in the folder of tables that figures require.

    `later_table_names` are optional.
    """
    further = {
        (TABLE_OF_ANGLES,): "geometry" in study.figures,
        (TABLE_OF_LABEL_QUALITY,): "label_quality" in study.figures,
        (TABLE_OF_CALIBRATION,): study.transfer and study.transfer.other_heads,
        (TABLES_BESIDE,): study.compare_with,
        AUDIT_TABLES: study.audit,
        REPAIR_TABLES: study.repair,
    }
    return [*TABLES, *(name for names, wanted in further.items() if wanted for name in names)]


def later_table_names(study: Study) -> list[str]:
    """Return the further files in the folder of tables, which studies computed before them may lack."""
    relabels = any(run.relabel for run in study.runs.values()) and "label_quality" not in study.figures
    return [*LATER_TABLES, TABLE_OF_CLASSES, *([TABLE_OF_LABEL_QUALITY] if relabels else [])]


def check_tables_study(study: Study, root: str | Path = ".") -> None:
    """Refuse to draw from tables that are missing, or were made from other settings.

    Raises
    ------
    LatentgenError
        If tables are missing or were made from other settings.
    """
    folder = Path(root, Layout(study.study).tables)
    missing = [name for name in table_names(study) if not (folder / name).exists()]
    if missing:
        raise LatentgenError(
            f"{folder} lacks {', '.join(missing[:3])}, and nothing is computed here. If this study comes "
            "from an archive, get a complete one; otherwise compute it: make figures STUDY=…"
        )
    try:
        made_from = tables_study(read_study(json.loads((folder / "study.json").read_text(encoding="utf-8"))))
    except ValueError as error:
        raise LatentgenError(f"{folder}/study.json is damaged ({error}). Get it again.") from None
    if made_from != tables_study(study):
        raise LatentgenError(
            f"The tables in {folder} were made from other settings than this study file's (see "
            f"{folder}/study.json), and their runs no longer exist. To compute the study again, delete "
            f"{folder}."
        )
