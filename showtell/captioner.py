"""The whole model: pictures in, captions out; one file on the disk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetModel

from showtell.config import DecoderConfig, EncoderConfig, SearchConfig
from showtell.data.images import ImageSource, ImageTransform
from showtell.data.loading import Decoded, batched, decode_ahead
from showtell.data.text import detokenize
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import EnsembleDecoder, RNNDecoder, StepDecoder, make_decoder
from showtell.devices import pick_device
from showtell.encoder import CNNEncoder, architecture
from showtell.errors import CheckpointError, ImageError, ModelError
from showtell.evaluation.confidence import Calibration
from showtell.fingerprints import weights_fingerprint
from showtell.model_file import exact_half, read_model, write_model
from showtell.search import Hypothesis, Specials, search

T = TypeVar("T")


@dataclass(frozen=True)
class Caption:
    """A caption of a picture.

    Attributes:
        text: to be read by a person.
        words: as the model said them.
        word_log_probs: natural logarithm of each word's probability, and of the end's.
        attention: (T, rows, columns), where the decoder looked for each word, or None.
        confidence: probability that it is good (see `good_captions`); None of a model that has not been
            calibrated, and of drawn captions. It holds for the best caption of the run's own search; for
            further and diverse captions it is too low.
        word_confidences: (T,), probability that each word is one that people use for the picture, or None.
    """

    text: str
    words: tuple[str, ...]
    word_log_probs: tuple[float, ...]
    attention: np.ndarray[Any, np.dtype[np.float32]] | None = None
    confidence: float | None = None
    word_confidences: tuple[float, ...] | None = None

    @property
    def log_probability(self) -> float:
        """Natural logarithm of the caption's probability."""
        return sum(self.word_log_probs)


@dataclass(frozen=True)
class Captioned:
    """A picture's captions, best first; or why there are none."""

    source: Any
    captions: tuple[Caption, ...]
    error: ImageError | None = None


