"""Settings of the encoder, its features, and the decoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from showtell.config.checks import paths_to_text, require, require_known
from showtell.config.data import View

DecoderKind = str
"""One of `DECODER_KINDS`, or the name of a plug-in of decoders."""

DECODER_KINDS = ("topdown", "attention", "pooled")

Cell = Literal["lstm", "gru"]

Precision = Literal["auto", "bf16", "fp32"]

DEVICE_VARIABLE = "SHOWTELL_DEVICE"
"""Environment variable that names the device of a process and of those that it starts; see `pick_device`."""

FeatureMode = Literal["auto", "cached", "memory", "online"]

Runtime = Literal["auto", "torch", "onnx", "openvino"]
"""The library that runs a model; `auto` picks the fastest available one."""

FeatureType = Literal["float16", "int8"]


@dataclass(frozen=True)
class EncoderConfig:
    """The frozen image encoder."""

    weights: str = "resnet50-imagenet"
    """A ResNet, or another vision model (ViT, DINOv2, CLIP, ConvNeXt, Swin; extra `encoders`): a folder in
    models/, a local `transformers` folder, a hub id, a torchvision resnet `.pth` file, or `PLUGIN:NAME`."""
    image_size: int = 224
    """Side in pixels that square images are resized to; others keep their proportions, at the same area
    (random and cropped views, and all of `online` training, are squares)."""
    precision: Precision = "auto"
    """Number format to compute in; `auto` takes bf16 if the machine is fast at it."""

    def __post_init__(self) -> None:
        paths_to_text(self, "weights")
        require(self.image_size >= 32, "encoder.image_size must be at least 32")


@dataclass(frozen=True)
class CacheConfig:
    """The cache of image features."""

    views: tuple[View, ...] = ("full",)
    """Views of each training image whose features are cached; each epoch uses one of them, at random. `full`:
    the whole image, `crop`: its centre, `small`: the whole at 7/9 of the size (224 for 288), `flip`,
    `crop-flip`, `small-flip`: these mirrored, `random-N`: random crops."""
    dir: str = "cache"
    """Folder of the cached features."""
    dtype: FeatureType = "float16"
    """Number format of the cached features; `int8` takes half the disk, with 256 levels for each grid
    cell."""
    exported: str | None = None
    """Folder of an exported model (`showtell export`) of the same encoder, which computes the features in
    place of PyTorch: in int8 two to three times as fast. A decoder that will run with an exported encoder
    is best trained on its features."""

    def __post_init__(self) -> None:
        paths_to_text(self, "dir", "exported")
        require(not isinstance(self.views, str), "cache.views must be a list of views")
        object.__setattr__(self, "views", tuple(self.views))
        require(len(self.views) > 0, "cache.views must name at least one view")
        require(len(set(self.views)) == len(self.views), "cache.views must not repeat a view")


@dataclass(frozen=True)
class DecoderConfig:
    """The recurrent decoder."""

    kind: DecoderKind = "topdown"
    """`pooled`: Show and Tell. `attention`: Show, Attend and Tell. `topdown`: two recurrent layers around
    attention, trained on all time steps at once (fast). Or the name of a plug-in."""
    cell: Cell = "lstm"
    """Kind of the recurrent layers."""
    embedding_dim: int = 384
    """Size of the word embeddings."""
    hidden_dim: int = 384
    """Size of the recurrent state."""
    attention_dim: int = 384
    """Size of the attention's keys and values."""
    attention_heads: int = 4
    """Heads of the attention of `topdown`."""
    dropout: float = 0.3
    """Dropout before the words' logits; `topdown` and `pooled` also drop words and hidden states."""

    def __post_init__(self) -> None:
        require_known("decoder.kind", self.kind, DECODER_KINDS, "decoders")
        for name in ("embedding_dim", "hidden_dim", "attention_dim", "attention_heads"):
            require(getattr(self, name) >= 1, f"decoder.{name} must be at least 1")
        require(0 <= self.dropout < 1, "decoder.dropout must be at least 0 and less than 1")
        require(
            self.attention_dim % self.attention_heads == 0,
            "decoder.attention_dim must be a multiple of decoder.attention_heads",
        )
