"""Call the code that builds a custom network: the user's, torchvision's, timm's or Hugging Face's."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import Any

from torch import nn

from latentgen.data.inputs import InputShape, Tokens, image_shape
from latentgen.errors import LatentgenError
from latentgen.runtime.import_paths import load, nearest_few

LONGEST = 300
"""Characters of arguments, and of an error, in a message; configurations have thousands."""


def construct(path: str, arguments: Mapping[str, Any]) -> nn.Module:
    """Call the object of an import path, which must return an `nn.Module`.

    Raises
    ------
    LatentgenError
        If it cannot be imported or called, or returns something else.
    """
    made = _called(load(path), arguments, path)
    if not isinstance(made, nn.Module):
        raise LatentgenError(
            f"{path} returns a {type(made).__name__}; it must be, or return, a torch.nn.Module."
        )
    return made


def construct_torchvision(network: str, arguments: Mapping[str, Any], n_classes: int) -> nn.Module:
    """Return one of torchvision's classifiers by its name, with random weights.

    Raises
    ------
    LatentgenError
        If there is none of that name, or if it cannot be built with these arguments.
    """
    from torchvision import models

    known = models.list_models(module=models)
    if network not in known:
        raise LatentgenError(f"torchvision has no network {network!r}; {nearest_few(network, known)}.")
    _refuse_downloads(arguments, "weights", "weights_backbone")
    given = {"weights": None, "num_classes": n_classes, **arguments}
    made: nn.Module = _called(lambda **given: models.get_model(network, **given), given, network)
    return made


def construct_timm(network: str, arguments: Mapping[str, Any], channels: int, n_classes: int) -> nn.Module:
    """Return one of timm's networks by its name, with random weights.

    Raises
    ------
    LatentgenError
        If timm is not installed, if it has none of that name, or if it cannot be built with these arguments.
    """
    try:
        import timm
    except ImportError as error:
        raise LatentgenError(
            f"{network} is a timm network, and timm is not installed. Install it: "
            "python -m pip install timm (in the environment that runs the workflow)."
        ) from error
    known = timm.list_models()
    if network not in known:
        raise LatentgenError(f"timm has no network {network!r}; {nearest_few(network, known)}.")
    _refuse_downloads(arguments, "pretrained")
    given = {"pretrained": False, "num_classes": n_classes, "in_chans": channels, **arguments}
    made: nn.Module = _called(lambda **given: timm.create_model(network, **given), given, network)
    return made


def construct_transformers(
    network: str, arguments: Mapping[str, Any], input_shape: InputShape, n_classes: int
) -> nn.Module:
    """Return one of Hugging Face's classifiers or language models with random weights; nothing is downloaded.

    Parameters
    ----------
    network : str
        A model type, or a folder with a ``config.json``.
    arguments : mapping
        Values of the configuration.
    input_shape : tuple of int, or Tokens
        Shape of an image, or of a sequence of tokens.
    n_classes : int

    Raises
    ------
    LatentgenError
        If transformers is not installed, if it has no such network, or if it cannot be built so.
    """
    try:
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageClassification,
            AutoModelForSequenceClassification,
        )
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    except ImportError as error:
        raise LatentgenError(
            f"{network} is a network of Hugging Face's transformers, which is not installed. Install it: "
            "python -m pip install transformers (in the environment that runs the workflow)."
        ) from error
    sizes: dict[str, Any] = {"num_labels": n_classes}
    if isinstance(input_shape, Tokens):
        sizes |= {"vocab_size": input_shape.vocabulary, "pad_token_id": input_shape.padding}
        model: Any = AutoModelForSequenceClassification
        if input_shape.next_token:
            del sizes["num_labels"]
            sizes["tie_word_embeddings"] = False  # the readout is edited, and the embedding is not
            model = AutoModelForCausalLM
    else:
        channels, height, _ = image_shape(input_shape)
        sizes |= {"image_size": height, "num_channels": channels}
        model = AutoModelForImageClassification
    if Path(network, "config.json").exists():
        make = partial(AutoConfig.from_pretrained, network, local_files_only=True)
    elif network in CONFIG_MAPPING:
        make = partial(AutoConfig.for_model, network)
    else:
        raise LatentgenError(
            f"{network!r} is neither a folder with a config.json nor a model type of transformers; "
            f"{nearest_few(network, list(CONFIG_MAPPING))}."
        )
    config = _called(make, {**sizes, **arguments}, network)
    made: nn.Module = _called(model.from_config, {"config": config}, network)
    return made


def _refuse_downloads(arguments: Mapping[str, Any], *keys: str) -> None:
    for key in keys:
        if arguments.get(key):
            raise LatentgenError(
                f"arguments: {key} would download weights, which a study does not do. Save them to a file "
                "once, and name it under initial_weights (docs/how-to-pretrained.md)."
            )


def _called(make: Any, arguments: Mapping[str, Any], what: str) -> Any:
    try:
        return make(**arguments)
    except Exception as error:  # custom code can raise anything
        given = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
        given, reason = (shorten(text, LONGEST, placeholder=" …") for text in (given, str(error)))
        raise LatentgenError(f"{what}({given}) fails with {type(error).__name__}: {reason}") from error
