"""The chunked loss, against the one of torch."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from showtell.training import losses
from showtell.training.losses import (
    CHUNK,
    linear_cross_entropy,
    linear_divergence,
    soft_cross_entropy,
)


def inputs(
    rows: int, words: int, size: int = 6, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
    """(hidden, weight, bias) and targets."""
    generator = torch.Generator().manual_seed(seed)
    tensors = tuple(
        torch.randn(shape, generator=generator, dtype=dtype).requires_grad_()
        for shape in ((rows, size), (words, size), (words,))
    )
    return tensors, torch.randint(words, (rows,), generator=generator)


def reference(hidden: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(F.linear(hidden, weight, bias).float(), targets, label_smoothing=smoothing)


@settings(deadline=None, max_examples=40)
@given(
    st.one_of(st.integers(1, 20), st.sampled_from([CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 7])),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.floats(0.1, 5),
    st.integers(0, 2**31),
)
def test_value_and_gradients_are_those_of_torch(
    rows: int, words: int, smoothing: float, scale: float, seed: int
) -> None:
    tensors, targets = inputs(rows, words, seed=seed)
    ours = linear_cross_entropy(*tensors, targets, smoothing)
    torchs = reference(*tensors, targets, smoothing)
    assert ours.dtype == torch.float32
    assert ours.shape == ()
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(ours * scale, tensors), torch.autograd.grad(torchs * scale, tensors), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("rows", [5, CHUNK + 3])
def test_rows_may_have_weights(smoothing: float, rows: int) -> None:
    tensors, targets = inputs(rows, 11)
    weights = torch.randn(rows)
    ours = linear_cross_entropy(*tensors, targets, smoothing, weights)
    hidden, weight, bias = tensors
    each = F.cross_entropy(
        F.linear(hidden, weight, bias), targets, label_smoothing=smoothing, reduction="none"
    )
    torchs = (weights * each).mean()
    torch.testing.assert_close(ours, torchs, rtol=1e-5, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(ours, tensors), torch.autograd.grad(torchs, tensors), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_are_those_of_finite_differences(smoothing: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 3)
    tensors, targets = inputs(8, 5, size=4, dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda *given: linear_cross_entropy(*given, targets, smoothing), tensors, fast_mode=False
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bf16_is_close_to_fp32(smoothing: float) -> None:
    tensors, targets = inputs(CHUNK + 100, 50, size=32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = linear_cross_entropy(*tensors, targets, smoothing)
    torchs = reference(*tensors, targets, smoothing)
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, torchs, rtol=0.01, atol=0)
    for mine, theirs in zip(
        torch.autograd.grad(ours, tensors), torch.autograd.grad(torchs, tensors), strict=True
    ):
        assert mine.dtype == torch.float32
        assert (mine - theirs).norm() < 0.02 * theirs.norm()


def test_logits_far_from_zero_stay_finite() -> None:
    (hidden, weight, bias), targets = inputs(20, 10)
    scaled = hidden.detach() * 1e4
    loss = linear_cross_entropy(scaled, weight, bias, targets)
    torch.testing.assert_close(loss, reference(scaled, weight, bias, targets, 0.0))
    loss.backward()
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


@pytest.mark.parametrize("needed", [{0}, {1}, {2}, {0, 2}])
def test_gradients_are_made_for_those_that_need_them(needed: set[int]) -> None:
    tensors, targets = inputs(20, 10)
    for number, tensor in enumerate(tensors):
        tensor.requires_grad_(number in needed)
    linear_cross_entropy(*tensors, targets, 0.1).backward()
    asked = [tensors[number] for number in sorted(needed)]
    expected = torch.autograd.grad(reference(*tensors, targets, 0.1), asked)
    for tensor, gradient in zip(asked, expected, strict=True):
        torch.testing.assert_close(tensor.grad, gradient, rtol=1e-4, atol=1e-6)
    assert all(tensor.grad is None for number, tensor in enumerate(tensors) if number not in needed)


MATRIX_PRODUCTS = {torch.ops.aten.mm.default, torch.ops.aten.addmm.default, torch.ops.aten.linear.default}


class Products(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts matrix products, and notes the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.count = self.largest = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.count += function in MATRIX_PRODUCTS
        if isinstance(made, Tensor):
            self.largest = max(self.largest, made.numel())
        return made


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_there_is_the_value_alone(context) -> None:
    tensors, targets = inputs(2 * CHUNK, 10)
    with context(), Products() as products:
        loss = linear_cross_entropy(*tensors, targets)
    assert not loss.requires_grad
    assert products.count == 2  # one a chunk: no gradients are made in vain
    torch.testing.assert_close(loss, reference(*tensors, targets, 0.0).detach())


def test_logits_are_held_a_chunk_at_a_time() -> None:
    rows, words = 20 * CHUNK, 30
    tensors, targets = inputs(rows, words, size=4)
    with Products() as products:
        linear_cross_entropy(*tensors, targets, 0.1).backward()
    assert products.largest < rows * words / 4


def test_soft_targets_as_in_torch() -> None:
    tensors, _ = inputs(7, 9)
    soft = torch.rand(7, 6).softmax(dim=1)
    full = F.pad(soft, (0, 3))  # the last three words have no probability
    expected = F.cross_entropy(F.linear(*tensors), full, reduction="none")
    torch.testing.assert_close(soft_cross_entropy(*tensors, soft), expected)


@pytest.mark.parametrize("rows", [3, 1300])
def test_divergence_is_that_of_torch_from_the_mean_of_the_teachers(rows: int) -> None:
    generator = torch.Generator().manual_seed(rows)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    hidden, weight, bias = (random(*shape).requires_grad_() for shape in ((rows, 6), (11, 6), (11,)))
    teachers = [(random(rows, width), random(11, width), random(11)) for width in (6, 4)]
    mean = torch.stack([F.linear(*teacher).softmax(dim=1) for teacher in teachers]).mean(dim=0)
    expected = F.kl_div(F.linear(hidden, weight, bias).log_softmax(dim=1), mean, reduction="batchmean")
    ours = linear_divergence(hidden, weight, bias, teachers)
    torch.testing.assert_close(ours, expected)
    leaves = hidden, weight, bias
    for mine, other in zip(
        torch.autograd.grad(2 * ours, leaves), torch.autograd.grad(2 * expected, leaves), strict=True
    ):
        torch.testing.assert_close(mine, other)
