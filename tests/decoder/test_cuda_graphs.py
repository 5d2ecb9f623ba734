"""Recorded searches: which batch sizes are recorded, and which recordings go. The graphs need a GPU:
tests/test_on_each_device.py runs them there; here a recording is a plain call."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from showtell.config import SearchConfig
from showtell.decoder import cuda_graphs
from showtell.decoder.cuda_graphs import CudaGraphSearch, _next_size
from showtell.decoder.tensor_search import TensorBeamSearch
from showtell.search import Hypothesis, SpecialTokens
from tests.decoder.tiny import CELLS, END, FEATURES, PAD, START, UNK, tiny

SPECIALS = SpecialTokens(START, END, (PAD, START, UNK))
CONFIG = SearchConfig(max_length=5)


class Recording:
    """A stand-in of `CudaGraphFunction`, which counts how often it is made and called."""

    made: ClassVar[list[int]] = []
    calls: ClassVar[list[int]] = []

    def __init__(self, function: Any, features: Tensor, pool: Any = None) -> None:
        self.function, self.size = function, len(features)
        Recording.made.append(self.size)

    def __call__(self, features: Tensor) -> Any:
        Recording.calls.append(self.size)
        padded = features.new_zeros(self.size, *features.shape[1:])
        padded[: len(features)] = features
        return self.function(padded)


@pytest.fixture
def search(monkeypatch: pytest.MonkeyPatch) -> CudaGraphSearch:
    monkeypatch.setattr(cuda_graphs, "CudaGraphFunction", Recording)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: (0, 1))
    monkeypatch.setattr(Recording, "made", [])
    monkeypatch.setattr(Recording, "calls", [])
    return CudaGraphSearch(tiny("topdown", "lstm"), SPECIALS)


def features_of(images: int) -> Tensor:
    return torch.randn(images, CELLS, FEATURES, generator=torch.Generator().manual_seed(images))


def plain(search: CudaGraphSearch, features: Tensor) -> list[list[Hypothesis]]:
    decoder = search.decoder
    return TensorBeamSearch(decoder.step, SPECIALS, CONFIG, attention=False).run(decoder.init_state(features))


@torch.inference_mode()
def test_a_size_that_comes_again_is_recorded_and_finds_the_same(search: CudaGraphSearch) -> None:
    for images, made, calls in ((3, 0, 0), (4, 1, 1), (3, 1, 2), (5, 1, 2), (1, 1, 2)):
        features = features_of(images)
        results, expected = search(features, CONFIG), plain(search, features)
        assert [[h.tokens for h in each] for each in results] == [
            [h.tokens for h in each] for each in expected
        ]
        assert (len(Recording.made), len(Recording.calls)) == (made, calls), images
    assert Recording.made == [4], "of three and of four images"


@torch.inference_mode()
def test_other_settings_and_shapes_are_recorded_apart(search: CudaGraphSearch) -> None:
    for config, attention in ((CONFIG, False), (CONFIG, True), (SearchConfig(max_length=4), False)):
        for _ in range(2):
            search(features_of(2), config, attention=attention)
    assert Recording.made == [2, 2, 2]


@torch.inference_mode()
def test_the_recording_used_least_recently_goes(
    search: CudaGraphSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "_MAX_GRAPHS", 2)
    for images in (1, 1, 2, 2, 1, 4, 4):  # the third one takes the place of that of two images
        search(features_of(images), CONFIG)
    assert Recording.made == [1, 2, 4]
    search(features_of(1), CONFIG)
    assert Recording.made == [1, 2, 4], "it was used since"
    search(features_of(2), CONFIG)
    assert Recording.made == [1, 2, 4], "it has to come twice again"
    search(features_of(2), CONFIG)
    assert Recording.made == [1, 2, 4, 2]


@torch.inference_mode()
def test_without_room_for_a_recording_it_searches_plainly(
    search: CudaGraphSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(cuda_graphs, "CudaGraphFunction", full)
    for _ in range(3):
        results = search(features_of(2), CONFIG)
    assert [each[0].tokens for each in results] == [each[0].tokens for each in plain(search, features_of(2))]


@settings(max_examples=30)
@given(st.integers(1, 5000))
def test_batches_are_filled_up_to_the_next_power_of_two(images: int) -> None:
    size = _next_size(images)
    assert size & (size - 1) == 0
    assert size / 2 < images <= size
