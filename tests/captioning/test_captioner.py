"""The whole model: captions, its file, and files that must be refused."""

from __future__ import annotations

import copy
import json
import pickle
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.checkpoints.hub_metadata import CONFIG, model_config
from showtell.checkpoints.model_file import read_model
from showtell.config import DecoderConfig, SearchConfig
from showtell.data.vocabulary import build_vocab
from showtell.decoder import EnsembleDecoder, make_decoder
from showtell.encoder.cnn import CNNEncoder
from showtell.errors import CheckpointError, ModelError, ShowtellError, UsageError
from showtell.utils.runs import MODEL
from showtell.utils.shipped import DEFAULT_MODEL, MODELS
from tests.conftest import make_tiny_encoder, save_backbone

VOCABULARY = build_vocab(["a dog runs on the green grass", "two cats sleep"], 1)


def make_captioner(encoder: CNNEncoder) -> Captioner:
    torch.manual_seed(3)
    config = DecoderConfig(embedding_dim=16, hidden_dim=16, attention_dim=16)
    decoder = make_decoder(
        config,
        vocab_size=len(VOCABULARY),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    return Captioner(encoder, decoder, VOCABULARY, "tiny").eval()


@pytest.fixture
def captioner(tiny_encoder: CNNEncoder) -> Captioner:
    return make_captioner(tiny_encoder)


def load(folder: Path) -> Captioner:
    return Captioner.load(str(folder), device=torch.device("cpu"))


def rewrite_header(path: Path, **changes: object) -> None:
    """Change our part of a safetensors header, leaving the tensors as they are."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    ours = json.loads(header["__metadata__"]["showtell"]) | changes
    header["__metadata__"]["showtell"] = json.dumps(ours)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + length :])


def test_saved_and_loaded_it_says_the_same(captioner: Captioner, photos: list[Path], tmp_path: Path) -> None:
    captioner.save(tmp_path)
    again = load(tmp_path)
    again.encoder.precision = "fp32"  # as the fixture's: the file leaves it to the machine
    config = SearchConfig(num_captions=3)
    assert captioner.caption(photos, config) == again.caption(photos, config)
    assert again.vocabulary == captioner.vocabulary
    state = captioner.state_dict()
    assert {name: tuple(t.shape) for name, t in again.state_dict().items()} == {
        name: tuple(t.shape) for name, t in state.items()
    }
    assert all(torch.equal(tensor, state[name]) for name, tensor in again.state_dict().items())


def test_the_file_holds_the_state_dictionary_of_the_whole_model(captioner: Captioner, tmp_path: Path) -> None:
    stored = load_file(captioner.save(tmp_path))
    state = captioner.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name].float(), state[name].float()) for name in state)


def test_without_its_encoder_it_finds_it_by_name(photos: list[Path], tmp_path: Path) -> None:
    encoder = make_tiny_encoder()
    save_backbone(tmp_path / "tiny", encoder.backbone)
    captioner = make_captioner(encoder)
    captioner.encoder_name = str(tmp_path / "tiny")
    captioner.save(tmp_path / "model", with_encoder=False)
    again = load(tmp_path / "model")
    again.encoder.precision = "fp32"
    assert again.caption(photos) == captioner.caption(photos)
    save_backbone(tmp_path / "tiny", make_tiny_encoder(seed=1).backbone)
    with pytest.raises(CheckpointError, match="other encoder weights"):
        load(tmp_path / "model")


def test_half_precision_is_half_the_size(captioner: Captioner, tmp_path: Path) -> None:
    full = captioner.save(tmp_path / "full", with_encoder=False).stat().st_size
    half = captioner.save(tmp_path / "half", with_encoder=False, half=True).stat().st_size
    weights = 4 * sum(p.numel() for p in captioner.decoder.parameters())
    assert full - half == pytest.approx(weights / 2, abs=100)  # but for the header's padding


def test_confidence_is_kept_in_the_file(captioner: Captioner, photos: list[Path], tmp_path: Path) -> None:
    captioner.save(tmp_path / "plain")
    assert load(tmp_path / "plain").calibration is None
    assert all(c.confidence is None for (c,) in captioner.caption(photos))
    captioner.calibration = Calibration((1.0, 0.5, 0.0, 3.0), (1.0, 0.0, 0.0, 0.0, 2.0))
    captioner.save(tmp_path / "known")
    again = load(tmp_path / "known")
    assert again.calibration == captioner.calibration
    again.encoder.precision = "fp32"
    for (caption,) in again.caption(photos):
        logit = np.mean(caption.word_log_probs) + 0.5 * min(caption.word_log_probs) + 3
        assert caption.confidence == pytest.approx(1 / (1 + np.exp(-logit)))
        assert not caption.doubtful
        assert caption.word_confidences == pytest.approx(
            [1 / (1 + np.exp(-2 - log_prob)) for log_prob in caption.word_log_probs[:-1]]
        )
    for (sampled,) in again.caption(photos, SearchConfig(sample=True)):
        assert sampled.confidence is sampled.word_confidences is None


def test_the_threshold_of_doubt_is_kept_in_the_file(
    captioner: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5, 0.6)  # all is half sure
    captioner.save(tmp_path)
    assert load(tmp_path).calibration == captioner.calibration
    assert all(caption.doubtful for (caption,) in captioner.caption(photos))
    for (sampled,) in captioner.caption(photos, SearchConfig(sample=True)):
        assert not sampled.doubtful
    captioner.calibration = replace(captioner.calibration, doubtful=0.5)
    assert not any(caption.doubtful for (caption,) in captioner.caption(photos))


@pytest.mark.parametrize("cut", [0, 5, 100, 3000, -1])
def test_truncated_file_is_refused(captioner: Captioner, tmp_path: Path, cut: int) -> None:
    path = captioner.save(tmp_path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="damaged"):
        load(tmp_path)


@pytest.mark.parametrize("place", [0.2, 0.5, 0.99])
def test_one_flipped_byte_is_refused(captioner: Captioner, tmp_path: Path, place: float) -> None:
    path = captioner.save(tmp_path)
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=MODEL):
        load(tmp_path)


def test_another_version_or_vocabulary_is_refused(captioner: Captioner, tmp_path: Path) -> None:
    path = captioner.save(tmp_path)
    rewrite_header(path, version=99)
    with pytest.raises(CheckpointError, match="of version 99, this showtell reads version 1"):
        load(tmp_path)
    captioner.save(tmp_path)
    rewrite_header(path, vocabulary=build_vocab(["another vocabulary of words"], 1).to_json())
    with pytest.raises(CheckpointError, match="vocabulary"):
        load(tmp_path)
    captioner.save(tmp_path)
    rewrite_header(path, decoder={"kind": "pooled"})
    with pytest.raises(CheckpointError, match="do not fit"):
        load(tmp_path)


def places(value: object, where: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where there is something in a header, from the whole sections down to single values."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield (*where, key)
            yield from places(part, (*where, key))


_SCALARS = st.none() | st.booleans() | st.sampled_from([-1, 0, 1, 3, 0.5]) | st.text(max_size=3)
_JSON = st.recursive(
    _SCALARS, lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=2), x, max_size=2)
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_header_of_anything_is_loaded_or_refused_in_a_line(
    data: st.DataObject, captioner: Captioner, tmp_path: Path
) -> None:
    path = captioner.save(tmp_path, with_encoder=True)
    header = read_model(str(tmp_path))[1]
    if data.draw(st.booleans(), label="as a hub folder"):
        (tmp_path / CONFIG).write_text(json.dumps(model_config(header)))
    *sections, key = data.draw(st.sampled_from(list(places(header))), label="where")
    section = header
    for name in sections:
        section = section[name]
    section[key] = data.draw(_JSON, label="what")
    rewrite_header(path, **header)
    refused = ""
    try:
        assert isinstance(load(tmp_path), Captioner)
    except ShowtellError as error:
        refused = str(error)
    assert "\n" not in refused
    (tmp_path / CONFIG).unlink(missing_ok=True)


@pytest.mark.parametrize("size", [10**12, 10**30])
def test_a_header_of_a_giant_is_refused(captioner: Captioner, tmp_path: Path, size: int) -> None:
    path = captioner.save(tmp_path)
    rewrite_header(path, decoder={"hidden_dim": size})
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged, its description"):
        load(tmp_path)


def test_no_model_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no model\.safetensors in this folder"):
        load(tmp_path)
    (tmp_path / MODEL).write_text("hello")
    with pytest.raises(CheckpointError, match="damaged, or not a model"):
        load(tmp_path)


def test_the_shipped_model_is_small_and_loads() -> None:
    model = Captioner.load(DEFAULT_MODEL, device=torch.device("cpu"))
    folder = MODELS / DEFAULT_MODEL
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 18 * 10**6
    assert not [key for key in read_model(str(folder))[2] if key.startswith("encoder.")]
    assert {"dog", "man", "table"} <= set(model.vocabulary.words)
    assert model.calibration is not None
    assert (folder / "README.md").exists()


def test_ensemble_of_the_same_model_says_what_it_says(
    captioner: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    captioner.save(tmp_path / "a")
    captioner.save(tmp_path / "b")
    one = load(tmp_path / "a")
    two = Captioner.load_ensemble([str(tmp_path / "a"), str(tmp_path / "b")], device=torch.device("cpu"))
    for model in (one, two):
        model.encoder.precision = "fp32"
    for single, double in zip(one.caption(photos), two.caption(photos), strict=True):
        assert [c.words for c in single] == [c.words for c in double]
        assert single[0].word_log_probs == pytest.approx(double[0].word_log_probs, abs=1e-4)
    with pytest.raises(ModelError, match="save its members"):
        two.save(tmp_path / "c")


def test_ensemble_of_models_that_do_not_fit_is_refused(
    captioner: Captioner, tiny_encoder: CNNEncoder, tmp_path: Path
) -> None:
    captioner.save(tmp_path / "a")
    vocabulary = build_vocab(["some other words here"], 1)
    decoder = make_decoder(
        DecoderConfig(embedding_dim=16, hidden_dim=16, attention_dim=16),
        vocab_size=len(vocabulary),
        feature_dim=tiny_encoder.feature_dim,
        grid_cells=tiny_encoder.grid_cells,
    )
    Captioner(tiny_encoder, decoder, vocabulary, "tiny").save(tmp_path / "b")
    with pytest.raises(CheckpointError, match="another vocabulary"):
        Captioner.load_ensemble([str(tmp_path / "a"), str(tmp_path / "b")])


def test_models_load_by_the_name_of_a_device(tiny_model: Path) -> None:
    assert Captioner.load(str(tiny_model), device="cpu").encoder.device == torch.device("cpu")
    assert Captioner.from_pretrained(tiny_model, device="cpu").encoder.device == torch.device("cpu")
    with pytest.raises(UsageError, match="device 'tpu'"):
        Captioner.load(str(tiny_model), device="tpu")


@pytest.mark.parametrize("in_training_mode", [False, True])
def test_captions_are_those_of_the_present_weights(captioner: Captioner, *, in_training_mode: bool) -> None:
    features = torch.randn(4, captioner.encoder.grid_cells, captioner.encoder.feature_dim)

    def log_probs(model: Captioner) -> list[tuple[float, ...]]:
        return [hypotheses[0].token_log_probs for hypotheses in model.generate(features, SearchConfig())]

    before = log_probs(captioner)
    captioner.train()
    # A fused step does not count up the versions of the weights.
    optimizer = torch.optim.AdamW(captioner.decoder.parameters(), lr=0.1, fused=True)
    for weight in captioner.decoder.parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    after = log_probs(captioner.train(in_training_mode))
    assert after != before
    assert captioner.decoder.training == in_training_mode, "the mode stays"
    fresh = make_captioner(captioner.encoder)
    fresh.decoder.load_state_dict(captioner.decoder.state_dict())
    torch.testing.assert_close(after, log_probs(fresh))


def test_a_member_of_an_ensemble_that_was_trained_alone_counts(captioner: Captioner) -> None:
    members = [make_captioner(captioner.encoder).decoder for _ in range(2)]
    captioner.decoder = EnsembleDecoder(members).eval()
    features = torch.randn(4, captioner.encoder.grid_cells, captioner.encoder.feature_dim)
    before = captioner.generate(features, SearchConfig())
    optimizer = torch.optim.AdamW(members[1].train().parameters(), lr=0.1, fused=True)
    for weight in members[1].parameters():
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    members[1].eval()
    after = captioner.generate(features, SearchConfig())
    assert [h[0].token_log_probs for h in after] != [h[0].token_log_probs for h in before]


def test_it_can_be_copied_and_pickled_after_it_has_captioned(tiny_model: Path, photos: list[Path]) -> None:
    captioner = Captioner.load(tiny_model, device="cpu")  # in bf16, if the processor multiplies it
    expected = captioner(photos[0])
    for again in (copy.deepcopy(captioner), pickle.loads(pickle.dumps(captioner))):
        assert again.encoder._folded is None
        assert again(photos[0]) == expected


def test_writes_through_data_count_after_a_switch_to_training(
    tiny_captioner: Captioner, photos: list[Path]
) -> None:
    captioner = copy.deepcopy(tiny_captioner)
    before = captioner(photos[0])
    for weight in captioner.decoder.parameters():
        weight.data.mul_(0.5)
    captioner.decoder.train().eval()
    assert captioner(photos[0]).word_log_probs != before.word_log_probs


def test_paths_are_names_and_an_empty_ensemble_is_refused(tiny_model: Path) -> None:
    assert Captioner.load(tiny_model, device="cpu").vocabulary
    assert Captioner.load_ensemble([tiny_model, str(tiny_model)], device="cpu").vocabulary
    with pytest.raises(UsageError, match="name one model or more"):
        Captioner.load_ensemble([])
