"""What settings of the search give on a validation split: one caption a photo, and five.

    python benchmarks/search_settings.py [--model everyday] [--data ../shared/data/flickr8k]

Photos are encoded once. Of one caption: CIDEr, BLEU-4, words and captions a second. Of five: CIDEr of the
first, of the mean caption and of the best of the five by its own references (an oracle), and how much they
differ: the share of different captions, and distinct-2, the share of pairs of words that are different ones
(Li et al. 2016, arXiv:1510.03055). Scores are CIDEr-D with our tokenizer. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from showtell.captioning.caption import Caption
from showtell.captioning.captioner import Captioner
from showtell.config import SearchConfig
from showtell.data.annotations import load_annotations
from showtell.data.decode_ahead import batched, decode_ahead
from showtell.data.records import CaptionedImage
from showtell.data.splits import by_split
from showtell.data.tokenizer import tokenize
from showtell.evaluation.cider import cider_d
from showtell.evaluation.validation import score_captions
from showtell.utils.shipped import DEFAULT_MODEL

BATCH = 64
ONE = [
    SearchConfig(beam_size=beams, length_penalty=penalty, block_ngram=block)
    for beams, penalty, block in [
        *((1, 0.6, 3), (2, 0.6, 3), (3, 0.6, 3), (4, 0.6, 3), (5, 0.6, 3), (8, 0.6, 3)),
        *((3, 0.0, 3), (3, 0.3, 3), (3, 0.8, 3), (3, 1.0, 3), (3, 0.6, 0), (3, 0.6, 2)),
    ]
]
FIVE = {
    "beam search": SearchConfig(beam_size=5, num_captions=5),
    "diverse beams, 0.2": SearchConfig(beam_size=3, num_captions=5, diversity=0.2),
    "diverse beams, 0.5": SearchConfig(beam_size=3, num_captions=5, diversity=0.5),
    "diverse beams, 1": SearchConfig(beam_size=3, num_captions=5, diversity=1.0),
    "nucleus 0.9": SearchConfig(sample=True, top_p=0.9, num_captions=5),
    "nucleus 0.9, temperature 0.7": SearchConfig(sample=True, top_p=0.9, temperature=0.7, num_captions=5),
    "nucleus 0.9, best of 20": SearchConfig(sample=True, top_p=0.9, num_captions=5, draws=20),
}


def encode(captioner: Captioner, images: list[CaptionedImage]) -> Tensor:
    """Features (N, R, D) of the images."""
    decoded = decode_ahead([image.path for image in images], captioner.transform.pixels)
    parts = []
    for batch in batched(decoded, BATCH):
        with torch.inference_mode():
            parts.append(captioner.encoder.encode_pixels([d.pixels for d in batch if d.pixels is not None]))
    return torch.cat(parts)


def find(captioner: Captioner, features: Tensor, config: SearchConfig) -> list[tuple[Caption, ...]]:
    """Captions of all images."""
    return [
        captions for part in features.split(BATCH) for captions in captioner.caption_features(part, config)
    ]


def one(captioner: Captioner, features: Tensor, images: list[CaptionedImage]) -> None:
    """The table of one caption a photo."""
    references = {image.image_id: image.captions for image in images}
    print("| beams | length penalty | n-gram blocked | CIDEr | BLEU-4 | words | captions/s |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for config in ONE:
        start = time.perf_counter()
        found = find(captioner, features, config)
        rate = len(found) / (time.perf_counter() - start)
        candidates = {image.image_id: captions[0].text for image, captions in zip(images, found, strict=True)}
        scores = score_captions(candidates, references)
        words = np.mean([len(captions[0].words) for captions in found])
        print(
            f"| {config.beam_size} | {config.length_penalty} | {config.block_ngram or 'none'} "
            f"| {scores['CIDEr']:.3f} | {scores['BLEU-4']:.3f} | {words:.1f} | {rate:.0f} |",
            flush=True,
        )


def five(captioner: Captioner, features: Tensor, images: list[CaptionedImage]) -> None:
    """The table of five captions a photo."""
    references = [[tokenize(caption) for caption in image.captions] for image in images]
    print("\n| five captions | CIDEr, first | mean | best of five | different | distinct-2 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, config in FIVE.items():
        found = [[c.words for c in captions] for captions in find(captioner, features, config)]
        scores = np.stack([cider_d([captions[k] for captions in found], references) for k in range(5)])
        different = np.mean([len(set(captions)) / 5 for captions in found])
        pairs = [[pair for words in captions for pair in pairwise(words)] for captions in found]
        distinct = np.mean([len(set(some)) / max(len(some), 1) for some in pairs])
        print(
            f"| {name} | {scores[0].mean():.3f} | {scores.mean():.3f} | {scores.max(axis=0).mean():.3f} "
            f"| {100 * different:.0f} % | {distinct:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, help="a run, or a folder in models/")
    parser.add_argument("--data", default="../shared/data/flickr8k", type=Path, help="the dataset's folder")
    args = parser.parse_args()
    images = by_split(load_annotations(args.data).images, "val")
    captioner = Captioner.load(args.model)
    features = encode(captioner, images)
    print(f"{args.model}, {len(images)} validation images of {args.data.name}\n")
    one(captioner, features, images)
    five(captioner, features, images)


if __name__ == "__main__":
    main()
