"""config.json and preprocessor_config.json: they describe the model, and may not contradict it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image
from transformers import AutoImageProcessor

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub_metadata import CONFIG, PREPROCESSOR
from showtell.errors import CheckpointError


def test_config_json_describes_the_model(hub_folder: Path, tiny_captioner: Captioner) -> None:
    config = json.loads((hub_folder / CONFIG).read_text())
    assert config["model_type"] == "showtell"
    assert (config["decoder"]["hidden_dim"], config["vocab_size"]) == (32, len(tiny_captioner.vocabulary))
    assert tiny_captioner.vocabulary.word(config["eos_token_id"]) == "<end>"
    assert config["encoder"]["hidden_sizes"] == [16, 32, 64, 128]


def test_transformers_prepares_a_square_as_we_do(hub_folder: Path, tiny_captioner: Captioner) -> None:
    photo = Image.fromarray(skimage.data.astronaut()).resize((150, 150))  # larger ones we reduce first
    processor = AutoImageProcessor.from_pretrained(hub_folder)
    theirs = processor(photo, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    transform = tiny_captioner.transform
    ours = (transform.pixels(photo) / 255 - transform.mean) / transform.std
    assert ours.shape == theirs.shape == (64, 64, 3)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        (CONFIG, {"vocab_size": 5}, "vocab_size is 5"),
        (CONFIG, {"decoder": {"hidden_dim": 64}}, "decoder.hidden_dim is 64, but 32"),
        (CONFIG, {"encoder": 3}, "encoder is 3"),
        (PREPROCESSOR, {"image_mean": [0.5, 0.5, 0.5]}, "image_mean is"),
        (PREPROCESSOR, {"size": {"height": 64, "width": 96}}, "size.width is 96, but 64"),
    ],
)
def test_a_description_that_contradicts_the_weights_is_refused(
    file: str, change: dict[str, object], name: str, hub_folder: Path, tmp_path: Path
) -> None:
    for path in hub_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Captioner.from_pretrained(tmp_path, device="cpu")
    values = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match=name):
        Captioner.from_pretrained(tmp_path)
    for damaged in ("{", '{"a":' * 200_000, "[]", "\xff"):
        (tmp_path / file).write_text(damaged, encoding="latin-1")
        with pytest.raises(CheckpointError, match=f"{file}: damaged"):
            Captioner.from_pretrained(tmp_path)
    (tmp_path / file).unlink()
    assert Captioner.from_pretrained(tmp_path, device="cpu")  # the weights are enough


def test_a_long_value_is_shown_shortened(hub_folder: Path, tmp_path: Path) -> None:
    for path in hub_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(values | {"vocab_size": ["words"] * 10_000}))
    with pytest.raises(CheckpointError, match=r'vocab_size is \["words".*\.\.\., but \d+ in') as caught:
        Captioner.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))
