"""CIDEr-D of captions given as numbers of words: thousands per second, against references prepared once.

CIDEr-D is the variant of CIDEr (Vedantam et al. 2015, arXiv:1411.5726, sections 3 and 6) that clips counts
and punishes a wrong length. It is what papers report as "CIDEr", and what `pycocoevalcap.cider` computes
under that name; the scores here are the same.

"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from showtell.data.ranges import concatenate_ranges
from showtell.errors import DataError
from showtell.evaluation.ngrams import Counts, Floats, Ints, Ngrams, pack, unpack

ORDERS = 4
"""n-grams of 1 to 4 words count, all orders alike."""
SIGMA = 6.0
"""Standard deviation of the Gaussian length penalty, in words."""

_LAST = np.iinfo(np.int64).max  # ends every sorted table, so that the index of any key lies inside


class CiderD:
    """CIDEr-D against the references of a set of images, whose TF-IDF vectors are prepared once.

    Document frequencies come from these references: the number of images that have the n-gram in any of
    their captions. An n-gram in none of them counts in a caption's norm as one of a single image does.

    The reward of self-critical training counts the end token as a word, or captions learn to stop after
    "a" or "with" (Rennie et al. 2017, arXiv:1612.00563): append its number to every reference, and leave it
    in the candidates, within their lengths. A candidate cut off before its end then lacks it. To this class
    it is a word as any other. Words that the model cannot say need numbers of their own in the references:
    were they all `<unk>`, saying `<unk>` would be rewarded.

    Of a single image all scores are 0, as every n-gram is in all images. All is plain NumPy: instances can be
    pickled, and hold about 1.2 kB a reference.

    Args:
        references: for each image its captions (one or more; numbers may differ), each a sequence of word
            numbers, which may be any integers. To a caption without words nothing is similar.
        plain: CIDEr as first defined (section 3), which neither clips counts nor punishes a wrong length.

    Raises:
        DataError: there are no images, or one has no references.
    """

    def __init__(self, references: Sequence[Sequence[Sequence[int]]], *, plain: bool = False) -> None:
        self._plain = plain
        if not len(references):
            raise DataError("CIDEr-D: no references; give those of at least one image")
        self._captions = np.array([len(captions) for captions in references])  # (images,)
        if not self._captions.all():
            raise DataError(f"CIDEr-D: image {self._captions.argmin()} has no references; give at least one")
        captions = list(chain.from_iterable(references))
        self._lengths = np.array([len(caption) for caption in captions])  # (references,)
        words = np.fromiter(chain.from_iterable(captions), np.int64, self._lengths.sum())
        image = np.repeat(np.arange(len(references)), self._captions)
        self._orders: list[_Order] = []
        ngrams = Ngrams(words, self._lengths)
        for _ in range(ORDERS):
            keys, numbers = np.unique(ngrams.keys, return_inverse=True)
            self._orders.append(_Order.build(keys, ngrams.count(numbers), image))
            ngrams.lengthen(numbers)

    def score(self, images: ArrayLike, candidates: ArrayLike, lengths: ArrayLike) -> Floats:
        """Score each candidate against the references of its image.

        Args:
            images: (N,) indices of the images in `references`; may repeat, in any order.
            candidates: (N, T) integers, the words of the captions, padded with anything.
            lengths: (N,) numbers of words of each, 0..T.

        Returns:
            (N,) scores in 0..10; their mean is the score of a corpus.

        Raises:
            DataError: shapes that do not fit together, an unknown image, or a length that is not in 0..T.
        """
        image, padded, length = (np.asarray(a, np.int64) for a in (images, candidates, lengths))
        self._check(image, padded, length)
        ngrams = Ngrams(padded[np.arange(padded.shape[1]) < length[:, None]], length)
        total = np.zeros(len(image))
        for order in self._orders:
            numbers = order.number(ngrams.keys)
            counts = ngrams.count(numbers)
            total += order.similarity(counts, image, length, self._lengths, plain=self._plain)
            ngrams.lengthen(numbers)
        return total * 10 / (ORDERS * self._captions[image])

    def _check(self, images: Ints, candidates: Ints, lengths: Ints) -> None:
        n = len(candidates) if candidates.ndim == 2 else -1
        if images.shape != (n,) or lengths.shape != (n,):
            raise DataError(
                f"CIDEr-D: images {images.shape}, candidates {candidates.shape} and lengths {lengths.shape}"
                " do not fit together; give (N,), (N, T) and (N,)"
            )
        if n and not 0 <= images.min() <= images.max() < len(self._captions):
            raise DataError(f"CIDEr-D: give images in 0..{len(self._captions) - 1}, those with references")
        if n and not 0 <= lengths.min() <= lengths.max() <= candidates.shape[1]:
            raise DataError(f"CIDEr-D: give lengths in 0..{candidates.shape[1]}, the width of the candidates")


def cider_d(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Floats:
    """CIDEr-D of one caption per image, with document frequencies of these references, as an evaluation does.

    Args:
        candidates: for each of N images a caption, as words (strings, or any hashable).
        references: for each of these images its captions, as words.

    Returns:
        (N,) scores in 0..10; their mean is the score of the corpus.

    Raises:
        DataError: there are no images, one has no references, or there are not as many candidates.
    """
    return _score(candidates, references, plain=False)


def cider(
    candidates: Sequence[Sequence[Hashable]], references: Sequence[Sequence[Sequence[Hashable]]]
) -> Floats:
    """CIDEr of one caption per image as first defined (arXiv:1411.5726, section 3); papers report CIDEr-D.

    Takes, returns and raises what `cider_d` does.
    """
    return _score(candidates, references, plain=True)


def _score(
    candidates: Sequence[Sequence[Hashable]],
    references: Sequence[Sequence[Sequence[Hashable]]],
    *,
    plain: bool,
) -> Floats:
    if len(candidates) != len(references):
        raise DataError(f"CIDEr-D: {len(candidates)} candidates for {len(references)} images; give one each")
    numbers: defaultdict[Hashable, int] = defaultdict(count().__next__)
    numbered = [[[numbers[word] for word in words] for words in captions] for captions in references]
    scorer = CiderD(numbered, plain=plain)
    lengths = np.array([len(words) for words in candidates], np.int64)
    padded = np.zeros((len(candidates), lengths.max(initial=0)), np.int64)
    words_in_order = chain.from_iterable(candidates)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = [numbers[word] for word in words_in_order]
    return scorer.score(np.arange(len(candidates)), padded, lengths)


@dataclass(frozen=True, slots=True)
class _Order:
    """The n-grams of one order in the references.

    Attributes:
        keys: (U + 1,) the keys of the n-grams, sorted.
        idf: (U + 1,) log(images / images with the n-gram); at the end that of all others, log(images).
        pairs: (P + 1,) image and n-gram, packed and sorted.
        first: (P + 1,) where in the next two arrays the captions of the image with the n-gram begin.
        caption: (E,) the references.
        weight: (E,) TF-IDF of the n-gram in the reference.
        scale: (references,) 1 / norm of the references' vectors.
    """

    keys: Ints
    idf: Floats
    pairs: Ints
    first: Ints
    caption: NDArray[np.int32]
    weight: Floats
    scale: Floats

    @classmethod
    def build(cls, keys: Ints, counts: Counts, image: Ints) -> _Order:
        """Prepare the references; `image` (references,) is the image of each, in rising order."""
        pairs = pack(image[counts.caption], counts.ngram)
        by_image = np.argsort(pairs, kind="stable")
        pairs, first = np.unique(pairs[by_image], return_index=True)
        frequency = np.bincount(unpack(pairs)[1], minlength=len(keys))
        images = np.log(float(image[-1] + 1))
        idf = np.append(images - np.log(frequency), images)
        weight = counts.times * idf[counts.ngram]
        return cls(
            keys=np.append(keys, _LAST),
            idf=idf,
            pairs=np.append(pairs, _LAST),
            first=np.append(first, len(by_image)),
            caption=counts.caption[by_image].astype(np.int32),
            weight=weight[by_image],
            scale=_inverse_norms(counts.caption, weight, len(image)),
        )

    def number(self, keys: Ints) -> Ints:
        """Number n-grams (G,): those in references by their index, others alike if they are alike."""
        keys, inverse = np.unique(keys, return_inverse=True)  # a search for sorted keys is faster
        numbers = np.searchsorted(self.keys, keys)
        new = self.keys[numbers] != keys
        numbers[new] = len(self.keys) + np.arange(new.sum())
        return numbers[inverse]

    def similarity(
        self, counts: Counts, images: Ints, lengths: Ints, reference_lengths: Ints, *, plain: bool
    ) -> Floats:
        """Clipped cosine of candidates and references, times the length penalty, summed over the references.

        Args:
            counts: the n-grams of the candidates, as numbered by `number`.
            images: (N,) image of each candidate.
            lengths: (N,) words in each candidate.
            reference_lengths: (references,) words in each reference.
            plain: the cosine itself, without clipping and penalty.

        Returns:
            (N,) sums.
        """
        weight = counts.times * self.idf[np.minimum(counts.ngram, len(self.idf) - 1)]
        scale = _inverse_norms(counts.caption, weight, len(images))
        pairs = pack(images[counts.caption], counts.ngram)
        index = np.searchsorted(self.pairs, pairs)
        shared = np.flatnonzero(self.pairs[index] == pairs)
        begin, end = self.first[index[shared]], self.first[index[shared] + 1]
        gram, entry = np.repeat(shared, end - begin), concatenate_ranges(begin, end)
        candidate, reference = counts.caption[gram], self.caption[entry]
        clipped = weight[gram] if plain else np.minimum(weight[gram], self.weight[entry])
        cosine = clipped * self.weight[entry] * scale[candidate] * self.scale[reference]
        if plain:
            return _sum_by(candidate, cosine, len(images))
        delta = lengths[candidate] - reference_lengths[reference]
        penalty = np.exp(-(delta**2) / (2 * SIGMA**2))
        return _sum_by(candidate, cosine * penalty, len(images))


def _inverse_norms(captions: Ints, weights: Floats, count: int) -> Floats:
    """1 / norm of each caption's vector `(count,)`; 0 if the vector is zero."""
    norms = np.sqrt(_sum_by(captions, weights**2, count))
    return np.divide(1, norms, out=np.zeros(count), where=norms > 0)


def _sum_by(captions: Ints, values: Floats, count: int) -> Floats:
    """Sums `(count,)` of the values of each caption."""
    return np.asarray(np.bincount(captions, values, count), np.float64)
