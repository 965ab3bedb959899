"""Custom figures in the study file."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from latentgen.runtime.import_paths import ImportPath
from latentgen.settings import CodeFiles, Settings
from latentgen.study.figure_kinds import FIGURES, FigureKind
from latentgen.study.runs import NAME


class CustomFigure(Settings):
    """A custom figure: two functions of yours."""

    kind: Literal["own"]
    """A custom figure."""
    name: Annotated[str, Field(pattern=f"^{NAME}$")]
    """Name of the figure: part of the names of its files."""
    table: ImportPath
    """Import path, module:name, of a function that computes the plotted numbers: it takes the tables of a
    pair (`latentgen.figures.material.Material`) and returns a data frame, which is kept beside the figure."""
    draw: ImportPath
    """Import path, module:name, of a function that draws the figure: it takes that data frame and the
    accuracy at chance level (None if it is not known) and returns a Matplotlib figure."""
    title: str | None = None
    """Title in the report; the name if omitted."""
    caption: str | None = None
    """Caption in the report."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: if their content changes,
    everything that used the code is rerun."""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str) -> str:
        if name in FIGURES:
            raise ValueError("is a built-in figure; choose another name")
        return name

    @property
    def import_paths(self) -> tuple[str, ...]:
        """Paths of both functions."""
        return self.table, self.draw

    @property
    def figure_kind(self) -> FigureKind:
        """The figure."""
        title = self.title or self.name
        return FigureKind(self.name, title, self.caption or "", self.table, self.draw, shows_probes=False)
