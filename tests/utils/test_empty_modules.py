"""Modules without memory for their weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from showtell.utils.empty_modules import init_empty_weights


def test_modules_have_shapes_but_no_memory_and_take_weights() -> None:
    with init_empty_weights():
        module = nn.Sequential(nn.Embedding(10**9, 10**6), nn.Linear(3, 2))
    assert all(parameter.is_meta for parameter in module.parameters())
    assert module[0].weight.shape == (10**9, 10**6)
    weights = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.tensor([1.0, -1.0])}
    module[1].load_state_dict(weights, assign=True)
    torch.testing.assert_close(module[1](torch.ones(1, 3)), torch.tensor([[4.0, 11.0]]))


def test_initialising_is_left_out_inside_only() -> None:
    with init_empty_weights():
        tensor = nn.init.constant_(tensor=torch.zeros(2, device="cpu"), val=1)
        assert tensor.tolist() == [0, 0]
        assert nn.init.constant_(tensor, 1) is tensor
    assert nn.init.constant_(tensor, 1).tolist() == [1, 1]
    with pytest.raises(ZeroDivisionError), init_empty_weights():
        1 / 0  # noqa: B018
    assert not nn.Linear(1, 1).weight.is_meta
