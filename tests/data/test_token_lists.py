"""Token ids in one tensor: what plain lists give, whatever the captions."""

from __future__ import annotations

import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from showtell.data.token_lists import TokenLists

images_of_captions = st.lists(st.lists(st.lists(st.integers(0, 2**40), max_size=6), max_size=5), max_size=7)


@given(images_of_captions)
def test_as_plain_lists(images: list[list[list[int]]]) -> None:
    lists = TokenLists(iter(images))
    assert len(lists) == len(images)
    for captions, expected in zip(lists, images, strict=True):
        assert [caption.tolist() for caption in captions] == expected
        assert all(caption.dtype == torch.int64 for caption in captions)
    again = pickle.loads(pickle.dumps(lists))
    assert [[c.tolist() for c in captions] for captions in again] == images


@given(images_of_captions, st.slices(7), st.integers(-8, 8))
def test_items_and_slices(images: list[list[list[int]]], chosen: slice, place: int) -> None:
    lists = TokenLists(images)
    assert [[c.tolist() for c in captions] for captions in lists[chosen]] == images[chosen]
    if -len(images) <= place < len(images):
        assert [caption.tolist() for caption in lists[place]] == images[place]
    else:
        with pytest.raises(IndexError):
            lists[place]


def test_captions_are_views() -> None:
    lists = TokenLists([[[1, 7, 2], [1, 2]], [[1, 9, 2]]])
    storages = {caption.untyped_storage().data_ptr() for captions in lists for caption in captions}
    assert len(storages) == 1
