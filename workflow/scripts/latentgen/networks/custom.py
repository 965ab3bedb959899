"""Networks of one's own: any `nn.Module`, torchvision's and timm's, made to answer to the names used here.

Nobody else's network is rewritten. `Adapted` stands around it and names what the workflow has to find:
`input`, `readout_input` (what the readout sees, whatever was done to it before) and `readout`. Weights keep
the names that they have in the network itself, so that checkpoints load there as well.

What a network is like is found by a trial pass of two images rather than asked of the user: `measure`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load, nearest_few

ImageShape = tuple[int, int, int]

INPUT, READOUT_INPUT, READOUT = "input", "readout_input", "readout"


class Adapted(nn.Module):
    """A network with names for its ends.

    Parameters
    ----------
    body : nn.Module
        Takes N × C × H × W and returns N × classes.
    readout : str
        Name of its last linear layer.
    channels_last : bool
        Whether it is fast on that memory layout. Others get plain memory: ``view`` refuses anything else.
    """

    def __init__(self, body: nn.Module, readout: str, channels_last: bool) -> None:
        super().__init__()
        self.input, self.readout_input = nn.Identity(), nn.Identity()
        self.body, self._readout, self._channels_last = body, readout, channels_last
        body.get_submodule(readout).register_forward_pre_hook(
            lambda _module, inputs: (self.readout_input(inputs[0]), *inputs[1:])
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images."""
        if not self._channels_last:  # images of one channel count as plain and are seen as channels-last
            x = x.contiguous().flatten().view(x.shape)
        logits: Tensor = self.body(self.input(x))
        return logits

    def get_submodule(self, target: str) -> nn.Module:
        """Return a module by its name in the network, or one of its ends."""
        if target in (INPUT, READOUT_INPUT):
            return super().get_submodule(target)
        return self.body.get_submodule(self._readout if target == READOUT else target)

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the network's own."""
        return self.body.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load the network's own."""
        return self.body.load_state_dict(*args, **kwargs)


