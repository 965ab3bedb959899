"""`latentgen audit` and `latentgen repair`: the functions with files as arguments and results."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click
import yaml

from latentgen.errors import LatentgenError

if TYPE_CHECKING:
    from torch import nn

Command = TypeVar("Command", bound=Callable[..., Any])


def _sides(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> int | tuple[int, int] | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d*)(?:x([1-9]\d*))?", text)
    if match is None:
        raise click.BadParameter(f"{text} is neither a number of pixels, as 64, nor two, as 64x48.")
    height, width = match.groups()
    return int(height) if width is None else (int(height), int(width))


def _numbers(_context: click.Context, _option: click.Parameter, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise click.BadParameter(f"{text} is not a number, or several with commas between them.") from None


_OPTIONS = (
    click.option(
        "--network", "path", required=True, help="Import path of the network: my_nets:Net. Its code is run."
    ),
    click.option(
        "--argument", "arguments", multiple=True, metavar="NAME=VALUE", help="Argument of the network."
    ),
    click.option(
        "--weights", required=True, help='Its weights, or those of several epochs: "epoch{epoch}.pt".'
    ),
    click.option(
        "--data",
        required=True,
        type=click.Path(path_type=Path),
        help="Its training data: .npz with inputs (or images, vectors, tokens) and labels, or a folder.",
    ),
    click.option(
        "--held-out",
        type=click.Path(path_type=Path),
        help="Examples that it was never trained on, with labels of the same quality.",
    ),
    click.option("--layer", "layers", multiple=True, help="Layers to use; * matches anything."),
    click.option(
        "--input-range",
        nargs=2,
        type=float,
        default=(0.0, 1.0),
        show_default=True,
        help="Values that 0 and 255 of byte images are scaled to, as in training.",
    ),
    click.option(
        "--resize",
        metavar="SIDE|HEIGHTxWIDTH",
        callback=_sides,
        help="Resize images in folders, as in training: the shorter side, or both.",
    ),
    click.option("--crop", type=click.IntRange(1), help="Then keep the square of this side at the centre."),
    click.option("--channels", type=click.Choice(["1", "3"]), help="Make images in folders grey or colour."),
    click.option(
        "--mean",
        default="0",
        callback=_numbers,
        metavar="NUMBERS",
        help="Subtract this from scaled byte images, as in training: 0.5, or one number for each channel: "
        "0.485,0.456,0.406.",
    ),
    click.option("--std", default="1", callback=_numbers, metavar="NUMBERS", help="Then divide by this."),
    click.option("--seed", type=click.IntRange(0), default=0, show_default=True),
    click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the results."),
)


def _with_options(command: Command) -> Command:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("audit")
@_with_options
def audit_command(out: Path, **options: Any) -> None:
    """Find labels that are probably wrong, from a network that was trained on them.

    Writes label_issues.csv, audit.html and audit.json. Weights are read as tensors only.
    """
    from latentgen.repairing.audit import audit
    from latentgen.repairing.saving import save_audit

    given, files = _given(**options)
    result = audit(**given)
    if files:
        result.table.insert(1, "file", files)
    save_audit(result, out)
    click.echo(
        f"{int(result.table['is_issue'].sum())} of {len(result.table)} labels are marked as probably wrong."
    )
    _say(result.findings, out / "audit.html")


@click.command("repair")
@_with_options
@click.option("--readout", is_flag=True, help="Only write a new readout, as the papers do.")
def repair_command(out: Path, readout: bool, **options: Any) -> None:
    """Repair a network that has memorized noisy labels, without retraining.

    Writes the weights (safetensors) or, if the structure has changed, a torch.export program (or the pickled
    network, if it cannot be exported); and repair.json.
    """
    from latentgen.repairing.repair import repair
    from latentgen.repairing.saving import save_repair

    given, _ = _given(**options)
    result = repair(**given, readout=readout)
    load = save_repair(result, out)
    click.echo(f"Repair: {result.kind} ({result.checkpoint}, {result.layer}, {result.probe}).")
    if result.gain is not None:
        click.echo(
            f"Held-out accuracy, noisy labels: {result.before}, now {result.after}; gain {result.gain}."
        )
    click.echo(f"To load it: {load}")
    _say(result.findings, out / "repair.json")


def _say(findings: tuple[str, ...], page: Path) -> None:
    for finding in findings:
        click.echo(finding)
    click.echo(f"See {page}.")


def _given(
    path: str,
    arguments: tuple[str, ...],
    weights: str,
    data: Path,
    held_out: Path | None,
    layers: tuple[str, ...],
    input_range: tuple[float, float],
    resize: int | tuple[int, int] | None,
    crop: int | None,
    channels: str | None,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    seed: int,
) -> tuple[dict[str, Any], list[str]]:
    """Read the files of the options.

    Returns
    -------
    given : dict
        The keyword arguments of `latentgen.audit` and `latentgen.repair`.
    files : list of str
        The file of each training image, if they are in a folder.
    """
    from latentgen.data.reshaping import Reshaping
    from latentgen.repairing.reading import Preprocessing, read_examples, read_with_files, weight_files

    file, checkpoints = weight_files(weights)
    numbers: dict[str | None, Literal[1, 3] | None] = {None: None, "1": 1, "3": 3}
    reshaping = Reshaping(numbers[channels], resize, crop)
    as_trained = Preprocessing(reshaping, input_range, mean, std)
    inputs, labels, files = read_with_files(data, as_trained)
    given = {
        "network": _network(path, arguments, file),
        "inputs": inputs,
        "labels": labels,
        "held_out": None if held_out is None else read_examples(held_out, as_trained),
        "layers": layers or None,
        "checkpoints": checkpoints or None,
        "seed": seed,
    }
    return given, files


def _network(path: str, arguments: tuple[str, ...], weights: Path) -> "nn.Module":
    from latentgen.networks.construction import construct
    from latentgen.training.given_weights import put_weights, read_weights

    given = {}
    for argument in arguments:
        name, equals, text = argument.partition("=")
        if not equals:
            raise LatentgenError(f"{argument} is not NAME=VALUE, as in hidden=64.")
        given[name] = yaml.safe_load(text)
    network = construct(path, given)
    put_weights(network, read_weights(weights), weights)
    return network.eval()