class Captioner(nn.Module):
    """Encoder, decoder and vocabulary.

    Args:
        encoder: frozen.
        decoder: made for the encoder's features and the vocabulary.
        vocabulary: the words.
        encoder_name: the name under which the encoder's weights were loaded.
        calibration: of its confidence, where that has been calibrated.
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

    @property
    def transform(self) -> ImageTransform:
        """Makes the pictures that the encoder takes."""
        return self.encoder.transform

    def caption(
        self, images: Sequence[ImageSource], config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures, in one batch.

        Args:
            images: files, bytes or PIL images.
            config: how to search.
            attention: keep where the decoder looked.

        Returns:
            For each picture its captions, best first.

        Raises:
            ImageError: a picture cannot be shown.
        """
        if not images:
            return []
        pixels = [self.transform.pixels(image) for image in images]
        return self.caption_pixels(pixels, config, attention=attention)

    def caption_stream(
        self,
        sources: Iterable[T],
        config: SearchConfig | None = None,
        *,
        open_source: Callable[[T], ImageSource],
        batch_size: int = 64,
        attention: bool = False,
    ) -> Iterator[Captioned]:
        """Caption any number of pictures as they come, in constant memory; decoding runs beside the encoder.

        Args:
            sources: the pictures, taken lazily.
            config: how to search.
            open_source: what to decode of a source; called in threads.
            batch_size: pictures whose captions are searched together. The first batches are smaller (one
                picture, then four, ...), so that the first captions come soon.
            attention: keep where the decoder looked.

        Yields:
            A `Captioned` for each source, in order; pictures that cannot be shown have their error.
        """
        decoded = decode_ahead(
            sources, lambda source: self.transform.pixels(open_source(source)), ahead=batch_size
        )
        size = 1
        while batch := next(batched(decoded, size), None):
            yield from self._caption_batch(batch, config, attention)
            size = min(4 * size, batch_size)

    def caption_pixels(
        self,
        pixels: Sequence[npt.NDArray[np.uint8]],
        config: SearchConfig | None = None,
        *,
        attention: bool = False,
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures (H, W, 3) uint8 that the transform has made."""
        with torch.inference_mode():
            return self.caption_features(self.encoder.encode_pixels(pixels), config, attention=attention)

    def features(self, images: Tensor) -> Tensor:
        """Features (B, R, D) of a batch that holds these already, or an encoder's input (B, 3, H, W)."""
        features = self.encoder(images) if images.dim() == 4 else images
        return features.to(self.encoder.dtype)

    def caption_features(
        self, features: Tensor, config: SearchConfig | None = None, *, attention: bool = False
    ) -> list[tuple[Caption, ...]]:
        """Caption pictures by their features (B, R, D)."""
        config = config or SearchConfig()
        hypotheses = find_captions(self.decoder, self.vocabulary, features, config, attention=attention)
        calibration = None if config.sample else self.calibration
        return [tuple(self._to_caption(h, calibration) for h in found) for found in hypotheses]

    def save(self, folder: Path, *, with_encoder: bool = True, half: bool = False) -> Path:
        """Write the model to `folder`/model.safetensors, whole or not at all.

        Args:
            folder: made where it is missing.
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
            "encoder": {
                "name": self.encoder_name,
                "fingerprint": weights_fingerprint(self.encoder.state_dict()),
                "architecture": architecture(self.encoder.backbone),
                "transform": asdict(self.encoder.transform),
            },
            "vocabulary": self.vocabulary.to_json(),
            "vocabulary_fingerprint": self.vocabulary.fingerprint,
            "calibration": asdict(self.calibration) if self.calibration else None,
        }
        return write_model(folder, header, tensors)

    @classmethod
    def load(cls, name: str, *, device: torch.device | None = None, encoder: str | None = None) -> Captioner:
        """Load a model that `save` wrote.

        Args:
            name: its folder or file, or the name of a folder in models/.
            device: where it computes; by default a GPU where there is one.
            encoder: name of the encoder's weights, where they are not in the file and have moved.

        Raises:
            CheckpointError: there is none, or it is damaged, of another version, or for another encoder.
            EncoderError: the encoder's weights cannot be loaded.
        """
        path, header, tensors = read_model(name)
        vocabulary = Vocabulary.from_json(header["vocabulary"])
        if vocabulary.fingerprint != header["vocabulary_fingerprint"]:
            raise CheckpointError(
                f"{path}: its vocabulary is not the one it was trained with; train it again"
            )
        built = _build_encoder(header["encoder"], _part(tensors, "encoder."), path, encoder)
        decoder = make_decoder(
            DecoderConfig(**header["decoder"]),
            vocab_size=len(vocabulary),
            feature_dim=built.feature_dim,
            grid_cells=built.grid_cells,
        )
        try:
            decoder.load_state_dict(_part(tensors, "decoder."))
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise CheckpointError(f"{path}: its weights do not fit its description ({reason})") from error
        known = header.get("calibration")
        calibration = Calibration.from_json(known) if known else None
        model = cls(built, decoder, vocabulary, encoder or header["encoder"]["name"], calibration)
        return model.to(device or pick_device()).eval()

    @classmethod
    def load_ensemble(
        cls, names: Sequence[str], *, device: torch.device | None = None, encoder: str | None = None
    ) -> Captioner:
        """Load several models (see `load`) that caption as one, by the mean of their word probabilities.

        Args:
            names: one or more; of the same encoder weights, picture size and vocabulary.
            device: where they compute.
            encoder: name of the encoder's weights, where they are not in the files and have moved.

        Raises:
            CheckpointError: one cannot be loaded, or they do not fit together.
            EncoderError: the encoder's weights cannot be loaded.
        """
        first, *others = (cls.load(name, device=device, encoder=encoder) for name in names)
        for name, model in zip(names[1:], others, strict=True):
            if model.vocabulary != first.vocabulary:
                raise CheckpointError(f"{name}: another vocabulary than that of {names[0]}; train them alike")
            if model.encoder.fingerprint() != first.encoder.fingerprint():
                raise CheckpointError(f"{name}: another encoder than that of {names[0]}; train them alike")
        if not others:
            return first
        members = [model.decoder for model in (first, *others) if isinstance(model.decoder, RNNDecoder)]
        return cls(first.encoder, EnsembleDecoder(members), first.vocabulary, first.encoder_name).eval()

    def _caption_batch(
        self, batch: list[Decoded[T]], config: SearchConfig | None, attention: bool
    ) -> Iterator[Captioned]:
        pixels = [item.pixels for item in batch if item.pixels is not None]
        found = iter(self.caption_pixels(pixels, config, attention=attention)) if pixels else iter(())
        for item in batch:
            captions = next(found) if item.pixels is not None else ()
            yield Captioned(item.source, captions, item.error)

    def _to_caption(self, hypothesis: Hypothesis, calibration: Calibration | None) -> Caption:
        words = tuple(self.vocabulary.decode(hypothesis.tokens))
        looked = None
        if hypothesis.attention is not None:
            side = int(len(hypothesis.attention[0]) ** 0.5) if len(hypothesis.attention) else 0
            looked = hypothesis.attention.float().cpu().numpy().reshape(-1, side, side) if side else None
        log_probs = hypothesis.token_log_probs
        return Caption(
            detokenize(words),
            words,
            log_probs,
            looked,
            calibration.of_caption(log_probs) if calibration else None,
            calibration.of_words(log_probs) if calibration else None,
        )


def search_specials(vocabulary: Vocabulary) -> Specials:
    """The tokens that are no words of a caption."""
    never = (vocabulary.pad_id, vocabulary.start_id, vocabulary.unk_id)
    return Specials(vocabulary.start_id, vocabulary.end_id, never)


def find_captions(
    decoder: StepDecoder,
    vocabulary: Vocabulary,
    features: Tensor,
    config: SearchConfig,
    *,
    attention: bool = False,
) -> list[list[Hypothesis]]:
    """Search captions for features (B, R, D) with a decoder, which is put in evaluation mode meanwhile.

    The decoder computes in bf16 where the features are bf16, as in training, else in fp32.
    """
    specials = search_specials(vocabulary)
    training = decoder.training
    decoder.eval()
    try:
        low = features.dtype == torch.bfloat16
        with torch.inference_mode(), torch.autocast(features.device.type, torch.bfloat16, enabled=low):
            state = decoder.init_state(features if low else features.float())
            return search(decoder.step, state, specials, config, attention=attention)
    finally:
        decoder.train(training)


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors under `prefix`, floats in fp32."""
    return {
        name.removeprefix(prefix): tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _build_encoder(
    description: Mapping[str, Any], weights: dict[str, Tensor], path: Path, name: str | None
) -> CNNEncoder:
    """The encoder that a model was trained with: from its own weights, or loaded by name and compared."""
    values = description["transform"]
    transform = ImageTransform(values["size"], tuple(values["mean"]), tuple(values["std"]))
    if weights:
        with torch.device("meta"):
            backbone = ResNetModel(ResNetConfig(**description["architecture"]))
        encoder = CNNEncoder(backbone, transform)
        encoder.load_state_dict(weights, assign=True)
        return encoder.requires_grad_(False)
    loaded = CNNEncoder.from_config(EncoderConfig(name or description["name"], transform.size))
    encoder = CNNEncoder(loaded.backbone, transform)
    if weights_fingerprint(encoder.state_dict()) != description["fingerprint"]:
        raise CheckpointError(
            f"{path}: trained with other encoder weights than those of {name or description['name']}; "
            "name the right ones with --encoder"
        )
    return encoder
