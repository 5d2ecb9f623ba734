"""The loss of a batch of next words."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

CHUNK = 512
"""Rows whose logits are held at a time on a CPU, whose caches they should fit."""
GPU_CHUNK = 8192
"""Rows whose logits are held at a time on a GPU, where few large products are faster."""


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
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight, bias = hidden.to(dtype), weight.to(dtype), bias.to(dtype)
    if not torch.is_grad_enabled():  # a Function's needs_input_grad does not know: no gradients in vain
        hidden, weight, bias = hidden.detach(), weight.detach(), bias.detach()
    return _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, label_smoothing, row_weights
    )


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
        rows, words = len(hidden), len(weight)
        full = torch.promote_types(hidden.dtype, torch.float32)
        wanted = any(ctx.needs_input_grad[:3])
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros_like(weight, dtype=full)
        grad_bias = torch.zeros_like(bias, dtype=full)
        loss = hidden.new_zeros((), dtype=full)
        chunk = CHUNK if hidden.device.type == "cpu" else GPU_CHUNK
        for begin in range(0, rows, chunk):
            part, target = hidden[begin : begin + chunk], targets[begin : begin + chunk].unsqueeze(1)
            log_probs = F.linear(part, weight, bias).to(full).log_softmax(dim=1)
            each = (1 - smoothing) * log_probs.gather(1, target).squeeze(1)
            if smoothing:
                each += smoothing * log_probs.mean(dim=1)
            factors = None if row_weights is None else row_weights[begin : begin + chunk].to(full)
            loss -= (each if factors is None else each * factors).sum()
            if wanted:
                grad = log_probs.exp_().sub_(smoothing / words)
                grad.scatter_add_(1, target, grad.new_full(target.shape, smoothing - 1))
                if factors is not None:
                    grad *= factors.unsqueeze(1)
                grad_bias += grad.sum(dim=0)
                low = grad.to(hidden.dtype)
                grad_hidden[begin : begin + chunk] = low @ weight
                grad_weight += low.t() @ part
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        ctx.rows, ctx.dtype = rows, hidden.dtype
        return loss / rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight, grad_bias = ctx.saved_tensors
        scale = grad / ctx.rows
        low = ctx.dtype
        return (
            grad_hidden * scale.to(low),
            (grad_weight * scale).to(low),
            (grad_bias * scale).to(low),
            None,
            None,
            None,
        )


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
