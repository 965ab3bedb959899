"""Exceptions for errors that a user can fix; only their message is shown."""

from pathlib import Path


class LatentgenError(Exception):
    r"""An error that the user can fix.

    The message states what is wrong, where, and what to do. Jobs print it without a stack trace (the trace
    goes to the job's log). Bytes in it that are no text, as file names may have, are escaped: `\udcff`.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message.encode(errors="backslashreplace").decode())


class DamagedFileError(LatentgenError):
    """A file written by this workflow is missing or corrupt, by its checksum or its format.

    Jobs move such an input aside, so that the next run regenerates it.

    Parameters
    ----------
    path : str or Path
        The file.
    problem : str
        The rest of the sentence that begins with its name: "is empty".
    """

    def __init__(self, path: str | Path, problem: str) -> None:
        self.path, self.problem = Path(path), problem
        super().__init__(f"{path} {problem}. Delete it and run again.")


class UnreadableFileError(LatentgenError):
    """A file cannot be read now, for a reason outside the file. It may be intact, so it is not touched."""
