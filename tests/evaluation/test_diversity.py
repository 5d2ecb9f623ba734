from __future__ import annotations

import pytest
from pycocoevalcap.bleu.bleu import Bleu

from showtell.errors import DataError
from showtell.evaluation.diversity import distinct_n, self_bleu

CAPTIONS = [
    c.split() for c in ("a dog runs on the grass", "a dog runs on sand", "two brown dogs play outside")
]


def test_distinct_n_counts_each_once() -> None:
    assert distinct_n([["a", "dog"], ["a", "cat"]], 1) == 3 / 4
    assert distinct_n([["a", "dog"], ["a", "dog"]], 2) == 1 / 4
    assert distinct_n([[]], 1) == 0


def test_self_bleu_is_the_bleu_of_each_against_the_others() -> None:
    expected = []
    for place, words in enumerate(CAPTIONS):
        others = [" ".join(other) for n, other in enumerate(CAPTIONS) if n != place]
        scores, _ = Bleu(4).compute_score({0: others}, {0: [" ".join(words)]}, verbose=0)
        expected.append(scores[3])
    assert self_bleu(CAPTIONS) == pytest.approx(sum(expected) / 3, abs=1e-9)
    assert self_bleu([CAPTIONS[0]] * 3) == pytest.approx(1)
    with pytest.raises(DataError, match="two or more"):
        self_bleu(CAPTIONS[:1])
