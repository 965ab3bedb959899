"""Checks of the trial pass: a custom network's readout can be edited, and its outputs are reproducible."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from latentgen.data.inputs import shape_in_words
from latentgen.errors import LatentgenError
from latentgen.networks.adapted import logits_of
from latentgen.networks.base import INPUT, READOUT, READOUT_INPUT

_RESERVED = {
    INPUT: "the raw input",
    READOUT_INPUT: "the input of the final linear layer",
    READOUT: "the final linear layer",
}


def passed(body: nn.Module, images: Tensor) -> Any:
    """Return the logits that a network returns for images.

    Raises
    ------
    LatentgenError
        If it raises an exception.
    """
    try:
        return logits_of(body(images))
    except Exception as error:  # custom code can raise anything
        mode = "train" if body.training else "eval"
        way_out = (
            " Resize or convert the images in the dataset block (resize: 224, channels: 3), or set the "
            "size that the network is built for in arguments (timm: img_size)."
        )
        raise LatentgenError(
            f"it cannot take {_in_words(images)} (in {mode} mode): {type(error).__name__}: "
            f"{str(error).rstrip('.')}.{way_out if images.ndim == 4 else ''}"
        ) from error


def _in_words(examples: Tensor) -> str:
    if not examples.is_floating_point():
        return f"sequences of {examples.shape[1]} token ids up to {int(examples.max())}"
    return shape_in_words(tuple(examples.shape[1:]))


def check_names(body: nn.Module, readout: str | None) -> None:
    """Refuse modules with names that are reserved in study files and tables.

    Raises
    ------
    LatentgenError
        If there is one. The readout may be called `readout`.
    """
    for name, _ in body.named_modules():
        if name in _RESERVED and (name, readout) != (READOUT, READOUT):
            raise LatentgenError(
                f"it has a module named {name}, which is the name of {_RESERVED[name]} here. Rename it, so "
                "that their results are not confused."
            )


def check_types(body: nn.Module) -> None:
    """Refuse weights in another number format than float32, which all inputs have.

    Raises
    ------
    LatentgenError
        If there are any.
    """
    for name, parameter in body.named_parameters():
        if parameter.dtype != torch.float32:
            kind = str(parameter.dtype).removeprefix("torch.")
            raise LatentgenError(
                f"{name} is {kind}, and weights must be float32. Build the network in float32; "
                "training.precision: bfloat16 speeds up training."
            )


@torch.no_grad()
def check_readout(body: nn.Module, readout: str, images: Tensor) -> None:
    """Write other weights into the readout, check that the outputs follow exactly, and restore them.

    Parameters
    ----------
    body : nn.Module
        In eval mode.
    readout : str
        Name of its final linear layer.
    images : Tensor, N × C × H × W

    Raises
    ------
    LatentgenError
        If the weights are computed from others, are shared with another layer, or do not determine the
        output.
    """
    weight, bias = f"{readout}.weight", f"{readout}.bias"
    state = {name: values.clone() for name, values in body.state_dict().items()}
    if weight not in state:
        stored = [name for name in state if name.startswith(f"{readout}.") and name != bias]
        raise LatentgenError(
            f"its readout cannot be edited: {weight} is computed from {' and '.join(stored)}. "
            f"Make {readout} a plain nn.Linear."
        )
    _refuse_shared(body, readout)
    before = _seen(body, readout, images)
    random = torch.Generator().manual_seed(0)
    new = {
        name: torch.randn(state[name].shape, generator=random).to(state[name])
        for name in (weight, bias)
        if name in state
    }
    try:
        body.load_state_dict({**state, **new})
        after, logits = _seen(body, readout, images), passed(body, images)
    finally:
        body.load_state_dict(state)
    seen = before.view(len(logits), -1)  # of every token, if the next tokens are classes
    expected = seen @ new[weight].flatten(1).T + new.get(bias, torch.zeros(1).to(before))
    if not (_close(before, after, 1e-3) and _close(logits, expected, 1e-3)):
        raise LatentgenError(
            f"its readout cannot be edited: with other weights in {readout}, the network does not return the "
            f"product of these weights and the readout's input. Make {readout} a plain nn.Linear whose "
            "weights nothing else uses."
        )


def _refuse_shared(body: nn.Module, readout: str) -> None:
    ours = {parameter.untyped_storage().data_ptr() for parameter in body.get_submodule(readout).parameters()}
    for name, parameter in body.named_parameters(remove_duplicate=False):
        layer = name.rpartition(".")[0]
        if layer != readout and parameter.untyped_storage().data_ptr() in ours:
            raise LatentgenError(
                f"its readout, {readout}, shares its weights with {layer or name}: editing one would change "
                "the other. Give the readout its own weights."
            )


@torch.no_grad()
def check_repeatable(body: nn.Module, readout: str | None, images: Tensor) -> None:
    """Refuse a network whose outputs depend on more than weights, image and, in training, torch's generator.

    Parameters
    ----------
    body : nn.Module
        Its weights are restored afterwards.
    readout : str
        Name of its final linear layer; its input is compared, which is not zero initially.
    images : Tensor, N × C × H × W
        At least four.

    Raises
    ------
    LatentgenError
        If two passes over the same images differ, or an image has different outputs alone and in a batch.
    """
    state = {name: values.clone() for name, values in body.state_dict().items()}
    body.eval()
    together, again = (_seen(body, readout, images) for _ in range(2))
    if not _close(together, again, 1e-4):
        raise LatentgenError(
            "its outputs differ between two passes over the same images, in eval mode, so results would not "
            "be reproducible. Draw random numbers only in train mode (if self.training), with torch."
        )
    _refuse_if_images_mix(lambda some: _seen(body, readout, some), images, together)
    with torch.random.fork_rng(devices=[]):
        first, second = (_seen(_started(body.train(), state), readout, images) for _ in range(2))
    body.load_state_dict(state)
    if not _close(first, second, 1e-4):
        raise LatentgenError(
            "its outputs differ between two passes over the same images with the same torch seed, in train "
            "mode, so runs would not be reproducible. Draw random numbers with torch, and keep all state "
            "that changes between passes in buffers (register_buffer)."
        )


@torch.no_grad()
def check_causal(body: nn.Module, ids: Tensor) -> None:
    """Refuse a language model that sees the tokens that it is to predict.

    Parameters
    ----------
    body : nn.Module
        In eval mode.
    ids : Tensor, int64 N × L

    Raises
    ------
    LatentgenError
        If its outputs at earlier positions change with the last token.
    """
    changed = ids.clone()
    changed[:, -1] = torch.where(ids[:, -1] == 0, 1, 0)
    before, after = (passed(body, batch).view(*ids.shape, -1)[:, :-1] for batch in (ids, changed))
    if not _close(before, after, 1e-4):
        raise LatentgenError(
            "its outputs depend on later tokens, so it sees the tokens that it is to predict. Use a causal "
            "network (Transformer: causal: true)."
        )


def _started(body: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    body.load_state_dict(state)
    torch.manual_seed(0)
    return body


def _refuse_if_images_mix(seen: Callable[[Tensor], Tensor], images: Tensor, together: Tensor) -> None:
    reason = ""
    for part in (images[:2], images[:1]):
        try:
            same = _close(seen(part), together[: len(part)], 1e-3)
        except LatentgenError as error:  # for example, the variance of a single image
            same, reason = False, f" ({error})"
        if not same:
            raise LatentgenError(
                "its outputs for an image depend on the other images in a batch, also in eval mode, so "
                f"results would depend on the batch size{reason}. In batch normalization, leave "
                "track_running_stats at True."
            )


def _seen(body: nn.Module, readout: str | None, images: Tensor) -> Tensor:
    """Return the input of the readout; the logits, if there is none."""
    if readout is None:
        logits: Tensor = passed(body, images)
        return logits.reshape(len(images), -1)
    seen: list[Tensor] = []
    hook = body.get_submodule(readout).register_forward_pre_hook(
        lambda _module, inputs: seen.append(inputs[0].clone())
    )
    try:
        passed(body, images)
    finally:
        hook.remove()
    return seen[-1].flatten(1)


def _close(one: Tensor, other: Tensor, tolerance: float) -> bool:
    """Whether two tensors are equal, up to a fraction of their largest value."""
    largest = max((float(outputs.abs().max()) for outputs in (one, other)), default=0.0)
    return torch.allclose(one, other, rtol=0, atol=tolerance * largest, equal_nan=True)
