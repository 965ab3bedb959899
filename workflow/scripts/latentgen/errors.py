"""The exceptions that mean "a user can mend this": their message is all that is shown."""

from pathlib import Path


class LatentgenError(Exception):
    """Something a user gave or has is not as it must be.

    The message says what was found, where, and what to do about it. Jobs print it without a stack trace
    (the trace goes to the job's log).
    """


class DamagedFileError(LatentgenError):
    """A file of ours is not what was written: cut short, empty, or with other bytes.

    Parameters
    ----------
    path : str or Path
        The file.
    found : str
        What is wrong with it, after its name: "is empty".
    """

    def __init__(self, path: str | Path, found: str) -> None:
        self.path, self.found = Path(path), found
        super().__init__(f"{path} {found}. Delete it and run again.")
