"""The PyTorch captioning model: encoder, decoder and vocabulary, saved as a single file."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from showtell.captioning.base import CaptioningModel, Pixels, special_tokens
from showtell.captioning.confidence import Calibration
from showtell.captioning.generate import generate_captions, search_captions
from showtell.checkpoints.fingerprint import weights_fingerprint
from showtell.checkpoints.model_file import (
    corrupt_file_as_checkpoint_error,
    exact_half,
    locate_model,
    read_model,
    write_model,
)
from showtell.checkpoints.tensor_files import misfit
from showtell.config import DecoderConfig, EncoderConfig, SearchConfig
from showtell.data.transforms import ImageTransform, check_image_size
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import (
    EnsembleDecoder,
    RNNDecoder,
    StepDecoder,
    for_search,
    make_decoder,
)
from showtell.decoder.cuda_graphs import CudaGraphSearch
from showtell.decoder.tensor_search import searches_on_device
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.networks import make_network
from showtell.encoder.pretrained import find_encoder
from showtell.encoder.resnet import ResNet
from showtell.errors import CheckpointError, ModelError, UsageError
from showtell.search import Hypothesis
from showtell.utils.devices import pick_device, warm_up
from showtell.utils.empty_modules import init_empty_weights

_MAX_GRID_SIDE: Final = 128


class Captioner(nn.Module, CaptioningModel):
    """Encoder, decoder and vocabulary, in PyTorch.

    Args:
        encoder: frozen.
        decoder: made for the encoder's features and the vocabulary.
        vocabulary: the words.
        encoder_name: the name under which the encoder's weights were loaded.
        calibration: of its confidence, or None if it is not calibrated.
    """

    def __init__(
        self,
        encoder: CNNEncoder,
        decoder: StepDecoder,
        vocabulary: Vocabulary,
        encoder_name: str,
        calibration: Calibration | None = None,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.vocabulary, self.encoder_name = vocabulary, encoder_name
        self.calibration = calibration
        self._copied: tuple[object, StepDecoder] | None = None
        self._captured: CudaGraphSearch | None = None

    __call__ = CaptioningModel.__call__  # nn.Module comes first in the order of bases
    __repr__ = CaptioningModel.__repr__

    def __getstate__(self) -> dict[str, Any]:
        """The state for copies and pickles, without the copy for searches, whose weights cannot be copied."""
        return {**self.__dict__, "_copied": None, "_captured": None}

    @property
    def summary(self) -> str:
        """The kind of its decoder, for `repr`."""
        if isinstance(self.decoder, RNNDecoder):
            config = self.decoder.config
            return f"{config.kind} decoder ({config.cell}, {config.hidden_dim} units)"
        members = len(self.decoder.members) if isinstance(self.decoder, EnsembleDecoder) else 1
        return f"ensemble of {members} decoders"

    @property
    def runs_on(self) -> str:
        """The device that computes, for `repr`."""
        return f"{next(self.decoder.parameters()).device}"

    @property
    def transform(self) -> ImageTransform:
        """Makes the images that the encoder takes."""
        return self.encoder.transform

    @property
    def has_attention(self) -> bool:
        """Whether the decoder returns attention weights."""
        return self.decoder.has_attention

    @property
    def device_type(self) -> str:
        """The device: `cpu`, `cuda`, ..."""
        return self.encoder.device.type

    @property
    def search_batch_size(self) -> int:
        """64 on a CPU; on a GPU as many as it encodes at once, twice over."""
        return max(64, 2 * self.encoder.batch_size) if self.device_type == "cuda" else 64

    def fingerprint(self) -> str:
        """SHA-256 (hex) of all that decides the captions, besides the search: weights, words, precision."""
        parts = (
            self.encoder.fingerprint(),
            weights_fingerprint(self.decoder.state_dict()),
            self.vocabulary.fingerprint,
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @torch.inference_mode()
    def encode_pixels(self, pixels: Sequence[Pixels]) -> Tensor:
        """Features (N, R, D) of N images (H, W, 3) uint8 that the transform has made."""
        return self.encoder.encode_pixels(pixels)

    def generate(
        self, features: Tensor, config: SearchConfig, *, attention: bool = False
    ) -> list[list[Hypothesis]]:
        """Search captions for features (B, R, D), in bf16 if these are in bf16, else in fp32.

        On a CPU, and in bf16, the search takes a copy of the decoder that is faster (see `for_search`). It
        is made again when weights have changed, except by writes through `.data`, which PyTorch does not
        count: after these call `decoder.train().eval()`.
        """
        bf16 = features.dtype == torch.bfloat16
        if self.decoder.training or (not bf16 and features.device.type != "cpu"):
            return generate_captions(self.decoder, self.vocabulary, features, config, attention=attention)
        with torch.inference_mode():
            features = features if bf16 else features.float()
            decoder = self._search_decoder(bf16=bf16)
            if features.is_cuda and len(features) and searches_on_device(config):
                if self._captured is None:
                    self._captured = CudaGraphSearch(decoder, special_tokens(self.vocabulary))
                return self._captured(features, config, attention=attention)
            return search_captions(decoder, self.vocabulary, features, config, attention)

    def _search_decoder(self, *, bf16: bool) -> StepDecoder:
        """A copy of the decoder for searches, made anew when a weight or the number format has changed.

        Optimizers with fused kernels do not count up a weight's version: a decoder that was in training mode
        since counts as changed too.
        """
        weights = ((id(p), p._version, p.device) for p in self.decoder.parameters())
        decoders = [module for module in self.decoder.modules() if isinstance(module, StepDecoder)]
        versions = [bf16, *(decoder.train_calls for decoder in decoders), *weights]
        if self._copied is None or self._copied[0] != versions:
            decoder = copy.deepcopy(self.decoder).to(torch.bfloat16 if bf16 else torch.float32).eval()
            on_cpu = next(decoder.parameters()).device.type == "cpu"
            # In a tuple: not a submodule, so it is no part of the state dictionary.
            self._copied = (versions, for_search(decoder) if on_cpu else decoder)
            self._captured = None
        return self._copied[1]

    def features(self, images: Tensor) -> Tensor:
        """Features (B, R, D) of a batch that holds these already, or an encoder's input (B, 3, H, W)."""
        features = self.encoder(images) if images.dim() == 4 else images
        return features.to(self.encoder.dtype)

    def save(self, folder: Path, *, with_encoder: bool = True, half: bool = False) -> Path:
        """Write the model to `folder`/model.safetensors, whole or not at all.

        Args:
            folder: made if it is missing.
            with_encoder: the state dictionary of the whole model; else the decoder's only, and the encoder is
                found again by its name.
            half: the decoder's weights in fp16.

        Returns:
            The file.

        Raises:
            ModelError: it is an ensemble.
        """
        if not isinstance(self.decoder, RNNDecoder):
            raise ModelError("an ensemble is not one model: save its members, each in a folder of its own")
        tensors = {f"decoder.{k}": v.half() if half else v for k, v in self.decoder.state_dict().items()}
        if with_encoder:
            tensors |= {f"encoder.{k}": exact_half(v) for k, v in self.encoder.state_dict().items()}
        header = {
            "decoder": asdict(self.decoder.config),
            "encoder": _describe_encoder(self.encoder, self.encoder_name),
            "vocabulary": self.vocabulary.to_json(),
            "vocabulary_fingerprint": self.vocabulary.fingerprint,
            "calibration": asdict(self.calibration) if self.calibration else None,
        }
        return write_model(folder, header, tensors)

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        device: torch.device | str | None = None,
        encoder: str | None = None,
        image_size: int | None = None,
    ) -> Captioner:
        """Load a model that `save` wrote.

        Args:
            name: its folder or file, the name of a folder in models/, or a hub id.
            device: `cpu`, `cuda`, `cuda:1`, `mps` or a `torch.device`; by default what `pick_device` picks.
            encoder: name of the encoder's weights, if the file does not contain them and they have moved.
            image_size: side in pixels that images are resized to (64 to 1024); by default the model's own.
                The grid of features stays that of the decoder: it is interpolated.

        Raises:
            UnknownModelError: there is none.
            CheckpointError: it is damaged, of another version, or for another encoder.
            EncoderError: the encoder's weights cannot be loaded.
            UsageError: the image size is out of range, or this machine does not have the device.
        """
        check_image_size(image_size)
        place = pick_device(device)
        warm_up(place)
        path, header, tensors = read_model(os.fspath(name))
        with corrupt_file_as_checkpoint_error(path):
            model = cls._assemble(path, header, tensors, encoder)
        model.encoder.transform = model.encoder.transform.at_size(image_size)
        return model.to(place).eval()

    @classmethod
    def _assemble(
        cls, path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor], encoder: str | None
    ) -> Captioner:
        vocabulary = Vocabulary.from_json(header["vocabulary"])
        if vocabulary.fingerprint != header["vocabulary_fingerprint"]:
            raise CheckpointError(
                f"{path}: its vocabulary is not the one it was trained with; train it again"
            )
        built = _build_encoder(header["encoder"], _part(tensors, "encoder."), path, encoder)
        decoder = _build_decoder(DecoderConfig(**header["decoder"]), tensors, path, len(vocabulary), built)
        known = header.get("calibration")
        calibration = Calibration.from_json(known) if known else None
        return cls(built, decoder, vocabulary, encoder or header["encoder"]["name"], calibration)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        revision: str | None = None,
        device: torch.device | str | None = None,
        image_size: int | None = None,
    ) -> Captioner:
        """Load a model by name, as `load` does; of the hub also another revision than `main`.

        Args:
            name: a folder that `showtell export --to-hub-folder` or a run wrote, the name of a folder in
                models/, or a hub id (`owner/name`), which is downloaded into the hub's cache.
            revision: of a hub id: branch, tag or commit.
            device: `cpu`, `cuda`, `cuda:1`, `mps` or a `torch.device`; by default what `pick_device` picks.
            image_size: see `load`.

        Raises:
            CheckpointError: there is none, or it is damaged, of another version, or contradicted by the files
                beside it.
            UsageError: a revision is given for what is no hub id, or the image size is out of range.
        """
        path = locate_model(str(name), revision)
        return cls.load(str(path), device=device, image_size=image_size)

    @classmethod
    def load_ensemble(
        cls,
        names: Sequence[str | os.PathLike[str]],
        *,
        device: torch.device | str | None = None,
        encoder: str | None = None,
        image_size: int | None = None,
    ) -> Captioner:
        """Load several models (see `load`) as an ensemble that averages their word probabilities.

        Args:
            names: one or more; of the same encoder weights, image size and vocabulary.
            device: see `load`.
            encoder: name of the encoder's weights, if the files do not contain them and they have moved.
            image_size: see `load`.

        Raises:
            CheckpointError: one cannot be loaded, or they do not fit together.
            EncoderError: the encoder's weights cannot be loaded.
            UsageError: there are no names, or the image size is out of range.
        """
        if not names:
            raise UsageError("an ensemble of no models: name one model or more")
        first, *others = (
            cls.load(name, device=device, encoder=encoder, image_size=image_size) for name in names
        )
        for name, model in zip(names[1:], others, strict=True):
            if model.vocabulary != first.vocabulary:
                raise CheckpointError(f"{name}: another vocabulary than that of {names[0]}; train them alike")
            if model.encoder.fingerprint() != first.encoder.fingerprint():
                raise CheckpointError(f"{name}: another encoder than that of {names[0]}; train them alike")
        if not others:
            return first
        members = [model.decoder for model in (first, *others) if isinstance(model.decoder, RNNDecoder)]
        return cls(first.encoder, EnsembleDecoder(members), first.vocabulary, first.encoder_name).eval()


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under `prefix`, floats in fp32."""
    return {
        name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _build_decoder(
    config: DecoderConfig, tensors: Mapping[str, Tensor], path: Path, words: int, encoder: CNNEncoder
) -> RNNDecoder:
    """The decoder of a model's file. Sizes are compared with its tensors before memory is allocated."""
    with init_empty_weights():
        decoder = make_decoder(
            config, vocab_size=words, feature_dim=encoder.feature_dim, grid_cells=encoder.grid_cells
        )
    stored = {name: tensor for name, tensor in tensors.items() if name.startswith("decoder.")}
    expected = {f"decoder.{name}": tensor for name, tensor in decoder.state_dict().items()}
    if reason := misfit(stored, expected):
        raise CheckpointError(f"{path}: its weights do not fit its description ({reason}); train it again")
    decoder.load_state_dict(_part(stored, "decoder."), assign=True)
    return decoder


