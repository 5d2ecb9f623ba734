"""Vision models of `transformers` as encoders: tiny ones, made from configurations with random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.config import DecoderConfig, EncoderConfig, SearchConfig
from showtell.data.vocabulary import build_vocab
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.transformer_backbones import TransformersNetwork
from showtell.errors import CheckpointError, EncoderError, ModelError, UsageError

transformers = pytest.importorskip("transformers", reason="the extra encoders is not installed")

_VIT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 64,
}
_SWIN = {
    "embed_dim": 8,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
    "patch_size": 4,
    "image_size": 64,
}
_CONVNEXT = {"num_stages": 2, "hidden_sizes": [8, 16], "depths": [1, 1], "patch_size": 4}
MODELS: dict[str, tuple[dict[str, Any], int, int]] = {  # configuration, rows of the grid, channels
    "vit": (_VIT | {"patch_size": 16}, 4, 16),
    "deit": (_VIT | {"patch_size": 16}, 4, 16),
    "dinov2": (_VIT | {"patch_size": 14, "image_size": 70, "mlp_ratio": 2}, 4, 16),
    "dinov2_with_registers": (_VIT | {"patch_size": 14, "num_register_tokens": 2, "mlp_ratio": 2}, 4, 16),
    "clip_vision_model": (_VIT | {"patch_size": 16}, 4, 16),
    "siglip_vision_model": (_VIT | {"patch_size": 16}, 4, 16),
    "convnext": (_CONVNEXT, 8, 16),
    "convnextv2": (_CONVNEXT, 8, 16),
    "swin": (_SWIN, 8, 16),
    "swinv2": (_SWIN, 8, 16),
}  # fmt: skip
PREPROCESSOR = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.3, 0.4]}


def save(kind: str, folder: Path) -> Path:
    """A folder as `save_pretrained` writes it; of a model of images and texts, all of it."""
    torch.manual_seed(0)
    if kind in ("clip", "siglip"):
        text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
        config = transformers.AutoConfig.for_model(
            kind,
            vision_config=MODELS[f"{kind}_vision_model"][0],
            text_config=text | {"vocab_size": 30, "eos_token_id": 2, "bos_token_id": 1, "pad_token_id": 0},
        )
    else:
        config = transformers.AutoConfig.for_model(kind, **MODELS[kind][0])
    transformers.AutoModel.from_config(config).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


def load(folder: Path, size: int = 64) -> CNNEncoder:
    return CNNEncoder.from_config(EncoderConfig(str(folder), size, "fp32"))


@pytest.mark.parametrize("kind", [*MODELS, "clip", "siglip"])
def test_the_grid_of_each_model(kind: str, tmp_path: Path) -> None:
    _, side, channels = MODELS.get(kind) or MODELS[f"{kind}_vision_model"]
    encoder = load(save(kind, tmp_path))
    assert (encoder.grid_side, encoder.feature_dim) == (side, channels)
    assert encoder.transform.mean == (0.5, 0.4, 0.3)
    images = torch.randn(2, 3, 64, 64)
    grid = encoder(images)
    assert grid.shape == (2, side**2, channels)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    for wide in (torch.randn(1, 3, 48, 80), torch.randn(1, 3, 110, 36)):  # sides that patches do not fill
        assert encoder(wide).shape == (1, side**2, channels)
    changed = images.clone()
    changed[:, :, :16, :16] += 3
    difference = (encoder(changed) - grid).abs().mean(dim=2)
    assert difference[0, 0] > difference[0, -1], "cells run row by row from the top left"


@pytest.mark.parametrize("kind", ["vit", "dinov2_with_registers", "swin"])
def test_cells_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    encoder, images = load(save(kind, tmp_path)), torch.randn(2, 3, 64, 64)
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        hidden = model(pixel_values=images, output_hidden_states=True).last_hidden_state
    torch.testing.assert_close(encoder(images), hidden[:, hidden.shape[1] - encoder.grid_cells :])


def captioner(encoder: CNNEncoder) -> Captioner:
    vocabulary = build_vocab(["a dog runs", "the cat sleeps"], 1)
    sizes = DecoderConfig(embedding_dim=16, hidden_dim=16, attention_dim=16)
    decoder = make_decoder(
        sizes, vocab_size=len(vocabulary), feature_dim=encoder.feature_dim, grid_cells=encoder.grid_cells
    )
    return Captioner(encoder, decoder, vocabulary, "here").eval()


@pytest.mark.parametrize("kind", ["vit", "dinov2", "clip", "convnext", "swin"])
def test_a_saved_model_captions_as_before(kind: str, snippets: list[Path], tmp_path: Path) -> None:
    model = captioner(load(save(kind, tmp_path / "hub")))
    model.save(tmp_path / "model")
    loaded = Captioner.load(str(tmp_path / "model"), device="cpu")
    loaded.encoder.precision = "fp32"
    assert loaded.fingerprint() == model.fingerprint()
    config = SearchConfig(max_length=5)
    before, after = (
        list(each.caption_stream(snippets[:3], config, open_source=str)) for each in (model, loaded)
    )
    assert [done.captions for done in before] == [done.captions for done in after]
    larger = Captioner.load(str(tmp_path / "model"), device="cpu", image_size=96)
    assert larger.encoder.grid_cells == model.encoder.grid_cells


def test_a_model_saved_without_its_encoder(tmp_path: Path, snippets: list[Path]) -> None:
    model = captioner(load(save("vit", tmp_path / "hub")))
    model.save(tmp_path / "model", with_encoder=False)
    assert Captioner.load(str(tmp_path / "model"), encoder=str(tmp_path / "hub"))(snippets[0]) is not None
    with pytest.raises(CheckpointError, match="other encoder weights"):
        Captioner.load(str(tmp_path / "model"), encoder=str(save("deit", tmp_path / "other")))


def test_bf16_is_close(tmp_path: Path) -> None:
    encoder, images = load(save("vit", tmp_path)), torch.randn(2, 3, 64, 64)
    exact, encoder.precision = encoder(images), "bf16"
    encoder = CNNEncoder(encoder.backbone, encoder.transform, "bf16")
    torch.testing.assert_close(encoder(images).float(), exact, atol=0.1, rtol=0.1)


def test_models_without_a_grid_are_named(tmp_path: Path) -> None:
    config = transformers.AutoConfig.for_model(
        "bert", hidden_size=16, num_attention_heads=2, num_hidden_layers=1
    )
    config.save_pretrained(tmp_path)
    with pytest.raises(
        EncoderError, match=r"a 'bert' model, which has no grid .* take one of clip, convnext"
    ):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["weights", "size", "config"])
def test_damaged_folders(damage: str, tmp_path: Path) -> None:
    save("vit", tmp_path)
    if damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"nothing")
    else:
        values = json.loads((tmp_path / "config.json").read_text())
        values |= {"hidden_size": 32} if damage == "size" else {"patch_size": [16, 8]}
        (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(EncoderError):
        load(tmp_path)


def test_a_header_of_other_sizes_is_refused(tmp_path: Path) -> None:
    small, model = (captioner(load(save("vit", tmp_path / "hub"))) for _ in range(2))
    config = small.encoder.backbone.architecture()["config"] | {"num_hidden_layers": 1}
    network = TransformersNetwork(config)
    small.encoder.backbone = network
    assert network.architecture() != model.encoder.backbone.architecture()
    model.encoder.backbone.architecture = network.architecture  # type: ignore[method-assign]
    model.save(tmp_path / "model")
    with pytest.raises(CheckpointError, match="does not fit its description"):
        Captioner.load(str(tmp_path / "model"))


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save("vit", tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'showtell\[encoders\]'"):
        load(tmp_path)


def test_graphs_are_for_resnets(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    from showtell.exporting.graphs import write_graphs

    with pytest.raises(ModelError, match="only models with a ResNet"):
        write_graphs(captioner(load(save("vit", tmp_path))), tmp_path)


def test_other_grids_can_be_asked_for(tmp_path: Path) -> None:
    encoder = load(save("vit", tmp_path))
    pooled = CNNEncoder(encoder.backbone, replace(encoder.transform), "fp32", grid_side=2)
    assert pooled(torch.randn(1, 3, 64, 64)).shape == (1, 4, 16)
