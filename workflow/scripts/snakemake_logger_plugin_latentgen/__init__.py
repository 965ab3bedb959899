"""Progress of Snakemake on a terminal: one bar per rule, with counts and the time left."""

import os

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from snakemake_logger_plugin_rich import LogHandler as RichHandler
from snakemake_logger_plugin_rich.event_handler import EventHandler
from snakemake_logger_plugin_rich.events import JobError

# Snakemake imports every logger plugin at each start: so this one imports nothing of latentgen.
BARS = "LATENTGEN_BARS"
"""As in `latentgen.runtime.logs`."""


class _Events(EventHandler):
    def handle_job_error(self, event_data: JobError, **_: object) -> None:
        """Mark the rule; what is wrong the job has said itself, without its whole log."""
        if job := self.jobs_info.get(event_data.jobid):
            self.progress_display.mark_rule_failed(job["rule"])


class LogHandler(RichHandler):
    """The bars of snakemake-logger-plugin-rich, with counts in place of percentages."""

    def __post_init__(self) -> None:
        """Replace the columns of the bars, and let jobs keep their own progress to their logs."""
        super().__post_init__()
        os.environ[BARS] = "1"
        self.progress.columns = (
            TextColumn("[bold blue]{task.description}"),
            BarColumn(bar_width=None, complete_style="green", finished_style="dim green"),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self.event_handler = _Events(
            console=self.console,
            progress=self.progress,
            live_display=self.live_display,
            dryrun=self.settings.dryrun,
        )
