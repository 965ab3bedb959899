"""`latentgen layers`: list the layers of a network that can be probed."""

from math import prod
from typing import Any

import click

from latentgen.cli.arguments import values
from latentgen.data.inputs import InputShape, Tokens, kind_of, shape_in_words
from latentgen.errors import LatentgenError
from latentgen.networks.layer_choice import FLATTEN, Shape, probed
from latentgen.networks.measured import MeasuredNetwork

ZOOS = ("torchvision", "timm", "transformers")


@click.command()
@click.argument("network")
@click.argument("arguments", nargs=-1, metavar="[NAME=VALUE]...")
@click.option(
    "--shape",
    nargs=3,
    type=click.IntRange(1),
    default=(3, 32, 32),
    show_default=True,
    help="Channels, height and width of an image.",
)
@click.option("--vector", type=click.IntRange(1), help="Instead of --shape: length of a vector.")
@click.option(
    "--tokens",
    nargs=2,
    type=click.IntRange(1),
    help="Instead of --shape: length of a sequence of tokens, and size of the vocabulary.",
)
@click.option("--classes", type=click.IntRange(2), default=10, show_default=True, help="Number of classes.")
@click.option("--readout", help="Name of the last linear layer, if it is not the last nn.Linear.")
def command(
    network: str,
    arguments: tuple[str, ...],
    shape: tuple[int, int, int],
    vector: int | None,
    tokens: tuple[int, int] | None,
    classes: int,
    readout: str | None,
) -> None:
    """List the layers of NETWORK that can be probed, with their widths; `probed` are the default ones.

    NETWORK is a built-in architecture (MLP, CNN, AlexNet, ResNet18, ViT, Transformer), one of torchvision,
    timm or transformers (torchvision:resnet18), or the import path of your own (my_nets:TwoLayer), which is
    run on a few examples. Arguments are those of your class, or keys of the `model` block.
    """
    example: InputShape = Tokens(*tokens) if tokens else (vector,) if vector else shape
    shapes, usual = layer_shapes(network, values(arguments), example, classes, readout)
    longest = max(map(len, shapes))
    for layer, sides in shapes.items():
        by_side = f" ({' × '.join(map(str, sides))})" if len(sides) > 1 else ""
        pools = [how.pool for how in map(probed, usual) if how.layer == layer]
        is_probed = "".join("  probed" if pool == FLATTEN else f"  probed: {pool}" for pool in pools)
        click.echo(f"{layer.ljust(longest)}  {prod(sides)}{by_side}{is_probed}")


def layer_shapes(
    network: str, arguments: dict[str, Any], shape: InputShape, n_classes: int, readout: str | None
) -> tuple[dict[str, Shape], list[str]]:
    """Return the output shape of every layer, in the order of the network, and the layers probed by default.

    Raises
    ------
    LatentgenError
        If there is no such network, or it cannot take examples of this shape.
    """
    from pydantic import TypeAdapter, ValidationError

    from latentgen.networks.architectures import Architecture
    from latentgen.study.error_messages import nearest

    module, colon, name = network.partition(":")
    given = {"architecture": network, **arguments}
    if colon:
        custom = {"arguments": arguments} | ({"readout": readout} if readout else {})
        given = {"architecture": "own", "path": network, **custom}
        if module in ZOOS:
            given = {"architecture": module, "network": name, **custom}
    try:
        model: Any = TypeAdapter(Architecture).validate_python(given)
    except ValidationError as error:
        (one, *_) = error.errors()
        if one["type"] == "union_tag_invalid":
            known = [name.strip(" '") for name in one["ctx"]["expected_tags"].split(",")]
            raise LatentgenError(f"There is no network {network}; {nearest(network, known)}.") from None
        raise LatentgenError(f"{network}: {'.'.join(map(str, one['loc'][1:]))}: {one['msg']}.") from None
    if kind_of(shape) not in model.TAKES:
        raise LatentgenError(f"{network} cannot take {shape_in_words(shape)}.")
    if not isinstance(model, MeasuredNetwork):
        return model.layer_shapes(shape), list(model.probed_layers(shape))
    from latentgen.networks.trial import measure

    measured = measure(lambda: model.make_body(shape, n_classes), shape, n_classes, None, readout)
    return measured["shapes"], measured["probed"]
