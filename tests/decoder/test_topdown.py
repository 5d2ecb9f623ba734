"""The parts of the fast decoder."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from showtell.decoder.topdown import attend, caption_slots


@settings(deadline=None, max_examples=25)
@given(*[st.integers(1, 4) for _ in range(3)], st.integers(1, 9), st.integers(1, 8), st.integers(0, 2**31))
def test_attention_is_that_of_torch(
    batch: int, heads: int, queries: int, cells: int, size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    q, k, v = (
        torch.randn(batch, heads, length, size, dtype=torch.float64, requires_grad=True)
        for length in (queries, cells, cells)
    )
    ours, weights = attend(q, k / size**0.5, v)
    torchs = F.scaled_dot_product_attention(q, k, v)
    # The softmax is taken in fp32.
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(weights.sum(dim=3), torch.ones(batch, heads, queries))
    direction = torch.randn_like(ours)
    for mine, theirs in zip(
        torch.autograd.grad(ours, (q, k, v), direction),
        torch.autograd.grad(torchs, (q, k, v), direction),
        strict=True,
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)


@settings(max_examples=30)
@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.integers(0, 3))
def test_slots_count_the_captions_of_each_image(image_of_caption: list[int], without: int) -> None:
    images = max(image_of_caption) + 1 + without
    slots, most = caption_slots(torch.tensor(image_of_caption), images)
    assert most == max(image_of_caption.count(image) for image in range(images))
    assert slots.tolist() == [
        image * most + image_of_caption[:caption].count(image)
        for caption, image in enumerate(image_of_caption)
    ]
