"""The record of a training: one entry per epoch, and a summary of the whole."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from latentgen.runtime.logs import peak_megabytes


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """One epoch in counts, not rates. None means not measured.

    The order of the fields is that of the columns of `history.csv`.
    """

    epoch: int
    loss: float | None = None
    """Mean loss over the epoch's examples, before each step (nats)."""
    online_correct: int | None = None
    """Examples classified as their corrupted label during training, in train mode."""
    online_total: int | None = None
    test_correct: int
    """Test images classified as their true label; if training stops by a held-out fifth, without it."""
    test_total: int
    train_corrupted_correct: int | None = None
    """Training images classified as their corrupted label, in eval mode; at checkpoints."""
    train_true_correct: int | None = None
    """Training images classified as their true label, in eval mode; at checkpoints."""
    train_total: int | None = None
    redrawn_corrupted_correct: int | None = None
    """Of the images whose label was redrawn: those classified as their corrupted label."""
    redrawn_true_correct: int | None = None
    """Of the same images: those classified as their true label."""
    redrawn_total: int | None = None
    seconds: float = 0.0
    """Wall time of the epoch's training, without evaluation and saving."""
    rest_correct: int | None = None
    """Of the test images outside the held-out fifth: those classified as their true label."""
    rest_total: int | None = None
    held_out_correct: int | None = None
    """Likewise for the held-out fifth of the test images or, if training stops by held-out noisy labels, for
    those."""
    held_out_total: int | None = None
    noisy_correct: int | None = None
    """Examples that the data set holds out (`held_out`) classified as their label, which is as noisy as those
    of the training examples."""
    noisy_total: int | None = None


@dataclass(frozen=True)
class TrainingResult:
    """The history of a training, why it ended, and its speed."""

    history: list[EpochRecord]
    ended: str
    """Why it ended."""
    items_per_second: float
    """Training throughput without evaluation and saving."""
    seconds: float
    """Total wall time, including the time before interruptions."""
    times_resumed: int
    """How often it resumed from a saved state."""
    identity: str
    """Digest of everything that the result depends on."""
    peak_memory_mb: int
    device: str
    threads: int
    torch_version: str

    @classmethod
    def untrained(
        cls, history: list[EpochRecord], ended: str, seconds: float, device: torch.device
    ) -> "TrainingResult":
        """Return the record of networks that were evaluated and not trained."""
        return cls(
            history=history,
            ended=ended,
            items_per_second=0.0,
            seconds=seconds,
            times_resumed=0,
            identity="",
            peak_memory_mb=peak_megabytes(),
            device=str(device),
            threads=torch.get_num_threads(),
            torch_version=str(torch.__version__),
        )

    def summary(self) -> dict[str, Any]:
        """Return everything except the history, as plain values."""
        return {key: value for key, value in asdict(self).items() if key != "history"}

    def history_rows(self) -> list[dict[str, Any]]:
        """Return the history as rows of a table."""
        return [asdict(record) for record in self.history]
