"""The networks: what each is called, what its layers are named and how wide they are, and how it is built.

A model is one class here and one line in `Architecture`. The class describes itself without torch (a
study is planned without loading it) and imports it only to build.
"""

import re
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, TypeAdapter, model_validator

from latentgen.errors import LatentgenError
from latentgen.randomness import Purpose, integer_seed
from latentgen.runtime.import_paths import ImportPath, attribute
from latentgen.settings import CodeFiles, Distinct, PositiveInt, Settings

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    Modules = OrderedDict[str, nn.Module]

ImageShape = tuple[int, int, int]
"""Channels, height, width."""


class Network(Settings, ABC):
    """What every architecture must say of itself."""

    PUBLISHED_SEED: ClassVar = 42
    """Seed of torch's generator in the papers' training scripts."""
    SEEDED_ANEW: ClassVar = False
    """Whether the papers' constructor seeds torch's generator, so that all networks are the same one."""

    architecture: str
    """Which network it is."""
    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")] | None = None
    """Name of the model in run names, tables and figures; the architecture in lower case if left out."""
    layers: Annotated[tuple[str, ...], Field(min_length=1), Distinct] | None = None
    """Layers to probe. If left out: those of the papers, without `input`, the raw pixels."""

    @property
    def model_name(self) -> str:
        """The name this model goes by."""
        return self.name or self.architecture.lower()

    @property
    def is_known(self) -> bool:
        """Whether its layers are known yet."""
        return True

    @property
    def described(self) -> str:
        """What network it is, in a report."""
        return self.architecture

    @property
    def readout_name(self) -> str:
        """Name of the final linear layer among the network's weights."""
        return "readout"

    @property
    def convolutional(self) -> bool:
        """Whether the channels-last memory layout pays (it does for convolutions on CPU and GPU)."""
        return False

    @abstractmethod
    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every named hidden layer for images of a shape, in order; the last feeds the readout."""

    @abstractmethod
    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Multiplications, each with its addition, in a forward pass of one image; the readout left out."""

    @abstractmethod
    def largest_output(self, image_shape: ImageShape) -> int:
        """Most numbers that any part of the network answers to one image: what memory must hold."""

    @abstractmethod
    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return the network: named layers are submodules, and `readout` is its final linear layer."""

    def layer_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every named layer: `input`, the raw pixels, and the hidden ones."""
        return {"input": prod(image_shape), **self.hidden_widths(image_shape)}

    def usual_layers(self, image_shape: ImageShape) -> tuple[str, ...]:
        """Layers that are probed where the study file does not say: the hidden ones."""
        return tuple(self.hidden_widths(image_shape))

    def probed_layers(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every layer that is to be probed, input to output."""
        wanted = self.layers or self.usual_layers(image_shape)
        widths = self.layer_widths(image_shape)
        return {layer: width for layer, width in widths.items() if layer in wanted}


class MLP(Network):
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""

    architecture: Literal["MLP"]
    """Fully connected layers with ReLU, named fc1, fc2 and so on."""
    widths: tuple[PositiveInt, ...] = Field(default=(128, 512, 2048, 2048), min_length=1)
    """Width of each hidden layer. The papers' network is 128, 512, 2048, 2048."""

    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of each hidden layer, after its ReLU."""
        return {f"fc{number}": width for number, width in enumerate(self.widths, 1)}

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Products of neighbouring widths."""
        widths = [prod(image_shape), *self.widths]
        return sum(a * b for a, b in pairwise(widths))

    def largest_output(self, image_shape: ImageShape) -> int:
        """Flattened image or widest layer."""
        return max(prod(image_shape), *self.widths)

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return flatten, then linear and ReLU per width, then the readout with a bias."""
        from torch import nn

        modules: Modules = OrderedDict(input=nn.Flatten())
        width = prod(image_shape)
        for layer, next_width in self.hidden_widths(image_shape).items():
            modules[layer] = nn.Sequential(nn.Linear(width, next_width), nn.ReLU())
            width = next_width
        modules["readout"] = nn.Linear(width, n_classes)
        return nn.Sequential(modules)


class WithDropout(Network, ABC):
    """A network that may have dropout; the layer after a layer's dropout is called `{layer}_dropout`."""

    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Probability that a unit is dropped, after each hidden layer that is fully connected (in ResNet-18,
    which has none, after the average). The papers' dropout networks have 0.2 in CNN, and 0.5 in AlexNet."""
    renorm: bool = False
    """After dropout, also scale each feature so that the sum of its magnitudes over the batch is at most 3,
    in eval mode too: an oddity of the papers' dropout networks. It makes outputs depend on the batch."""

    @model_validator(mode="after")
    def _renorm_is_of_dropout(self) -> Self:
        if self.renorm and not self.dropout:
            raise ValueError("renorm is a part of the dropout networks: give dropout as well")
        return self

    @property
    def convolutional(self) -> bool:
        """Whether channels-last pays: yes."""
        return True

    def _with_dropout(self, widths: Mapping[str, int]) -> dict[str, int]:
        """Widths of some layers, each followed by that after its dropout, if there is dropout."""
        doubled = {}
        for layer, width in widths.items():
            doubled[layer] = width
            if self.dropout:
                doubled[f"{layer}_dropout"] = width
        return doubled

    def _add_dropout(self, modules: "Modules", layer: str) -> None:
        from latentgen.networks.blocks import Dropout

        if self.dropout:
            modules[f"{layer}_dropout"] = Dropout(self.dropout, self.renorm)

    def _add_linear(self, modules: "Modules", width: int, widths: Mapping[str, int]) -> int:
        """Append fully connected layers with ReLU, and dropout if any; return the width of the last."""
        from torch import nn

        for layer, next_width in widths.items():
            modules[layer] = nn.Sequential(nn.Linear(width, next_width), nn.ReLU())
            self._add_dropout(modules, layer)
            width = next_width
        return width


class CNN(WithDropout):
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3.

    Three blocks of two 3 × 3 convolutions and a 2 × 2 maximum, three fully connected layers of 250, and a
    readout without bias.
    """

    PUBLISHED_SEED: ClassVar = 0
    SEEDED_ANEW: ClassVar = True
    CHANNELS: ClassVar = (16, 32, 64)
    LINEAR: ClassVar = {"fc1": 250, "fc2": 250, "fc3": 250}

    architecture: Literal["CNN"]
    """The papers' convolutional network; its layers are flatten, fc1, fc2, fc3."""

    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of the flattened last block and of the three hidden layers, each after its ReLU."""
        _, height, width = image_shape
        flat = self.CHANNELS[-1] * (height // 8) * (width // 8)
        return {"flatten": flat, **self._with_dropout(self.LINEAR)}

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Convolutions: pixels × 9 × channels in × channels out; then the linear layers."""
        channels, height, width = image_shape
        total = 0
        for next_channels in self.CHANNELS:
            total += height * width * 9 * (channels + next_channels) * next_channels
            channels, height, width = next_channels, height // 2, width // 2
        widths = [channels * height * width, *self.LINEAR.values()]
        return total + sum(a * b for a, b in pairwise(widths))

    def largest_output(self, image_shape: ImageShape) -> int:
        """First convolution: channels double where pixels become a quarter."""
        _, height, width = image_shape
        return self.CHANNELS[0] * height * width

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return blocks of 16, 32 and 64 channels, flatten, 250–250–250 and the readout."""
        from torch import nn

        modules: Modules = OrderedDict(input=nn.Identity())
        channels = image_shape[0]
        for block, next_channels in enumerate(self.CHANNELS, 1):
            modules[f"block{block}"] = nn.Sequential(
                nn.Conv2d(channels, next_channels, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(next_channels, next_channels, 3, padding=1),
                nn.ReLU(),
                nn.MaxPool2d(2),
            )
            channels = next_channels
        modules["flatten"] = nn.Flatten()
        width = self._add_linear(modules, self.hidden_widths(image_shape)["flatten"], self.LINEAR)
        modules["readout"] = nn.Linear(width, n_classes, bias=False)
        return nn.Sequential(modules)


class AlexNet(WithDropout):
    """AlexNet for small images, as in the papers; its layers are flatten, fc1, fc2.

    Five convolutions, with a 3 × 3 maximum of stride 2 after the first, second and fifth, and two fully
    connected layers of 4,096.
    """

    CHANNELS: ClassVar = (64, 192, 384, 256, 256)
    POOLED: ClassVar = (0, 1, 4)
    LINEAR: ClassVar = {"fc1": 4096, "fc2": 4096}

    architecture: Literal["AlexNet"]
    """AlexNet for small images; its layers are flatten, fc1, fc2."""
    variant: Literal["cifar", "tiny_imagenet"] = "cifar"
    """First two convolutions: `cifar`, for 32 × 32: 3 × 3 with stride 2, and 3 × 3; `tiny_imagenet`, for
    64 × 64: 11 × 11 with stride 4, and 5 × 5."""

    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of the flattened convolutions (256 in both papers) and of the hidden layers, after ReLU."""
        sizes = self._sizes(image_shape)
        return {"flatten": self.CHANNELS[-1] * prod(sizes[-1]), **self._with_dropout(self.LINEAR)}

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Convolutions at the size of their output, then the linear layers."""
        channels, total = image_shape[0], 0
        sizes = self._sizes(image_shape)[:-1]
        for size, (kernel, _, _), next_channels in zip(sizes, self._convolutions, self.CHANNELS, strict=True):
            total += prod(size) * kernel**2 * channels * next_channels
            channels = next_channels
        widths = [self.hidden_widths(image_shape)["flatten"], *self.LINEAR.values()]
        return total + sum(a * b for a, b in pairwise(widths))

    def largest_output(self, image_shape: ImageShape) -> int:
        """Image, a convolution, or a hidden layer."""
        sizes = self._sizes(image_shape)[:-1]
        convolutions = (c * prod(size) for c, size in zip(self.CHANNELS, sizes, strict=True))
        return max(prod(image_shape), *convolutions, *self.LINEAR.values())

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return five convolutions, flatten, 4096–4096 and the readout with a bias."""
        from torch import nn

        modules: Modules = OrderedDict(input=nn.Identity())
        channels = image_shape[0]
        for index, (convolution, next_channels) in enumerate(
            zip(self._convolutions, self.CHANNELS, strict=True)
        ):
            kernel, stride, padding = convolution
            modules[f"conv{index + 1}"] = nn.Sequential(
                nn.Conv2d(channels, next_channels, kernel, stride, padding),
                nn.ReLU(),
                *([nn.MaxPool2d(3, 2)] if index in self.POOLED else []),
            )
            channels = next_channels
        modules["flatten"] = nn.Flatten()
        width = self._add_linear(modules, self.hidden_widths(image_shape)["flatten"], self.LINEAR)
        modules["readout"] = nn.Linear(width, n_classes)
        return nn.Sequential(modules)

    @property
    def _convolutions(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and padding of each convolution."""
        firsts = ((3, 2, 1), (3, 1, 1)) if self.variant == "cifar" else ((11, 4, 2), (5, 1, 2))
        return (*firsts, *[(3, 1, 1)] * 3)

    def _sizes(self, image_shape: ImageShape) -> list[tuple[int, int]]:
        """Height and width of every convolution's output, and of the last maximum's."""
        sizes, size = [], image_shape[1:]
        for index, (kernel, stride, padding) in enumerate(self._convolutions):
            size = _convolved(size, kernel, stride, padding)
            sizes.append(size)
            if index in self.POOLED:
                size = _convolved(size, 3, 2, 0)
        return [*sizes, size]


class ResNet18(WithDropout):
    """ResNet-18 for small images, as in the papers.

    Stem of 3 × 3 with a 3 × 3 maximum of stride 2, four stages of two blocks with 64, 128, 256 and 512
    channels, average over the image. Layers: `l0`, the stem; `l1` to `l4`, the stages; `l0_1`, `l0_2`,
    `l0_3`, the middle of stage 1's first block, its end, and the middle of the second block (`l1_1` …
    `l3_3` in the other stages); `bf_last`, the average. Maps are flattened, not averaged.
    """

    CHANNELS: ClassVar = (64, 128, 256, 512)

    architecture: Literal["ResNet18"]
    """ResNet-18 for small images; its layers are l0, l0_1, l0_2, l0_3, l1, l2, l3, l4, bf_last."""

    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of the stem, of every half of a block, and of the average."""
        size = self._stem_sizes(image_shape)[1]
        widths = {"l0": self.CHANNELS[0] * prod(size)}
        for stage, channels in enumerate(self.CHANNELS, 1):
            size = _convolved(size, 3, self._stride(stage), 1)
            widths |= dict.fromkeys(self._halves(stage), channels * prod(size))
        return widths | self._with_dropout({"bf_last": self.CHANNELS[-1]})

    def usual_layers(self, image_shape: ImageShape) -> tuple[str, ...]:
        """All but the insides of stages 2 to 4."""
        inside = {layer for stage in (2, 3, 4) for layer in self._halves(stage)[:-1]}
        return tuple(layer for layer in self.hidden_widths(image_shape) if layer not in inside)

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Convolutions at the size of their output."""
        channels = self.CHANNELS[0]
        full, size = self._stem_sizes(image_shape)
        total = prod(full) * 9 * image_shape[0] * channels
        for stage, next_channels in enumerate(self.CHANNELS, 1):
            size = _convolved(size, 3, self._stride(stage), 1)
            shortcut = channels if self._stride(stage) > 1 else 0
            total += prod(size) * next_channels * (9 * (channels + 3 * next_channels) + shortcut)
            channels = next_channels
        return total

    def largest_output(self, image_shape: ImageShape) -> int:
        """Convolution of the stem, before its maximum."""
        return self.CHANNELS[0] * prod(self._stem_sizes(image_shape)[0])

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return the stem, sixteen halves of blocks, the average and the readout with a bias."""
        from torch import nn

        from latentgen.networks.blocks import Inner, Outer, Residual

        channels = self.CHANNELS[0]
        modules: Modules = OrderedDict(input=nn.Identity())
        modules["l0"] = nn.Sequential(*Inner(image_shape[0], channels, 1), nn.MaxPool2d(3, 2, padding=1))
        for stage, next_channels in enumerate(self.CHANNELS, 1):
            halves = self._halves(stage)
            for inner, outer, stride in ((*halves[:2], self._stride(stage)), (*halves[2:], 1)):
                modules[inner] = Inner(channels, next_channels, stride)
                modules[outer] = Outer(channels, next_channels, stride)
                channels = next_channels
        modules["bf_last"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self._add_dropout(modules, "bf_last")
        modules["readout"] = nn.Linear(channels, n_classes)
        return Residual(modules)

    @staticmethod
    def _halves(stage: int) -> tuple[str, str, str, str]:
        return f"l{stage - 1}_1", f"l{stage - 1}_2", f"l{stage - 1}_3", f"l{stage}"

    @staticmethod
    def _stride(stage: int) -> int:
        return 1 if stage == 1 else 2

    @staticmethod
    def _stem_sizes(image_shape: ImageShape) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size before and after the maximum of the stem."""
        full = image_shape[1:]
        return full, _convolved(full, 3, 2, 1)


def _convolved(size: tuple[int, int], kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Height and width of what a convolution or a maximum makes of others; 0 if it does not fit."""
    height, width = (max(0, (side + 2 * padding - kernel) // stride + 1) for side in size)
    return height, width


class Measured(Settings):
    """What a network of one's own was found to be like."""

    widths: dict[str, PositiveInt]
    """Layers that are probed, and `readout_input`, with their widths, in the order in which they answer."""
    readout: str
    """Name of the final linear layer."""
    multiply_adds: PositiveInt
    """Multiplications, each with its addition, in a forward pass of one image; the readout left out."""
    largest_output: PositiveInt
    """Most numbers that any part of the network answers to one image."""
    weight_bytes: PositiveInt
    """Size of its weights."""


class MeasuredNetwork(Network, ABC):
    """A network that is not described here: what a study must know of it is found by a trial.

    A trial runs code of the user's and takes torch. It is made once, when a study is about to be run, and its
    result kept, so that reading a study takes neither (and never runs what only an archive asks for).
    """

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What it is called with, by name."""
    readout: str | None = None
    """Name of its final linear layer; the last nn.Linear if left out."""
    layers: Annotated[tuple[str, ...], Field(min_length=1), Distinct] | None = None
    """Layers to probe: names of its modules, in which `*`, `?` and `[…]` stand for anything, `input`, the raw
    pixels, and `readout_input`, what the readout sees. If left out: its immediate parts and the latter."""
    measured: Measured | None = None
    """Found by a trial; to be left out."""

    @property
    def is_known(self) -> bool:
        """Whether a trial was made."""
        return self.measured is not None

    @property
    def convolutional(self) -> bool:
        """Whether it is put into channels-last memory: only where its code is known to stand that."""
        return True

    @property
    def readout_name(self) -> str:
        """Name of the final linear layer among the network's weights."""
        return self._measured.readout

    @property
    def _measured(self) -> Measured:
        if self.measured is None:
            raise LatentgenError(
                f"What {self.described} is like is not known yet: start the study (make figures STUDY=…)."
            )
        return self.measured

    @abstractmethod
    def make(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return the network as its own code gives it."""

    def hidden_widths(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every layer that is probed, `input` left out, and of the readout's input."""
        return {layer: width for layer, width in self._measured.widths.items() if layer != "input"}

    def probed_layers(self, image_shape: ImageShape) -> dict[str, int]:
        """Width of every layer that is to be probed: the readout's input only if it is asked for."""
        widths = self._measured.widths
        if self.layers is None:
            return dict(widths)
        return {
            layer: width
            for layer, width in widths.items()
            if any(layer == pattern or fnmatchcase(layer, pattern) for pattern in self.layers)
        }

    def multiply_adds(self, image_shape: ImageShape) -> int:
        """Those of linear layers and convolutions."""
        return self._measured.multiply_adds

    def largest_output(self, image_shape: ImageShape) -> int:
        """As found by the trial."""
        return self._measured.largest_output

    @property
    def weight_bytes(self) -> int:
        """Size of its weights."""
        return self._measured.weight_bytes

    def build(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return the network with names for its ends."""
        from latentgen.networks.custom import Adapted, find_readout

        body = self.make(image_shape, n_classes)
        return Adapted(body, find_readout(body, self.readout, n_classes), self.convolutional)


class OwnNetwork(MeasuredNetwork):
    """A network of one's own: any nn.Module that takes images and returns a number for each class."""

    architecture: Literal["own"]
    """A network of one's own, from one's own code."""
    path: ImportPath
    """Where it is: module:name of a class or function, as in `my_package.nets:TwoLayer`; modules are looked
    for in the folder of the Snakefile too."""
    files: CodeFiles = ()
    """Files and folders that this code reads, relative to the Snakefile's folder: when their content changes,
    what used the code is rerun."""

    @property
    def model_name(self) -> str:
        """Last part of the path in lower case, if there is no name."""
        return self.name or _plain_name(attribute(self.path))

    @property
    def described(self) -> str:
        """Its path."""
        return self.path

    @property
    def convolutional(self) -> bool:
        """Own code may use ``view``, which refuses channels-last memory."""
        return False

    @property
    def import_path(self) -> str:
        """Its path."""
        return self.path

    def make(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return what the path gives."""
        from latentgen.networks.custom import construct

        return construct(self.path, self.arguments)


class _OfAZoo(MeasuredNetwork, ABC):
    """A network that a package has under a name."""

    network: Annotated[str, Field(min_length=1)]
    """Its name there, as in `resnet18`."""

    @property
    def model_name(self) -> str:
        """Its name there, if it has none here."""
        return self.name or _plain_name(self.network)

    @property
    def described(self) -> str:
        """The package and its name there."""
        return f"{self.architecture}'s {self.network}"


class TorchvisionNetwork(_OfAZoo):
    """A classifier of torchvision's by name, with random weights."""

    architecture: Literal["torchvision"]
    """A network of torchvision's; they take images of three channels."""

    @property
    def import_path(self) -> str:
        """The package."""
        return "torchvision:models"

    def make(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return torchvision's network."""
        from latentgen.networks.custom import construct_torchvision

        return construct_torchvision(self.network, self.arguments, n_classes)


class TimmNetwork(_OfAZoo):
    """A network of timm's by name, with random weights; timm has to be installed for it."""

    architecture: Literal["timm"]
    """A network of timm's, which is to be installed beside this: python -m pip install timm."""

    @property
    def import_path(self) -> str:
        """The package."""
        return "timm:create_model"

    def make(self, image_shape: ImageShape, n_classes: int) -> "nn.Module":
        """Return timm's network."""
        from latentgen.networks.custom import construct_timm

        return construct_timm(self.network, self.arguments, image_shape[0], n_classes)


def _plain_name(name: str) -> str:
    """Return a name as run names can have it."""
    return re.sub("[^a-z0-9_]", "_", name.lower()).lstrip("_0123456789") or "own"


Architecture = Annotated[
    MLP | CNN | AlexNet | ResNet18 | OwnNetwork | TorchvisionNetwork | TimmNetwork,
    Field(discriminator="architecture"),
]
"""All models there are."""


def make_network(
    settings: Mapping[str, Any],
    image_shape: ImageShape,
    n_classes: int,
    seed: int = 0,
    initial_weights: Literal["run_seed", "published"] = "run_seed",
) -> "nn.Module":
    """Build the network that a study file describes; its initial weights follow from `seed` alone.

    torch's default initialization draws from the global generator, whose state is put back afterwards.

    Parameters
    ----------
    settings : mapping
        A model as in the study file, with the keys of `MLP`, `CNN`, `AlexNet` or `ResNet18`.
    image_shape : (int, int, int)
        Channels, height, width.
    n_classes : int
    seed : int
        The run's seed.
    initial_weights : {"run_seed", "published"}
        ``published``: torch's generator gets the papers' seed, and their run 1 the first network built. They
        built those of their later runs from where training had left the generator, which cannot be repeated;
        here it is the second network for seed 2, and so on.
    """
    import torch

    from latentgen.linalg import use_fast_products

    network_settings: Network = TypeAdapter(Architecture).validate_python(settings)
    with torch.random.fork_rng(devices=[]):
        if initial_weights == "run_seed":
            torch.manual_seed(integer_seed(seed, Purpose.INITIAL_WEIGHTS))
        else:
            torch.manual_seed(network_settings.PUBLISHED_SEED)
            for _ in range(0 if network_settings.SEEDED_ANEW else seed - 1):
                network_settings.build(image_shape, n_classes)
        network = network_settings.build(image_shape, n_classes)
    if network_settings.convolutional:
        network = network.to(memory_format=torch.channels_last)
    use_fast_products(network)
    return network


def as_input(
    images: "np.ndarray[Any, Any]", max_value: int, input_range: Sequence[float], device: "torch.device"
) -> "torch.Tensor":
    """Return uint8 images (N, C, H, W) as the float32 tensor that a network sees, scaled to `input_range`.

    Channels-last: for one channel this is the same memory, for more it is what convolutions are fast on.
    """
    import torch

    low, high = input_range
    scaled = torch.from_numpy(images).to(device).to(torch.float32, memory_format=torch.channels_last)
    return scaled.mul_((high - low) / max_value).add_(low)
