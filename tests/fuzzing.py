"""What fuzzers share: how many examples they try, how files are damaged, and a limit of time."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from latentgen.errors import LatentgenError

EXAMPLES = int(os.environ.get("LATENTGEN_FUZZ_EXAMPLES", "60"))
LONGEST_SECONDS = 20

fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize="LATENTGEN_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def or_refused() -> Iterator[None]:
    """Allow a refusal, whose message must be text that can be printed and logged."""
    try:
        yield
    except LatentgenError as error:
        str(error).encode()


@contextmanager
def seconds_at_most(seconds: int) -> Iterator[None]:
    """Interrupt what takes longer."""

    def end(*_):
        raise TimeoutError(f"still not read after {seconds} s")

    previous = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


def damaged(draw, content: bytes) -> bytes:
    """Draw a version of a file that has some bytes changed, inserted or removed, or its end truncated."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        content[place : place + draw(st.integers(0, 4))] = draw(
            st.binary(max_size=4)
            | st.sampled_from([b"\xff" * 4, b"\0" * 8, b"9" * 12, b"(" * 300, b"-1", b"None"])
        )
    return bytes(content[: draw(st.just(len(content)) | st.integers(0, len(content)))])
