"""The initial model of training: choosing and loading it, and the settings that it determines."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, EncoderConfig, FineTuningConfig, Precision, RunConfig
from showtell.data.prepare import PreparedData
from showtell.data.tokenizer import tokenize
from showtell.decoder import RNNDecoder, single_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import UsageError
from showtell.training.finetuning import Retention
from showtell.utils.devices import pick_device
from showtell.utils.shipped import DEFAULT_MODEL, find_model

log = logging.getLogger(__name__)

AUTO: Final = "auto"
NONE: Final = "none"
AUTO_FROM_SCRATCH_IMAGES: Final = 3_000
"""With at least this many training images, `auto` trains from scratch."""
_MIN_KNOWN_SHARE: Final = 0.5
"""Minimum share of the captions' words in a model's vocabulary for `auto` to start from it."""


@dataclass(frozen=True)
class Initial:
    """The initial model of training.

    Attributes:
        name: as `--init` takes it.
        captioner: the model; not changed.
    """

    name: str
    captioner: Captioner

    @classmethod
    def load(cls, name: str, precision: Precision) -> Initial:
        """Load the model.

        Args:
            name: as `--init` takes it.
            precision: number format of its encoder.

        Raises:
            CheckpointError: it cannot be loaded.
        """
        initial = cls(name, Captioner.load(name))
        initial.captioner.encoder.precision = precision
        return initial

    @property
    def decoder(self) -> RNNDecoder:
        """Its decoder."""
        return single_decoder(self.captioner.decoder)

    def retention(self, config: FineTuningConfig) -> Retention:
        """The parts of the initial model that training keeps."""
        teacher = self.decoder.eval().requires_grad_(False)
        return Retention(teacher, config.distillation, config.mixing)

    def run_config(self, config: RunConfig) -> RunConfig:
        """The settings of a run that starts from it: encoder and decoder are those of the model."""
        model = self.captioner
        encoder = replace(config.encoder, weights=model.encoder_name, image_size=model.encoder.transform.size)
        dropout = config.decoder.dropout
        own, training = self.decoder.config, config.training
        return replace(
            config,
            init=self.name,
            encoder=encoder,
            decoder=own if dropout == DecoderConfig().dropout else replace(own, dropout=dropout),
            training=config.finetune.applied_to(training) if training.epochs else training,
        )


def encoder_of(config: EncoderConfig, initial: Initial | None) -> CNNEncoder:
    """The encoder of a run: that of its initial model, or without one that of the settings."""
    return CNNEncoder.from_config(config).to(pick_device()) if initial is None else initial.captioner.encoder


def load_initial(config: RunConfig, data: PreparedData) -> Initial | None:
    """Load the initial model of a run; None to train from scratch.

    Raises:
        CheckpointError: it cannot be loaded.
        UsageError: a setting contradicts it.
    """
    if config.init == NONE or (config.init == AUTO and not _few_photos(config, data)):
        return None
    name = DEFAULT_MODEL if config.init == AUTO else config.init
    initial = Initial.load(name, config.encoder.precision)
    contradicts = _contradiction(config, initial)
    if config.init == AUTO and contradicts:
        log.info("Training from scratch: %s; leave it out to start from that model", contradicts)
        return None
    if config.init == AUTO and (share := _known_share(data, initial)) < _MIN_KNOWN_SHARE:
        log.info(
            "Training from scratch: %s knows %.0f %% of the words of these captions (--init %s starts from it"
            " all the same)",
            name,
            100 * share,
            name,
        )
        return None
    if contradicts:
        raise UsageError(f"--init {name}: {contradicts}; leave it out, or train from scratch (--init none)")
    if config.init == AUTO:
        log.info(
            "Fewer than %s training photos: starting from the included model, %s"
            " (--init none trains from scratch)",
            f"{AUTO_FROM_SCRATCH_IMAGES:,}",
            name,
        )
    return initial


def _few_photos(config: RunConfig, data: PreparedData) -> bool:
    """Whether `auto` starts from the included model, which has to be there."""
    drawn = config.data.root is None or config.data.format == "scenes"
    return not drawn and len(data.train) < AUTO_FROM_SCRATCH_IMAGES and find_model(DEFAULT_MODEL) is not None


def _known_share(data: PreparedData, initial: Initial) -> float:
    """Share of the words of the training captions that a model knows."""
    words = Counter(word for image in data.train for caption in image.captions for word in tokenize(caption))
    known = sum(count for word, count in words.items() if word in initial.captioner.vocabulary)
    return known / max(words.total(), 1)


def _contradiction(config: RunConfig, initial: Initial) -> str | None:
    """A message on a given setting that contradicts the model, or None."""
    model = initial.captioner
    usual, own = DecoderConfig(), initial.decoder.config
    decided: list[tuple[str, Any, Any, Any]] = [
        (f"decoder.{name}", getattr(config.decoder, name), getattr(usual, name), getattr(own, name))
        for name in (field.name for field in fields(DecoderConfig))
        if name != "dropout"
    ]
    size = config.encoder.image_size, EncoderConfig().image_size, model.encoder.transform.size
    decided.append(("encoder.image_size", *size))
    weights = config.encoder.weights, EncoderConfig().weights, model.encoder_name
    decided.append(("encoder.weights", *weights))
    for name, given, default, models in decided:
        if given not in (default, models):
            return f"{name} is {given}, that of {initial.name} is {models}"
    return None
