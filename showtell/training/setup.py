"""From settings to the parts that training takes: shared by the commands that train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from showtell.captioner import Captioner
from showtell.config import RunConfig
from showtell.data.dataset import CaptionDataset, LoadImage
from showtell.data.records import CaptionedImage
from showtell.data.sources import OnlineImages
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import make_decoder
from showtell.encoder import CNNEncoder
from showtell.feature_extraction import extract_features, feature_encoder
from showtell.features import CachedFeatures, FeatureStore


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
    """What gives the images' tensors (features are extracted first), and the images that can be shown."""
    if config.features == "online":
        return OnlineImages(encoder.transform), list(images)
    store = FeatureStore(Path(config.cache.dir), feature_encoder(config.cache, encoder), config.cache.dtype)
    shown = extract_features(store, images, config.cache.views, skip_bad=config.data.skip_bad)
    return CachedFeatures(store, config.cache.views), shown


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
