"""Settings in the study file of how activations are computed and stored."""

from typing import Annotated, Literal

from pydantic import Field

from latentgen.settings import PositiveFloat, PositiveInt, Settings, left_out_if


class Activations(Settings):
    """How activations are computed and stored."""

    mode: Literal["eval", "single_images"] = "eval"
    """`eval`: in eval mode. `single_images`: every image as a batch of its own, in train mode (with dropout,
    in eval mode), which matters for batch normalization and renorm. Published protocol: `single_images`."""
    dtype: Literal["float32", "float16"] = "float32"
    """Number format in the file. float16 takes a quarter less space than rounded float32 but changes more
    counts."""
    mantissa_bits: Annotated[int, Field(ge=1, le=23)] = 13
    """Bits of the mantissa that float32 is rounded to before compression; 23 does not round. With 13, files
    take two thirds of the space, and about one of ten thousand examples at most changes its class. float16
    has 10."""
    store: Literal["examples", "moments"] = Field(default="examples", exclude_if=lambda of: of == "examples")
    """What is stored of the training examples' activations. `examples`: all of them. `moments`: only the
    moment matrix of each class, summed during extraction. It is smaller if each class has more than twice as
    many examples as the layer has units. The probes can then be MASC and VeLPIC only, and are not evaluated
    on the training split."""
    keep: bool = False
    """Keep the activations of every shard. They are large; by default they are deleted once used."""
    shard_gigabytes: PositiveFloat = 8.0
    """Largest uncompressed size of a shard, which determines the number of checkpoints per shard."""
    job_gigabytes: Annotated[PositiveFloat, left_out_if(20.0)] = 20.0
    """Largest uncompressed size of a checkpoint's activations that one job computes and probes. If they are
    larger, several jobs share each step: extraction and prediction by ranges of the examples, fitting by
    ranges of the classes. Results are the same. Probes other than MASC and VeLPIC stay in one job."""
    count_train: PositiveInt | None = None
    """Number of training examples, drawn once at random, that probes are evaluated on; they are fitted on
    all. By default all up to 100,000, otherwise 50,000. The column `total` and the intervals reflect it."""