def construct(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call what an import path leads to, which must give an `nn.Module`.

    Raises
    ------
    LatentgenError
        If it cannot be imported, cannot be called so, or gives something else.
    """
    made = _called(load(path), arguments, path)
    if not isinstance(made, nn.Module):
        raise LatentgenError(
            f"{path} gives a {type(made).__name__}; it must be, or return, a torch.nn.Module."
        )
    return made


def construct_torchvision(network: str, arguments: Mapping[str, Any], n_classes: int) -> nn.Module:
    """Return one of torchvision's classifiers by its name, with random weights.

    Raises
    ------
    LatentgenError
        If there is none of that name, or if it cannot be made so.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if network not in known:
        raise LatentgenError(f"torchvision has no network {network!r}; {nearest_few(network, known)}.")
    given = {"weights": None, "num_classes": n_classes, **arguments}
    made: nn.Module = _called(lambda **given: models.get_model(network, **given), given, network)
    return made


def construct_timm(network: str, arguments: Mapping[str, Any], channels: int, n_classes: int) -> nn.Module:
    """Return one of timm's networks by its name, with random weights.

    Raises
    ------
    LatentgenError
        If timm is not installed, if it has none of that name, or if it cannot be made so.
    """
    try:
        import timm
    except ImportError as error:
        raise LatentgenError(
            f"{network} is timm's, which is not installed here. Install it: "
            "python -m pip install timm (in the environment that runs the workflow)."
        ) from error
    known = timm.list_models()
    if network not in known:
        raise LatentgenError(f"timm has no network {network!r}; {nearest_few(network, known)}.")
    given = {"pretrained": False, "num_classes": n_classes, "in_chans": channels, **arguments}
    made: nn.Module = _called(lambda **given: timm.create_model(network, **given), given, network)
    return made


def _called(make: Any, arguments: Mapping[str, Any], what: str) -> Any:
    try:
        return make(**arguments)
    except Exception as error:  # code of others can raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        raise LatentgenError(f"{what}({given}) ends with {type(error).__name__}: {error}") from error


def find_readout(body: nn.Module, named: str | None, n_classes: int) -> str:
    """Return the name of the readout: the one given, or the last linear layer.

    Raises
    ------
    LatentgenError
        If there is none, or if it does not have an output for every class.
    """
    linear = {name: module for name, module in body.named_modules() if isinstance(module, nn.Linear)}
    if not linear:
        raise LatentgenError("the network has no nn.Linear, so none that could be its readout.")
    if named is not None and named not in linear:
        raise LatentgenError(f"readout: it has no nn.Linear '{named}'; {nearest_few(named, list(linear))}.")
    name = named or list(linear)[-1]
    if linear[name].out_features != n_classes:
        raise LatentgenError(
            f"its {'readout' if named else 'last nn.Linear'}, {name}, has {linear[name].out_features} "
            f"outputs for {n_classes} classes. Say so in arguments, or name another layer under readout."
        )
    return name


def measure(
    build: Callable[[], nn.Module],
    image_shape: ImageShape,
    n_classes: int,
    patterns: Sequence[str] | None,
    readout: str | None,
) -> dict[str, Any]:
    """Find by trial what a study has to know of a network, and whether it can be trained and probed.

    Parameters
    ----------
    build : function
        Returns the network, with the weights that follow from torch's generator.
    image_shape : (int, int, int)
        Channels, height, width.
    n_classes : int
    patterns : sequence of str, optional
        Names of layers to probe, in which ``*``, ``?`` and ``[…]`` stand for anything. By default the
        network's immediate parts, and `readout_input`.
    readout : str, optional
        Name of the readout; the last linear layer by default.

    Returns
    -------
    dict
        `widths` of the layers to probe in the order in which they answer, and of `readout_input`; `readout`;
        `multiply_adds` and `largest_output` of a forward pass of one image; `weight_bytes`.

    Raises
    ------
    LatentgenError
        If the network is not one that classifies such images, or a pattern matches no layer.
    """
    body, again = (_seeded(build) for _ in range(2))
    differing = _first_difference(body, again)
    if differing:
        raise LatentgenError(
            f"its initial weights are others at every call, first of all {differing}: a run could not be "
            "repeated. Draw them with torch, whose generator follows from the run's seed."
        )
    readout = find_readout(body, readout, n_classes)
    images = torch.rand((2, *image_shape), generator=torch.Generator().manual_seed(0))
    trial = _trial_pass(body, readout, images, n_classes)
    _refuse_if_untrainable(body, images, n_classes)
    return {
        "widths": {name: trial.outputs[name][0].numel() for name in _chosen(body, trial.outputs, patterns)},
        "readout": readout,
        "multiply_adds": trial.multiply_adds,
        "largest_output": trial.largest_output,
        "weight_bytes": sum(of.nbytes for of in body.state_dict().values()),
    }


def _seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def _first_difference(one: nn.Module, other: nn.Module) -> str | None:
    weights = other.state_dict()
    return next((name for name, of in one.state_dict().items() if not torch.equal(of, weights[name])), None)


@dataclass
class _Trial:
    """What a trial pass shows of a network."""

    outputs: dict[str, Tensor]
    """Outputs by module, in the order in which they came; the readout's input is last."""
    multiply_adds: int = 0
    largest_output: int = 0


def _trial_pass(body: nn.Module, readout: str, images: Tensor, n_classes: int) -> _Trial:
    trial = _Trial({INPUT: images})
    called: list[Tensor] = []

    def note(name: str, module: nn.Module, inputs: Any, output: Any) -> None:
        if name == readout:
            called[:] = [inputs[0], output]
        elif isinstance(output, Tensor) and output.shape[:1] == images.shape[:1] and output.ndim > 1:
            trial.outputs.pop(name, None)  # of a module that is used again, the last use counts
            trial.outputs[name] = output.detach().flatten(1).clone()
            trial.largest_output = max(trial.largest_output, output[0].numel())
        if isinstance(output, Tensor) and isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
            trial.multiply_adds += output[0].numel() * module.weight[0].numel()

    hooks = [
        module.register_forward_hook(partial(note, name)) for name, module in body.named_modules() if name
    ]
    with torch.no_grad():
        logits = _passed(body.eval(), images)
    for hook in hooks:
        hook.remove()
    _check_logits(logits, len(images), n_classes)
    if not called:
        raise LatentgenError(f"its last nn.Linear, {readout}, takes no part. Name another under readout.")
    seen, answered = called
    if not torch.equal(answered, logits):
        raise LatentgenError(
            f"what it returns is not what its readout, {readout}, answers. Let it return that, with no "
            "softmax (training has its own), or name another layer under readout."
        )
    if seen.ndim != 2:
        raise LatentgenError(f"its readout, {readout}, sees {seen.ndim} dimensions; it must see N × width.")
    trial.multiply_adds -= seen.shape[1] * n_classes  # the readout is left out here, as of all networks
    trial.largest_output = max(trial.largest_output, images[0].numel(), seen.shape[1])
    trial.outputs[READOUT_INPUT] = seen
    return trial


def _passed(body: nn.Module, images: Tensor) -> Any:
    try:
        return body(images)
    except Exception as error:  # code of others can raise anything
        shape = " × ".join(map(str, images.shape[1:]))
        mode = "train" if body.training else "eval"
        raise LatentgenError(
            f"it cannot take images of {shape} (in {mode} mode): {type(error).__name__}: {error}"
        ) from error


def _check_logits(logits: Any, items: int, n_classes: int) -> None:
    if not isinstance(logits, Tensor):
        raise LatentgenError(f"it returns a {type(logits).__name__}; it must return a tensor, N × classes.")
    if tuple(logits.shape) != (items, n_classes):
        raise LatentgenError(
            f"for {items} images it returns {tuple(logits.shape)}; it must return {(items, n_classes)}, a "
            "number for each class."
        )


def _refuse_if_untrainable(body: nn.Module, images: Tensor, n_classes: int) -> None:
    parameters = {name: of for name, of in body.named_parameters() if of.requires_grad}
    if not parameters:
        raise LatentgenError("it has no parameter that could be trained.")
    logits = _passed(body.train(), images)
    _check_logits(logits, len(images), n_classes)
    loss = cross_entropy(logits, torch.arange(len(images)) % n_classes)
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    unused = [name for name, of in zip(parameters, gradients, strict=True) if of is None]
    if unused:
        raise LatentgenError(
            f"its answer does not depend on {len(unused)} of its parameters, first {unused[0]}: leave these "
            "out, or set their requires_grad to False."
        )


def _chosen(body: nn.Module, outputs: Mapping[str, Tensor], patterns: Sequence[str] | None) -> list[str]:
    """Names of the layers to probe, in the order of `outputs`; the readout's input is always there."""
    if patterns is None:
        parts = {name for name, _ in body.named_children()} & set(outputs)
        last = outputs[READOUT_INPUT]
        twice = {name for name in parts if torch.equal(outputs[name], last)}
        return [name for name in outputs if name in (parts - twice) | {READOUT_INPUT}]
    chosen = {READOUT_INPUT}
    for pattern in patterns:
        matching = [name for name in outputs if name == pattern or fnmatchcase(name, pattern)]
        if not matching:
            raise LatentgenError(f"layers: '{pattern}' matches none; {nearest_few(pattern, list(outputs))}.")
        chosen |= set(matching)
    return [name for name in outputs if name in chosen]
