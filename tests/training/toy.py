"""A captioning task that is learned in a second: features that show the noun and the verb of each caption."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, DecoderKind, SearchConfig, SelfCriticalConfig, TrainingConfig
from showtell.data.dataset import CaptionDataset
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import build_vocab
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.training.fit import TrainingResult, fit

NOUNS = ["dog", "cat", "ball", "boy"]
VERBS = ["runs", "sits", "jumps", "sleeps"]
IMAGES = [
    CaptionedImage(
        Path(f"{i}.jpg"),
        (f"a {NOUNS[i % 4]} {VERBS[i // 4 % 4]}", f"the {NOUNS[i % 4]} {VERBS[i // 4 % 4]} here"),
        "train" if i < 32 else "val",
        str(i),
    )
    for i in range(40)
]
PER_EPOCH = len(IMAGES)
"""Images that an epoch of training and its validation load."""
VOCABULARY = build_vocab([c for image in IMAGES for c in image.captions], 1)
CONFIG = TrainingConfig(epochs=3, batch_size=8, learning_rate=5e-3, patience=0, precision="fp32")
CRITICAL = SelfCriticalConfig(epochs=6, learning_rate=5e-3, max_length=6, samples=10)


class Features:
    """Features that show the noun and the verb; `fail_at` is the image at which loading dies."""

    def __init__(self, cells: int, dim: int, fail_at: int | None = None) -> None:
        self.cells, self.dim, self.fail_at, self.calls = cells, dim, fail_at, 0

    def __call__(self, image: CaptionedImage, draw: int | None) -> Tensor:
        self.calls += 1
        if self.calls == self.fail_at:
            raise RuntimeError("killed")
        number = int(image.image_id)
        noise = torch.Generator().manual_seed(number if draw is None else draw)
        features = 0.1 * torch.randn(self.cells, self.dim, generator=noise)
        features[0, number % 4] += 2
        features[1, 4 + number // 4 % 4] += 2
        return features


def train(
    encoder: CNNEncoder,
    folder: Path,
    fail_at: int | None = None,
    *,
    source: type[Features] = Features,
    images: Sequence[CaptionedImage] = IMAGES,
    config: TrainingConfig = CONFIG,
    **options: Any,
) -> TrainingResult:
    """Train a small decoder on the task; the options are those of `fit`."""
    torch.manual_seed(0)
    decoder = make_decoder(
        DecoderConfig(embedding_dim=16, hidden_dim=16, attention_dim=16, dropout=0.3),
        vocab_size=len(VOCABULARY),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    load = source(encoder.grid_cells, encoder.feature_dim, fail_at)
    sets = [CaptionDataset([i for i in images if i.split == s], VOCABULARY, load) for s in ("train", "val")]
    captioner = Captioner(encoder, decoder, VOCABULARY, "tiny")
    return fit(captioner, *sets, config, SearchConfig(), folder, **options)


def losses(result: TrainingResult) -> list[tuple[float, float]]:
    """Training and validation loss of each epoch."""
    return [(row["train_loss"], row["val_loss"]) for row in result.epochs]


def rows(result: TrainingResult, names: Iterable[str]) -> list[dict[str, float | None]]:
    """These values of each epoch."""
    return [{name: row.get(name) for name in names} for row in result.epochs]


# Fine-tuning: the same images, where people write "puppy" instead of "dog"

NEW = [
    replace(image, captions=tuple(text.replace("dog", "puppy") for text in image.captions))
    for image in IMAGES
]
WORDS = build_vocab([c for image in NEW for c in image.captions], 1).words


def initial_model(encoder: CNNEncoder, kind: DecoderKind = "topdown") -> Captioner:
    """A model of the words of the first images that has not learned anything."""
    torch.manual_seed(1)
    decoder = make_decoder(
        DecoderConfig(kind=kind, embedding_dim=16, hidden_dim=16, attention_dim=16, dropout=0.1),
        vocab_size=len(VOCABULARY),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    with torch.no_grad():
        decoder.word_bias.normal_()
    return Captioner(encoder, decoder, VOCABULARY, "tiny")


def datasets(
    captioner: Captioner, images: list[CaptionedImage], fail_at: int | None = None
) -> list[CaptionDataset]:
    """The training and the validation images, with the words of a model."""
    load = Features(captioner.encoder.grid_cells, captioner.encoder.feature_dim, fail_at)
    return [
        CaptionDataset([i for i in images if i.split == split], captioner.vocabulary, load)
        for split in ("train", "val")
    ]
