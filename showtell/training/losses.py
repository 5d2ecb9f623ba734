"""The loss of a batch of next words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = 512
"""Rows whose logits are held at a time on a CPU, whose caches they should fit."""
GPU_CHUNK = 8192
"""Rows whose logits are held at a time on a GPU, on which few large products are faster."""


def linear_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor,
    targets: Tensor,
    label_smoothing: float = 0.0,
    row_weights: Tensor | None = None,
) -> Tensor:
    """Mean of `F.cross_entropy(F.linear(hidden, weight, bias), targets)`, without holding all the logits.

    Logits are made, turned into gradients and dropped a chunk of rows at a time, so memory does not grow
    with rows x words. Softmax is taken in fp32 at least (after Wijmans et al. 2024, arXiv:2411.09009).

    Args:
        hidden: (P, E).
        weight: (V, E).
        bias: (V,).
        targets: (P,), ids of words.
        label_smoothing: share of the probability that the target spreads over all words.
        row_weights: (P,), what the loss of each row is multiplied by before the mean over P is taken; may
            be negative, as the advantages of a policy gradient are.

    Returns:
        Scalar, fp32 (fp64 of fp64).
    """
    hidden, weight, bias = _autocast(hidden, weight, bias)
    if not torch.is_grad_enabled():  # a Function's needs_input_grad does not know: no gradients in vain
        hidden, weight, bias = hidden.detach(), weight.detach(), bias.detach()
    return _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, label_smoothing, row_weights
    )


def _autocast(hidden: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three in the number format of autocast, if that is enabled: a Function gets what it is given."""
    device = hidden.device.type
    if not torch.is_autocast_enabled(device):
        return hidden, weight, bias
    dtype = torch.get_autocast_dtype(device)
    return hidden.to(dtype), weight.to(dtype), bias.to(dtype)


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        smoothing: float,
        row_weights: Tensor | None,
    ) -> Tensor:
        words = len(weight)
        full = torch.promote_types(hidden.dtype, torch.float32)
        grads = _Gradients(hidden, weight, full) if any(ctx.needs_input_grad[:3]) else None
        loss = hidden.new_zeros((), dtype=full)
        for begin, part in _chunks(hidden):
            rows = slice(begin, begin + len(part))
            target = targets[rows].unsqueeze(1)
            log_probs = F.linear(part, weight, bias).to(full).log_softmax(dim=1)
            each = (1 - smoothing) * log_probs.gather(1, target).squeeze(1)
            if smoothing:
                each += smoothing * log_probs.mean(dim=1)
            factors = None if row_weights is None else row_weights[rows].to(full)
            loss -= (each if factors is None else each * factors).sum()
            if grads is not None:
                grad = log_probs.exp_().sub_(smoothing / words)
                grad.scatter_add_(1, target, grad.new_full(target.shape, smoothing - 1))
                if factors is not None:
                    grad *= factors.unsqueeze(1)
                grads.add(rows, part, grad, weight)
        if grads is not None:
            grads.save(ctx)
        return loss / len(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*_Gradients.scaled(ctx, grad), None, None, None)


class _Gradients:
    """The gradients of a mean over rows (P,) of logits = linear(hidden, weight, bias), summed over chunks.

    Args:
        hidden: (P, E).
        weight: (V, E).
        full: the number format of sums.
    """

    def __init__(self, hidden: Tensor, weight: Tensor, full: torch.dtype) -> None:
        self.hidden = torch.empty_like(hidden)
        self.weight = torch.zeros_like(weight, dtype=full)
        self.bias = torch.zeros(len(weight), dtype=full, device=weight.device)

    def add(self, rows: slice, hidden: Tensor, of_logits: Tensor, weight: Tensor) -> None:
        """Add those of a chunk, whose logits have the gradient `of_logits` (rows, V)."""
        self.bias += of_logits.sum(dim=0)
        low = of_logits.to(hidden.dtype)
        self.hidden[rows] = low @ weight
        self.weight += low.t() @ hidden

    def save(self, ctx: Any) -> None:
        """Keep them for the backward pass."""
        ctx.save_for_backward(self.hidden, self.weight, self.bias)

    @staticmethod
    def scaled(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Those of hidden, weight and bias, for the gradient `grad` () of the mean."""
        hidden, weight, bias = ctx.saved_tensors
        scale, low = grad / len(hidden), hidden.dtype
        return hidden * scale.to(low), (weight * scale).to(low), (bias * scale).to(low)


def _chunks(rows: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Parts of rows (P, E) whose logits are held at a time, and the row that each begins with."""
    size = CHUNK if rows.device.type == "cpu" else GPU_CHUNK
    for begin in range(0, len(rows), size):
        yield begin, rows[begin : begin + size]


def linear_divergence(
    hidden: Tensor, weight: Tensor, bias: Tensor, teachers: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> Tensor:
    """Mean Kullback-Leibler divergence from the mean of the teachers' softmax(linear(...)): distillation.

    As in `linear_cross_entropy`, probabilities are held for a chunk of rows at a time.

    Args:
        hidden: (P, E).
        weight: (V, E).
        bias: (V,).
        teachers: hidden states (P, E'), weight (V, E') and bias (V,) of each; no gradients go to them.

    Returns:
        Scalar, fp32 (fp64 of fp64).
    """
    return _LinearDivergence.apply(  # type: ignore[no-untyped-call]
        *_autocast(hidden, weight, bias), [_autocast(*teacher) for teacher in teachers]
    )


class _LinearDivergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor,
        teachers: Sequence[tuple[Tensor, Tensor, Tensor]],
    ) -> Tensor:
        full = torch.promote_types(hidden.dtype, torch.float32)
        grads = _Gradients(hidden, weight, full)
        loss = hidden.new_zeros((), dtype=full)
        for begin, part in _chunks(hidden):
            rows = slice(begin, begin + len(part))
            probabilities = torch.zeros(len(part), len(weight), dtype=full, device=hidden.device)
            for of_teacher, *layer in teachers:
                probabilities += F.linear(of_teacher[rows], *layer).to(full).softmax(dim=1)
            probabilities /= len(teachers)
            log_probs = F.linear(part, weight, bias).to(full).log_softmax(dim=1)
            loss += torch.special.xlogy(probabilities, probabilities).sum()
            loss -= (probabilities * log_probs).sum()
            grads.add(rows, part, log_probs.exp_().sub_(probabilities), weight)
        grads.save(ctx)
        return loss / len(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*_Gradients.scaled(ctx, grad), None)


def soft_cross_entropy(hidden: Tensor, weight: Tensor, bias: Tensor, soft_targets: Tensor) -> Tensor:
    """Cross-entropy with targets that are probabilities: distillation (Hinton et al. 2015).

    Args:
        hidden: (P, E).
        weight: (V, E).
        bias: (V,).
        soft_targets: (P, K) probabilities of the first K words; the others have none.

    Returns:
        (P,), fp32.
    """
    log_probs = F.linear(hidden, weight, bias).float().log_softmax(dim=1)
    return -(soft_targets * log_probs[:, : soft_targets.shape[1]]).sum(dim=1)
