"""The interface between search and decoders: steps, scores, hypotheses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

NEG_INF = float("-inf")

LOGITS_NOT_FINITE = (
    "the decoder's logits are not finite: its weights are damaged or its training diverged; load an earlier"
    " checkpoint, or train with a lower training.learning_rate"
)
"""The error message for such logits."""


class State(Protocol):
    """The recurrent state of a decoder between steps, of B images with K hypotheses each."""

    @property
    def images(self) -> int:
        """Number of images, B."""

    def select_images(self, rows: IntArray) -> Self:
        """Keep the images `rows` (B',)."""

    def select_hypotheses(self, parents: IntArray) -> Self:
        """Give each image the hypotheses `parents` (B, K') of its present ones."""


S = TypeVar("S", bound=State)


class TopWords(NamedTuple):
    """The most likely next words of each hypothesis.

    Attributes:
        log_probs: (B, K, C), best first.
        tokens: (B, K, C), their ids.
    """

    log_probs: FloatArray
    tokens: IntArray


class StepScores(ABC, Generic[S]):
    """The output of a decoder step: scores of each next token.

    Attributes:
        state: after the step.
    """

    state: S

    @abstractmethod
    def top(self, count: int) -> TopWords:
        """The `count` most likely words (all, if there are fewer), special tokens among them."""

    @abstractmethod
    def end(self) -> FloatArray:
        """Log-probability (B, K) that the caption ends."""

    @abstractmethod
    def log_probs(self) -> FloatArray:
        """Log-probability (B, K, V) of every word; the array is the caller's own."""

    @abstractmethod
    def attention(self) -> FloatArray | None:
        """(B, K, R) attention weights, which sum to 1; None for decoders without attention."""


Step = Callable[[IntArray, S], StepScores[S]]
"""(last tokens (B, K), state) -> scores of the next tokens. Raises ModelError if they are not finite."""


@dataclass(frozen=True)
class SpecialTokens:
    """The ids that search treats apart; `banned` are never generated."""

    bos: int
    eos: int
    banned: tuple[int, ...]


@dataclass(frozen=True)
class Hypothesis:
    """A caption that a search returns.

    Attributes:
        tokens: word ids, without start and end.
        token_log_probs: of each word, and of the end (natural logarithm).
        score: what hypotheses are ranked by.
        attention: (T, R) attention weights for each word, or None; not compared.
    """

    tokens: tuple[int, ...]
    token_log_probs: tuple[float, ...]
    score: float
    attention: FloatArray | None = field(default=None, compare=False)

    @property
    def log_probability(self) -> float:
        """Natural logarithm of the probability of the caption."""
        return sum(self.token_log_probs)
