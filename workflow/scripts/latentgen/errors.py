"""The exceptions that mean "a user can mend this": their message is all that is shown."""

from pathlib import Path


class LatentgenError(Exception):
    """Something a user gave or has is not as it must be.

    The message says what was found, where, and what to do about it. Jobs print it without a stack trace
    (the trace goes to the job's log).
    """


class DamagedFileError(LatentgenError):
    """A file written by this workflow is corrupt or missing: its checksum or its format says so.

    Jobs move such an input aside, so that the next run regenerates it.

    Parameters
    ----------
    path : str or Path
        The file.
    problem : str
        What is wrong with it, after its name: "is empty".
    """

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path, self.problem = Path(path), problem
        super().__init__(f"{path} {problem}. Delete it and run again.")


class UnreadableFileError(LatentgenError):
    """A file cannot be read now, for a reason outside the file. It may be intact, so it is left alone."""
