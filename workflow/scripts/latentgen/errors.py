"""The one exception that means "a user can mend this": its message is all that is shown."""


class LatentgenError(Exception):
    """Something a user gave or has is not as it must be.

    The message says what was found, where, and what to do about it. Jobs print it without a stack trace
    (the trace goes to the job's log).
    """
