"""Custom networks in the study file: from a user's own code, from torchvision and from timm."""

import re
from abc import ABC
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from latentgen.data.inputs import InputKind, InputShape, image_shape
from latentgen.networks.measured import MeasuredNetwork
from latentgen.runtime.import_paths import ImportPath, attribute
from latentgen.settings import Arguments, CodeFiles

if TYPE_CHECKING:
    from torch import nn


class _CalledNetwork(MeasuredNetwork, ABC):
    """A network returned by a function or class."""

    arguments: Arguments
    """Its arguments, by name."""


class CustomNetwork(_CalledNetwork):
    """A custom network: any nn.Module that takes the examples and returns one number for each class."""

    architecture: Literal["own"]
    """A custom network, from your own code."""
    path: ImportPath
    """Import path, module:name, of a class or function, as in `my_package.nets:TwoLayer`; modules may be in
    the folder of the Snakefile."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: if their content changes,
    everything that used the code is rerun."""

    @property
    def model_name(self) -> str:
        """The given name, or the last part of the path in lower case."""
        return self.name or _plain_name(attribute(self.path))

    @property
    def description(self) -> str:
        """Its path."""
        return self.path

    @property
    def convolutional(self) -> bool:
        """Whether it uses channels-last memory: no, since custom code may use ``view``."""
        return False

    @property
    def import_path(self) -> str:
        """Its path."""
        return self.path

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Call the class or function that the path names."""
        from latentgen.networks.construction import construct

        return construct(self.path, self.arguments)


class _ZooNetwork(_CalledNetwork, ABC):
    """A network in a package, by name."""

    TAKES: ClassVar[tuple[InputKind, ...]] = ("images",)

    network: Annotated[str, Field(min_length=1)]
    """Its name in the package, as in `resnet18`."""

    @property
    def model_name(self) -> str:
        """The given name, or that in the package."""
        return self.name or _plain_name(self.network)

    @property
    def description(self) -> str:
        """The package, and its name in it."""
        return f"{self.architecture}'s {self.network}"


class TorchvisionNetwork(_ZooNetwork):
    """A torchvision classifier by name, with random weights."""

    architecture: Literal["torchvision"]
    """A torchvision network, for images with three channels."""

    @property
    def import_path(self) -> str:
        """The package."""
        return "torchvision:models"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return torchvision's network, with an output for each class."""
        from latentgen.networks.construction import construct_torchvision

        return construct_torchvision(self.network, self.arguments, n_classes)


class TimmNetwork(_ZooNetwork):
    """A timm network by name, with random weights. timm must be installed."""

    architecture: Literal["timm"]
    """A timm network. Install timm first: python -m pip install timm."""

    @property
    def import_path(self) -> str:
        """The package."""
        return "timm:create_model"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return timm's network, with an output for each class."""
        from latentgen.networks.construction import construct_timm

        return construct_timm(self.network, self.arguments, image_shape(input_shape)[0], n_classes)


class TransformersNetwork(_ZooNetwork):
    """A Hugging Face classifier of images or of text, or a language model, with random weights.

    transformers must be installed.
    """

    TAKES: ClassVar[tuple[InputKind, ...]] = ("images", "tokens")

    architecture: Literal["transformers"]
    """A network of Hugging Face's transformers. Install it first: python -m pip install transformers."""
    network: Annotated[str, Field(min_length=1)]
    """A model type, as in `vit`, or a local folder with a `config.json`. `arguments` are values of its
    configuration; number of classes, image size and channels, vocabulary and padding are set
    automatically."""

    @property
    def model_name(self) -> str:
        """The given name, or the model type or the folder's name."""
        return self.name or _plain_name(self.network.rstrip("/").rpartition("/")[2])

    @property
    def import_path(self) -> str:
        """The package."""
        return "transformers:AutoConfig"

    def make_body(self, input_shape: InputShape, n_classes: int) -> "nn.Module":
        """Return the classifier that its configuration describes."""
        from latentgen.networks.construction import construct_transformers

        return construct_transformers(self.network, self.arguments, input_shape, n_classes)


def _plain_name(name: str) -> str:
    """Return a name that run names can contain."""
    return re.sub("[^a-z0-9_]", "_", name.lower()).lstrip("_0123456789") or "own"
