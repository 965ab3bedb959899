"""A study whose tables and figures exist, for commands that use these and compute nothing."""

from pathlib import Path
from typing import NamedTuple

from latentgen.errors import LatentgenError
from latentgen.study.config import Study, load_study
from latentgen.study.layout import FIGURE_FORMATS, Layout
from latentgen.study.tables_study import check_tables_study, later_table_names, table_names


class Finished(NamedTuple):
    """A study and its files."""

    study: Study
    layout: Layout
    tables: list[Path]
    figures: dict[str, dict[str, Path]]
    """By name and format."""


def finished_study(path: Path) -> Finished:
    """Return a study whose tables and figures exist.

    Raises
    ------
    LatentgenError
        If something is missing, or was made from other settings.
    """
    study = load_study(path)
    layout = Layout(study.study)
    check_tables_study(study)
    figures = {
        name: {suffix: Path(layout.figures, f"{name}.{suffix}") for suffix in FIGURE_FORMATS}
        for name in study.drawings
    }
    missing = [name for name, files in figures.items() if not all(file.exists() for file in files.values())]
    if missing:
        raise LatentgenError(
            f"{layout.figures} lacks the figures {', '.join(missing)}. Draw them: make figures STUDY={path}"
        )
    tables = [Path(layout.tables, name) for name in table_names(study)]
    tables += [table for name in later_table_names(study) if (table := Path(layout.tables, name)).exists()]
    return Finished(study, layout, tables, figures)