def _describe_encoder(encoder: CNNEncoder, name: str) -> dict[str, Any]:
    """The encoder's entry in a model file; `grid_side` only if it does not follow from the image size."""
    described: dict[str, Any] = {
        "name": name,
        "fingerprint": weights_fingerprint(encoder.state_dict()),
        "architecture": encoder.backbone.architecture(),
        "transform": asdict(encoder.transform),
    }
    if encoder.grid_side != encoder.natural_grid_side:
        described["grid_side"] = encoder.grid_side
    return described


def _build_encoder(
    description: Mapping[str, Any], weights: dict[str, Tensor], path: Path, name: str | None
) -> CNNEncoder:
    """The encoder that a model was trained with: from its own weights, or loaded by name and compared."""
    transform = ImageTransform.from_json(description["transform"])
    grid_side = description.get("grid_side")
    if grid_side is not None and (type(grid_side) is not int or not 1 <= grid_side <= _MAX_GRID_SIDE):
        raise CheckpointError(f"{path}: damaged, its grid has {grid_side!r} rows; train it again")
    if weights:
        backbone = make_network(description["architecture"], empty=True)
        encoder = CNNEncoder(backbone, transform, grid_side=grid_side)
        if reason := misfit(weights, encoder.state_dict()):
            raise CheckpointError(f"{path}: its encoder does not fit its description ({reason})")
        if not isinstance(backbone, ResNet):  # others have tensors that are not in their state dictionary
            encoder = CNNEncoder(make_network(description["architecture"]), transform, grid_side=grid_side)
        encoder.load_state_dict(weights, assign=True)
        return encoder.requires_grad_(False)
    if name is None and (folder := find_encoder(description["name"])) is None:
        raise CheckpointError(
            f"{path}: its encoder {description['name']} is not on this machine; name its folder, or a hub id"
            " that you trust, with --encoder"
        )
    loaded = CNNEncoder.from_config(EncoderConfig(name or str(folder), transform.size))
    encoder = CNNEncoder(loaded.backbone, transform, grid_side=grid_side)
    if weights_fingerprint(encoder.state_dict()) != description["fingerprint"]:
        raise CheckpointError(
            f"{path}: trained with other encoder weights than those of {name or description['name']}; "
            "name the right ones with --encoder"
        )
    return encoder
