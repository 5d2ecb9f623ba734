"""From settings to the parts that training takes: shared by the commands that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from showtell.captioning.captioner import Captioner
from showtell.config import RunConfig
from showtell.data.dataset import CaptionDataset, LoadImage
from showtell.data.online_images import OnlineImages, undecodable
from showtell.data.records import CaptionedImage
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.features.extraction import (
    compute_table,
    extract_features,
    feature_encoder,
    table_bytes,
    views_of,
    without_failed,
)
from showtell.features.store import CachedFeatures, FeatureStore
from showtell.training.distributed import world

_SHARE_OF_GPU: Final = 0.6
"""Of a GPU's free memory, what features may take if they are kept there by default."""


def new_captioner(config: RunConfig, encoder: CNNEncoder, vocabulary: Vocabulary) -> Captioner:
    """A captioner whose decoder is yet to be trained; its weights come of torch's global seed."""
    decoder = make_decoder(
        config.decoder,
        vocab_size=len(vocabulary),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    return Captioner(encoder, decoder, vocabulary, config.encoder.weights)


def image_source(
    config: RunConfig, encoder: CNNEncoder, images: Sequence[CaptionedImage]
) -> tuple[LoadImage, list[CaptionedImage]]:
    """The source of the images' tensors (features are extracted first), and the decodable images."""
    if config.features == "online":
        failed = undecodable(images, encoder.transform) if config.data.skip_bad else []
        return OnlineImages(encoder.transform), without_failed(images, failed)
    producer = feature_encoder(config.cache, encoder)
    views, skip_bad = config.cache.views, config.data.skip_bad
    if config.features == "memory" or (config.features == "auto" and _fits(encoder, images, config)):
        return compute_table(producer, images, views, skip_bad=skip_bad)
    store = FeatureStore(Path(config.cache.dir), producer, config.cache.dtype)
    return CachedFeatures(store, views), extract_features(store, images, views, skip_bad=skip_bad)


def _fits(encoder: CNNEncoder, images: Sequence[CaptionedImage], config: RunConfig) -> bool:
    """Whether the features are to stay in the memory of a GPU: one process trains, and it is large enough."""
    if encoder.device.type != "cuda" or config.cache.exported or world().world_size > 1:
        return False
    free, _ = torch.cuda.mem_get_info(encoder.device)
    return table_bytes(encoder, len(views_of(images, config.cache.views))) <= free * _SHARE_OF_GPU


def caption_sets(
    config: RunConfig, images: Sequence[CaptionedImage], vocabulary: Vocabulary, load: LoadImage
) -> tuple[CaptionDataset, CaptionDataset]:
    """The training images, with captions cut to the greatest length, and the validation images."""
    train, val = ([image for image in images if image.split == split] for split in ("train", "val"))
    return (
        CaptionDataset(
            train,
            vocabulary,
            load,
            config.data.max_caption_length,
            model_captions=config.data.model_captions,
        ),
        CaptionDataset(val, vocabulary, load),
    )
