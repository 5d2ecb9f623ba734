"""Fingerprints of weights: of names, shapes and values, independent of the order and the file format."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from showtell.checkpoints.fingerprint import weights_fingerprint

WEIGHTS = {"b.weight": torch.arange(6.0).view(2, 3), "a": torch.tensor([0.5])}


def test_it_is_the_sha_256_of_names_shapes_and_values() -> None:
    content = b"a(1,)" + np.float32([0.5]).tobytes()
    content += b"b.weight(2, 3)" + np.arange(6, dtype="<f4").tobytes()
    assert weights_fingerprint(WEIGHTS) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    "same",
    [
        dict(reversed(WEIGHTS.items())),
        {name: tensor.half() for name, tensor in WEIGHTS.items()},
        {**WEIGHTS, "b.weight": torch.arange(6.0).view(3, 2).t().contiguous().t().reshape(2, 3)},
        {**WEIGHTS, "b.weight": torch.nn.Parameter(WEIGHTS["b.weight"].t().contiguous().t())},
    ],
    ids=["order", "fp16", "reshaped", "layout"],
)
def test_order_format_and_layout_do_not_count(same: dict[str, torch.Tensor]) -> None:
    assert weights_fingerprint(same) == weights_fingerprint(WEIGHTS)


@pytest.mark.parametrize(
    "other",
    [
        {"a": WEIGHTS["a"]},
        {"a": WEIGHTS["a"], "c.weight": WEIGHTS["b.weight"]},
        {"a": WEIGHTS["a"], "b.weight": WEIGHTS["b.weight"].view(3, 2)},
        {"a": torch.tensor([0.50001]), "b.weight": WEIGHTS["b.weight"]},
    ],
    ids=["fewer", "name", "shape", "value"],
)
def test_names_shapes_and_values_count(other: dict[str, torch.Tensor]) -> None:
    assert weights_fingerprint(other) != weights_fingerprint(WEIGHTS)
