"""The modules of the graphs, in PyTorch: they compute what the captioner computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from showtell.captioning.captioner import Captioner
from showtell.config import Cell, DecoderKind
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import ModelError
from showtell.exporting.graphs import EncoderGraph, StartGraph, StepGraph, write_graphs
from tests.conftest import tiny_decoder_config

WORDS, TOP = 20, 6


@pytest.mark.parametrize("shape", [(64, 64), (96, 32)])
def test_the_encoder_graph_takes_pixels(shape: tuple[int, int], tiny_encoder: CNNEncoder) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, *shape, 3), np.uint8)
    with torch.no_grad():
        features = EncoderGraph(tiny_encoder.eval())(torch.from_numpy(pixels))
    expected = tiny_encoder.encode_pixels(list(pixels))
    torch.testing.assert_close(features, expected.float(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", ["topdown", "attention", "pooled"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_start_and_step_are_those_of_the_decoder(kind: DecoderKind, cell: Cell) -> None:
    torch.manual_seed(0)
    config = tiny_decoder_config(8, kind=kind, cell=cell)
    decoder = make_decoder(config, vocab_size=WORDS, feature_dim=6, grid_cells=4).eval()
    features, tokens = torch.randn(3, 4, 6), torch.randint(0, WORDS, (3, 2))
    with torch.no_grad():
        state = decoder.init_state(features)
        context = len(state.context)
        started = StartGraph(decoder)(features)
        torch.testing.assert_close(list(started), [*state.context, *state.recurrent])
        state = state.select_hypotheses(np.zeros((3, 2), np.int64))
        state_tensors = [*state.context, *state.recurrent]
        values, words, logits, total, *others = StepGraph(decoder, context, TOP)(tokens, state_tensors)
        expected = decoder.step(tokens, state)
    torch.testing.assert_close(logits, expected.logits)
    torch.testing.assert_close(total[..., 0], torch.logsumexp(expected.logits, dim=2))
    torch.testing.assert_close(values, expected.logits.sort(dim=2, descending=True).values[..., :TOP])
    torch.testing.assert_close(expected.logits.gather(2, words), values)
    attention = [] if expected.attention is None else [expected.attention]
    torch.testing.assert_close(others, [*attention, *expected.state.recurrent])


def test_graphs_take_any_number_of_photos_and_hypotheses(exported: Path) -> None:
    shapes = {}
    for name in ("encoder", "start", "step"):
        graph = onnx.load(exported / f"{name}.onnx").graph
        shapes[name] = [
            ["?" if axis.dim_param else axis.dim_value for axis in given.type.tensor_type.shape.dim]
            for given in graph.input
        ]
    assert shapes["encoder"] == [["?", "?", "?", 3]]
    assert shapes["start"] == [["?", 4, 128]]
    assert shapes["step"][0] == ["?", "?"]
    assert all(shape[0] == "?" for shape in shapes["step"])


def test_only_a_resnet_is_exported(
    tiny_captioner: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(tiny_captioner.encoder._modules, "backbone", nn.Identity())
    with pytest.raises(ModelError, match="only models with a ResNet"):
        write_graphs(tiny_captioner, tmp_path)
