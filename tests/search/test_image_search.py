"""`ImageSearch`: what it asks the decoder for. (The captions that it finds: `test_beams.py`.)"""

from __future__ import annotations

import numpy as np

from showtell.config import SearchConfig
from showtell.search import SpecialTokens, StepScores
from showtell.search.image_search import ImageSearch
from showtell.search.likely_words import LikelyWords
from tests.search.models import END, PAD, START, UNK
from tests.search.test_likely_words import Scores

SPECIALS = SpecialTokens(START, END, (PAD, START, UNK))


def scores(*probabilities: dict[int, float], words: int = 4) -> StepScores[None]:
    """Scores of an image's hypotheses, from the probabilities of some tokens; the others have none."""
    log_probs = np.full((1, len(probabilities), 4 + words), -np.inf)
    log_probs[:, :, END] = -99.0
    for column, tokens in enumerate(probabilities):
        log_probs[0, column, list(tokens)] = np.log(list(tokens.values()))
    return Scores(log_probs)


def test_hypotheses_that_are_missing_are_filled_up() -> None:
    image = ImageSearch(SPECIALS, SearchConfig(beam_size=3, block_ngram=0))
    assert (image.tokens, image.parents) == ([START], [0])
    image.extend(LikelyWords(scores({4: 0.5, 5: 0.25}), 9), 0, None)
    assert (image.tokens, image.parents) == ([4, 5, END], [0, 0, 0])
    # 0.25 x 0.9 is more than 0.5 x 0.4; what the third hypothesis answers does not matter: it is none.
    image.extend(LikelyWords(scores({6: 0.4}, {7: 0.9}, {4: 0.9}), 9), 0, None)
    assert (image.tokens, image.parents) == ([7, 6, END], [1, 0, 0])
    assert image.is_open


def test_an_image_is_done_when_no_hypothesis_can_beat_its_captions() -> None:
    image = ImageSearch(SPECIALS, SearchConfig(beam_size=2, length_penalty=0.0))
    image.extend(LikelyWords(scores({4: 0.6, 5: 0.4}), 9), 0, None)
    image.extend(LikelyWords(scores({END: 0.5, 6: 0.5}, {END: 0.3, 6: 0.7}), 9), 0, None)
    assert not image.is_open  # 0.6 x 0.5 has ended; 0.6 x 0.5 and 0.4 x 0.7 cannot be more
    (caption,) = image.captions()
    assert caption.tokens == (4,)
    np.testing.assert_allclose(np.exp(caption.token_log_probs), (0.6, 0.5), rtol=1e-5)


def test_diverse_beams_lie_beside_each_other() -> None:
    config = SearchConfig(beam_size=2, num_captions=2, diversity=2.0)
    image = ImageSearch(SPECIALS, config)
    assert (image.tokens, image.parents) == ([START, START], [0, 0])
    first = {4: 0.4, 5: 0.3, 6: 0.2, 7: 0.1}
    image.extend(LikelyWords(scores(first, first), 9), 0, None)
    assert (image.tokens, image.parents) == ([4, 5, 6, 7], [0, 0, 1, 1])
    image.extend(LikelyWords(scores({4: 0.9}, {4: 0.1}, {4: 0.9, 5: 0.1}, {4: 0.8, 6: 0.2}), 9), 0, None)
    # The first beam takes 4 twice: the second beam's 4 loses 2 x 2, and its 0.2 x 0.1 of 5 is the best left.
    assert (image.tokens, image.parents) == ([4, 4, 5, 6], [0, 1, 2, 3])


def test_an_end_and_penalised_words_hide_no_better_word() -> None:
    image = ImageSearch(
        SPECIALS, SearchConfig(beam_size=1, num_captions=2, min_length=0, diversity=10.0, length_penalty=0.0)
    )
    likely = {4: 0.5, END: 0.3, 5: 0.2}
    image.extend(LikelyWords(scores(likely, likely), 9), 0, None)
    assert image.tokens == [4, 5]


def test_attention_is_that_of_the_parent() -> None:
    image = ImageSearch(SPECIALS, SearchConfig(beam_size=1))
    weights = np.arange(6, dtype=np.float32).reshape(3, 2)  # of three images with a hypothesis each
    one_word = Scores(np.tile(scores({4: 1.0}).log_probs(), (3, 1, 1)))
    image.extend(LikelyWords(one_word, 9), 1, weights)
    end = Scores(np.tile(scores({END: 1.0}).log_probs(), (3, 1, 1)))
    image.extend(LikelyWords(end, 9), 1, weights + 9)
    (caption,) = image.captions()
    assert caption.attention.tolist() == [[2.0, 3.0]]  # type: ignore[union-attr]
