"""Transfer in the study file: heads that are written into the readout without further training."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from latentgen.settings import Distinct, NonNegativeInt, Settings, left_out_if

Bias = Literal["zero", "kept"]

HeadName = Literal["velpic", "nearest_mean", "logistic", "lda", "ridge"]


class Transfer(Settings):
    """VeLPIC's vectors written into the readout."""

    bias: Annotated[tuple[Bias, ...], Field(min_length=1), Distinct] = ("zero", "kept")
    """The readout's bias. If it has none, the two coincide and only one is run."""
    keep_models_at: Annotated[tuple[NonNegativeInt, ...], Distinct] = ()
    """Checkpoints whose edited network is kept as a file; that of the last one is always kept."""
    heads: Annotated[tuple[HeadName, ...], Field(min_length=1), Distinct, left_out_if(("velpic",))] = (
        "velpic",
    )
    """Heads to write into the readout. `velpic`: VeLPIC's vectors. The others are controls, fitted on the
    same activations and labels, each with its own bias: `nearest_mean`, the class means at norm 1 (with bias
    zero); `logistic`, `lda` and `ridge` regression. With any of these, tables/calibration.csv has the loss
    and calibration of each network."""

    @field_validator("heads")
    @classmethod
    def _has_velpic(cls, heads: tuple[HeadName, ...]) -> tuple[HeadName, ...]:
        if "velpic" not in heads:
            raise ValueError("add velpic: the other heads are controls for it")
        return heads

    @property
    def other_heads(self) -> tuple[str, ...]:
        """The heads other than VeLPIC's vectors."""
        return tuple(name for name in self.heads if name != "velpic")
