"""Plug-ins of the four kinds: docs/plugins.md followed literally, and what is wrong with others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

import showtell
from showtell.captioning.captioner import Captioner
from showtell.config import DataConfig, DecoderConfig, EncoderConfig
from showtell.data.annotations.load import load_annotations
from showtell.data.vocabulary import build_vocab
from showtell.decoder import make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, ConfigError, EncoderError, PluginError
from showtell.evaluation.scores import compute_scores
from tests.plugin_package import documented, install, install_broken


@pytest.fixture
def extras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "site", documented(), monkeypatch)


@pytest.fixture
def dataset(snippets: list[Path], tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for photo in snippets:
        shutil.copy(photo, root)
    lines = [
        f"{photo.name} -> a {'dog' if number % 2 else 'cat'} runs" for number, photo in enumerate(snippets)
    ]
    (root / "captions.arrows").write_text("\n".join(lines))
    return root


# Scores

CANDIDATES = {"1": ["a dog runs"], "2": ["the red cat"]}
REFERENCES = {"1": ["a dog sits", "it runs"], "2": ["a cat"]}


def test_the_documented_score(extras: None) -> None:
    scores = compute_scores(CANDIDATES, REFERENCES, java=False)
    assert scores.statistics["coverage"].value == pytest.approx((1 + 1 / 3) / 2)
    assert list(scores.statistics["coverage"].images) == pytest.approx([1, 1 / 3])


def test_without_plugins_there_are_no_other_scores() -> None:
    assert "coverage" not in compute_scores(CANDIDATES, REFERENCES, java=False).statistics


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("it = lambda candidates, references: [1.0]", "a finite number for each of the 2 images"),
        ("it = lambda candidates, references: [float('nan')] * 2", "a finite number"),
        ("it = lambda candidates, references: ['x', 'y']", "ValueError"),
        ("it = lambda candidates: 1", "TypeError"),
    ],
)
def test_scores_that_fail(source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_broken(tmp_path / "wrong-site", "scores", source, monkeypatch)
    with pytest.raises(PluginError, match=reason):
        compute_scores(CANDIDATES, REFERENCES, java=False)


# Decoders


def test_the_documented_decoder_steps_as_it_is_trained(extras: None) -> None:
    torch.manual_seed(0)
    config = DecoderConfig(kind="bigram", embedding_dim=16)
    decoder = make_decoder(config, vocab_size=9, feature_dim=8, grid_cells=4).eval()
    features, captions = torch.randn(2, 4, 8), torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]])
    hidden = decoder(features, captions, torch.tensor([4, 3]), torch.tensor([0, 1]))
    state, stepped = decoder.init_state(features), []
    for time in range(3):
        output = decoder.step(captions[:, time : time + 1], state)
        stepped.append(output.logits[:, 0])
        state = output.state
    packed = torch.cat([stepped[0], stepped[1], stepped[2][:1]])
    torch.testing.assert_close(hidden @ decoder.embedding.weight.T + decoder.word_bias, packed)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("it = lambda *_: 'text'", "no RNNDecoder"),
        ("def it(*_): raise RuntimeError('of mine')", "RuntimeError: of mine"),
        ("it = 3", "TypeError"),
        (
            "from showtell.decoder.pooled import PooledDecoder\n"
            "class it(PooledDecoder):\n"
            "    def logits(self, hidden): return 2 * super().logits(hidden)",
            "it overrides `logits`",
        ),
    ],
)
def test_decoders_that_fail(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_broken(tmp_path / "wrong-site", "decoders", source, monkeypatch)
    with pytest.raises(PluginError, match=reason):
        make_decoder(DecoderConfig(kind="odd"), vocab_size=9, feature_dim=8, grid_cells=4)


# Encoders


def test_the_documented_encoder(extras: None) -> None:
    encoder = CNNEncoder.from_config(EncoderConfig("patches:16", 96))
    assert (encoder.feature_dim, encoder.grid_cells) == (16, 9)
    assert encoder(torch.zeros(2, 3, 96, 128)).shape == (2, 9, 16)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("class it:\n    def load(name): return 1, 2, 3", "makes no GridNetwork"),
        ("class it:\n    def load(name): raise OSError('gone')", "OSError: gone"),
        ("class it: pass", "AttributeError"),
    ],
)
def test_encoders_that_fail(
    source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_broken(tmp_path / "wrong-site", "encoders", source, monkeypatch)
    with pytest.raises(PluginError, match=reason):
        CNNEncoder.from_config(EncoderConfig("odd:x"))


def test_an_unknown_prefix_is_a_name_like_any_other() -> None:
    with pytest.raises(EncoderError, match="no encoder weights there"):
        CNNEncoder.from_config(EncoderConfig("nobody:x"))


# All together


def test_a_run_with_a_reader_an_encoder_and_a_decoder_of_plugins(
    extras: None, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_cpu: None
) -> None:
    monkeypatch.chdir(tmp_path)
    run = showtell.train(
        DataConfig(root=str(dataset), format="arrows"),
        encoder=EncoderConfig("patches:16", 64),
        decoder=DecoderConfig(kind="bigram", embedding_dim=16),
        training=showtell.TrainingConfig(epochs=1, logger="none"),
        init="none",
        out="run",
    )
    model = Captioner.load(str(run.folder))
    assert model("data/0001.jpg").text
    monkeypatch.setattr("showtell.config.plugins.entry_points", lambda **_: [])
    with pytest.raises((CheckpointError, PluginError, ConfigError), match="install"):
        Captioner.load(str(run.folder))


def test_the_vocabulary_of_the_dataset(extras: None, dataset: Path) -> None:
    captions = [caption for image in load_annotations(dataset).images for caption in image.captions]
    assert "dog" in build_vocab(captions, 1).words
