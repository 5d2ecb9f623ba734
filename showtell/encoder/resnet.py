"""ResNets (He et al. 2016, arXiv:1512.03385) without classifier, named and laid out as in `transformers`.

They are written out because importing the library takes longer than captioning a photo. Folders and hub ids
of its ResNets load alike; the tests hold that the features are the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from torch import Tensor, nn

from showtell.encoder.backbone import GridNetwork
from showtell.utils.empty_modules import init_empty_weights

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


MAX_LAYERS = 256
"""Residual layers at most; a ResNet152 has 50."""
MAX_CHANNELS = 16_384


_NARROWEST = 4
"""Channels of a stage at least: within a bottleneck there are a quarter of them."""


@dataclass(frozen=True)
class ResNetSettings:
    """The architecture; the defaults are those of a ResNet50. The names are those of `ResNetConfig`.

    Attributes:
        depths: layers of each stage.
        hidden_sizes: channels of each stage.
        embedding_size: channels of the stem.
        layer_type: whether a layer is two convolutions (`basic`) or three (`bottleneck`).
        downsample_in_bottleneck: whether the first convolution of a bottleneck has the stride, as in the
            paper, or the second, as in torchvision.
        downsample_in_first_stage: whether the first stage has a stride too.
        hidden_act: the activation after the stem and after each layer; within layers it is ReLU.
    """

    depths: tuple[int, ...] = (3, 4, 6, 3)
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    embedding_size: int = 64
    layer_type: Literal["basic", "bottleneck"] = "bottleneck"
    downsample_in_bottleneck: bool = False
    downsample_in_first_stage: bool = False
    hidden_act: str = "relu"

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> ResNetSettings:
        """Those of `config.json`; what has no meaning here is left out.

        Raises:
            ValueError: a value is not one of those that are known.
        """
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        for name in ("depths", "hidden_sizes"):
            if name in known:
                known[name] = tuple(known[name])
        settings = cls(**known)
        _check_numbers(settings)
        if settings.layer_type not in ("basic", "bottleneck"):
            raise ValueError(f"layer_type {settings.layer_type!r}")
        if settings.hidden_act not in ACTIVATIONS:
            raise ValueError(f"hidden_act {settings.hidden_act!r}")
        if not settings.depths or len(settings.depths) != len(settings.hidden_sizes):
            raise ValueError("depths and hidden_sizes of other lengths")
        if min(settings.hidden_sizes) < _NARROWEST:
            raise ValueError(f"hidden_sizes of less than {_NARROWEST} channels")
        return settings

    @property
    def stride(self) -> int:
        """Pixels of the image that a cell of the grid is wide: 32 for a ResNet50."""
        return int(2 ** (1 + len(self.depths) + self.downsample_in_first_stage))

    def to_json(self) -> dict[str, Any]:
        """Plain values, from which `from_config` makes the same again."""
        return {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}


def _check_numbers(settings: ResNetSettings) -> None:
    """See whether the numbers are such that a network can be made of them.

    Raises:
        ValueError: one is no whole number, or too large.
    """
    numbers = (*settings.depths, *settings.hidden_sizes, settings.embedding_size)
    if not all(type(number) is int and 1 <= number <= MAX_CHANNELS for number in numbers):
        raise ValueError("depths, hidden_sizes or embedding_size are no whole numbers of a usual size")
    if sum(settings.depths) > MAX_LAYERS:
        raise ValueError(f"more than {MAX_LAYERS} layers")
    for name in ("downsample_in_bottleneck", "downsample_in_first_stage"):
        if type(getattr(settings, name)) is not bool:
            raise ValueError(f"{name} is neither true nor false")


class ConvLayer(nn.Module):
    """Convolution, batch-norm, activation."""

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        activation: str | None = None,
    ) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out_channels, kernel, stride, kernel // 2, bias=False)
        self.normalization: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(out_channels)
        self.activation = ACTIVATIONS[activation]() if activation else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return self.activation(self.normalization(self.convolution(x)))

    def fused(self) -> nn.Conv2d:
        """A convolution in fp32 with the batch-norm in its weights and bias."""
        made, norm = self.convolution, self.normalization
        if not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None or norm.running_var is None:
            return made
        size, kernel = (made.in_channels, made.out_channels), made.kernel_size[0]
        with init_empty_weights():
            fused = nn.Conv2d(*size, kernel, made.stride[0], kernel // 2)
        scale = norm.weight.detach().float() * (norm.running_var.float() + norm.eps).rsqrt()
        shift = norm.bias.detach().float() - norm.running_mean.float() * scale
        fused.weight = nn.Parameter(made.weight.detach().float() * scale[:, None, None, None])
        fused.bias = nn.Parameter(shift)
        return fused


class ResidualLayer(nn.Module):
    """Residual block: two or three convolutions and a shortcut, projected if its shape changes."""

    def __init__(self, channels: int, out_channels: int, stride: int, settings: ResNetSettings) -> None:
        super().__init__()
        narrow = out_channels // 4
        self.shortcut: nn.Module = nn.Identity()
        if channels != out_channels or stride != 1:
            self.shortcut = ConvLayer(channels, out_channels, kernel=1, stride=stride)
        if settings.layer_type == "basic":
            self.layer = nn.Sequential(
                ConvLayer(channels, out_channels, stride=stride, activation="relu"),
                ConvLayer(out_channels, out_channels),
            )
        else:
            early, late = (stride, 1) if settings.downsample_in_bottleneck else (1, stride)
            self.layer = nn.Sequential(
                ConvLayer(channels, narrow, kernel=1, stride=early, activation="relu"),
                ConvLayer(narrow, narrow, stride=late, activation="relu"),
                ConvLayer(narrow, out_channels, kernel=1),
            )
        self.activation = ACTIVATIONS[settings.hidden_act]()

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return self.activation(self.layer(x).add_(self.shortcut(x)))


class _Stem(nn.Module):
    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        self.embedder = ConvLayer(3, settings.embedding_size, 7, 2, settings.hidden_act)
        self.pooler = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pooler(self.embedder(x))


class _Stage(nn.Module):
    def __init__(
        self, channels: int, out_channels: int, depth: int, stride: int, settings: ResNetSettings
    ) -> None:
        super().__init__()
        first = ResidualLayer(channels, out_channels, stride, settings)
        others = (ResidualLayer(out_channels, out_channels, 1, settings) for _ in range(depth - 1))
        self.layers = nn.Sequential(first, *others)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class _Stages(nn.Module):
    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        widths = [settings.embedding_size, *settings.hidden_sizes]
        strides = [2 if settings.downsample_in_first_stage else 1, *[2] * (len(settings.depths) - 1)]
        self.stages = nn.ModuleList(
            _Stage(widths[i], widths[i + 1], depth, strides[i], settings)
            for i, depth in enumerate(settings.depths)
        )

    def forward(self, x: Tensor) -> Tensor:
        for stage in self.stages:
            x = stage(x)
        return x


class ResNet(GridNetwork):
    """Images -> grid; weights are initialised at random (as `torch.nn` does) until some are loaded."""

    def __init__(self, settings: ResNetSettings) -> None:
        super().__init__()
        self.settings = settings
        self.embedder = _Stem(settings)
        self.encoder = _Stages(settings)

    @property
    def feature_dim(self) -> int:
        """Channels of the last stage."""
        return self.settings.hidden_sizes[-1]

    def grid_side(self, size: int) -> int:
        """Rows of the grid of a square image; what fills no cell is padded."""
        return math.ceil(size / self.settings.stride)

    def architecture(self) -> dict[str, Any]:
        """The settings; without `kind`, as in the files of all versions."""
        return self.settings.to_json()

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, D, H / stride, W / stride), rounded up."""
        return self.encoder(self.embedder(images))

    def folded(self) -> ResNet:
        """A copy in fp32 whose convolutions hold their batch-norm: the same outputs in fewer passes."""
        network = empty_resnet(self.settings)  # deepcopy would copy all weights, to be fused into others
        pairs = [
            (own, copied)
            for own, copied in zip(self.modules(), network.modules(), strict=True)
            if isinstance(own, ConvLayer) and isinstance(copied, ConvLayer)
        ]
        for own, copied in pairs:
            copied.convolution, copied.normalization = own.fused(), nn.Identity()
        return network.requires_grad_(False).eval()


def empty_resnet(settings: ResNetSettings) -> ResNet:
    """A ResNet without memory for its weights, which are to be assigned."""
    with init_empty_weights():
        return ResNet(settings)
