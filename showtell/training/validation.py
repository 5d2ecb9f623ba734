"""Validation: the loss of the human captions, and the scores of generated captions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from showtell.captioning.captioner import Captioner
from showtell.captioning.generate import generate_captions
from showtell.config import Precision, SearchConfig
from showtell.data.dataset import CaptionBatch, EvalLoader
from showtell.data.tokenizer import detokenize
from showtell.decoder import single_decoder
from showtell.evaluation.validation import describe_captions, score_captions
from showtell.training.cross_entropy import decoder_features, hidden_states, mean_loss
from showtell.training.distributed import (
    MeanLoss,
    all_gather_object,
    broadcast_object,
    interleave_shards,
    world,
)
from showtell.utils.devices import autocast, pick_device

Predicted = tuple[tuple[str, ...], tuple[float, ...]]
"""The words of a predicted caption, and the log-probability of each token."""
_NONE: Final[Predicted] = ((), ())


@dataclass(frozen=True)
class Validation:
    """The result of validation.

    Attributes:
        metrics: `val_loss`, scores and descriptions by name; of several datasets the means, and those of each
            as `name/dataset`.
        captions: the best caption of each image, in the order of the dataset.
    """

    metrics: dict[str, float]
    captions: list[Predicted]


@torch.inference_mode()
def validate(
    captioner: Captioner, loader: EvalLoader, search: SearchConfig, precision: Precision = "auto"
) -> Validation:
    """Validate a model, whose decoder is put in evaluation mode; every rank validates its part.

    Args:
        captioner: the model.
        loader: this rank's part of the validation images.
        search: settings of the search.
        precision: number format of the decoder's matrix products.
    """
    images, device = loader.captions.images, pick_device()
    losses = {dataset: MeanLoss() for dataset in dict.fromkeys(image.dataset for image in images)}
    captions: list[Predicted] = []
    decoder = single_decoder(captioner.decoder).eval()
    for batch in loader:
        batch = batch.to(device)
        of_image = [images[number].dataset for number in batch.number.tolist()]
        of_caption = [of_image[row] for row in batch.image_index.tolist()]
        with autocast(precision):
            features = decoder_features(captioner, batch.images)
            states = hidden_states(decoder, features, batch)
            is_finite = True
            for dataset in dict.fromkeys(of_image):
                chosen = torch.tensor([name == dataset for name in of_caption])
                weights = None if bool(chosen.all()) else chosen.float()
                loss, words = mean_loss(decoder, batch, states, caption_weights=weights)
                losses[dataset].add(loss, words)
                is_finite = is_finite and bool(loss.isfinite())
            # Training has diverged if it is not: there is nothing to search then.
            if is_finite:
                captions += _best_captions(captioner, features, batch, search)
            else:
                captions += [_NONE] * len(of_image)
    captions = interleave_shards(all_gather_object(captions))
    metrics = with_means({dataset: {"val_loss": loss.mean()} for dataset, loss in losses.items()})
    scores = _scores(loader, captions) if world().is_rank_zero else {}
    return Validation(metrics | broadcast_object(scores), captions)


def _best_captions(
    captioner: Captioner, features: Tensor, batch: CaptionBatch, search: SearchConfig
) -> list[Predicted]:
    """The best caption of each image of a batch, in the order of the dataset."""
    hypotheses = generate_captions(captioner.decoder, captioner.vocabulary, features, search)
    best = [hypotheses[row][0] for row in batch.order.argsort().tolist()]
    return [(tuple(captioner.vocabulary.decode(each.tokens)), each.token_log_probs) for each in best]


def _scores(loader: EvalLoader, captions: list[Predicted]) -> dict[str, float]:
    images, texts = loader.captions.images, [detokenize(words) for words, _ in captions]
    scores = {}
    for dataset in dict.fromkeys(image.dataset for image in images):
        of_dataset = [(i, text) for i, text in zip(images, texts, strict=True) if i.dataset == dataset]
        predictions = {image.image_id: text for image, text in of_dataset}
        references = {image.image_id: image.captions for image, _ in of_dataset}
        scores[dataset] = score_captions(predictions, references)
    return with_means(scores) | describe_captions(texts) | {"different": float(len(set(texts)))}


def with_means(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The means of several datasets' values, each under its name, and the values under `name/dataset`.

    Args:
        values: of each dataset, values by name; of a single dataset they are the means.
    """
    names = next(iter(values.values()))
    means = {name: sum(of[name] for of in values.values()) / len(values) for name in names}
    if len(values) == 1:
        return means
    return means | {f"{name}/{dataset}": of[name] for dataset, of in values.items() for name in names}
