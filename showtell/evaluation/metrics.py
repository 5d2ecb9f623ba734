"""Scores of captions against references, without Java.

The words are those of our tokenizer, which agrees with the PTB tokenizer of the COCO evaluation; the scores
are those of `pycocoevalcap` (Chen et al. 2015, arXiv:1504.00325).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider

from showtell.data.text import tokenize
from showtell.errors import DataError


def score_captions(
    predictions: Mapping[str, str], references: Mapping[str, Sequence[str]]
) -> dict[str, float]:
    """Corpus scores: BLEU-1 to BLEU-4 (Papineni et al. 2002) and CIDEr (Vedantam et al. 2015).

    Args:
        predictions: a caption for each image id.
        references: the captions of people for each image id; may hold more images.

    Returns:
        `BLEU-1` .. `BLEU-4` in 0..1, and `CIDEr` in 0..10.

    Raises:
        DataError: nothing to score, or an image without references.
    """
    if not predictions:
        raise DataError("no captions to score; give at least one")
    unknown = predictions.keys() - references.keys()
    if unknown:
        raise DataError(f"image {min(unknown)}: captioned, but it has no reference captions")
    said = {image: [" ".join(tokenize(caption))] for image, caption in predictions.items()}
    wanted = {image: [" ".join(tokenize(caption)) for caption in references[image]] for image in predictions}
    bleu, _ = Bleu(4).compute_score(wanted, said, verbose=0)
    cider, _ = Cider().compute_score(wanted, said)
    return {f"BLEU-{n}": float(score) for n, score in enumerate(bleu, 1)} | {"CIDEr": float(cider)}
