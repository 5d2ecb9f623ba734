"""Backbones by the name of their weights: constants, fingerprints, and folders that cannot be loaded."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import ResNetForImageClassification

from showtell.data.preprocess import normalize
from showtell.data.transforms import ImageTransform
from showtell.encoder.cnn import CNNEncoder
from showtell.encoder.pretrained import find_encoder, load_backbone
from showtell.encoder.resnet import ResNetSettings, empty_resnet
from showtell.errors import EncoderError
from showtell.utils.shipped import MODELS
from tests.conftest import make_tiny_backbone, make_tiny_encoder, save_backbone
from tests.encoder.folders import PREPROCESSOR, as_transformers, load, save_folder

DEFAULT = MODELS / "resnet50-imagenet"


def test_default_constants_are_the_preprocessors(resnet50: CNNEncoder) -> None:
    says = json.loads((DEFAULT / "preprocessor_config.json").read_text())
    assert resnet50.transform.mean == pytest.approx(says["image_mean"])
    assert resnet50.transform.std == pytest.approx(says["image_std"])


def test_constants_come_from_the_folder(folder: Path) -> None:
    assert load(folder).transform == ImageTransform(64, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    "says", [{"do_rescale": False}, {"rescale_factor": 1 / 127.5}, {"rescale_factor": 1 / 255}]
)
def test_constants_in_other_units(folder: Path, says: dict[str, object], tiny_encoder: CNNEncoder) -> None:
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR | says))
    scale = says.get("rescale_factor", 1.0)
    pixels = torch.randint(0, 255, (1, 64, 64, 3), dtype=torch.uint8)
    expected = (pixels * scale - torch.tensor([0.5, 0.4, 0.3])) / torch.tensor([0.2, 0.3, 0.4])
    transform = load(folder).transform
    normalized = normalize(pixels, transform.mean, transform.std)
    torch.testing.assert_close(normalized, expected.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-4)


def test_fingerprint_is_the_same_by_any_way_of_loading(folder: Path, tmp_path: Path) -> None:
    expected = load(folder).fingerprint()
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    theirs = as_transformers(make_tiny_backbone())
    classifier = ResNetForImageClassification(theirs.config)
    classifier.resnet.load_state_dict(theirs.state_dict())
    pickled = save_backbone(tmp_path / "pickled", make_tiny_backbone())
    (pickled / "model.safetensors").unlink()
    torch.save(theirs.state_dict(), pickled / "pytorch_model.bin")
    assert load(pickled).fingerprint() == expected
    as_classifier = save_folder(tmp_path / "classifier", classifier)
    assert load(moved).fingerprint() == expected
    assert load(as_classifier).fingerprint() == expected
    assert make_tiny_encoder().fingerprint() == expected
    settings = ResNetSettings.from_config(make_tiny_backbone().settings.to_json())
    rebuilt = CNNEncoder(empty_resnet(settings), make_tiny_encoder().transform, "fp32")
    rebuilt.load_state_dict(make_tiny_encoder().state_dict(), assign=True)
    assert rebuilt.fingerprint() == expected


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def truncated(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def garbage(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"\xff" * 1000)


def another_model(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": ')


def list_config(folder: Path) -> None:
    (folder / "config.json").write_text("[]")


def reconfigured(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def without_preprocessor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def preprocessor_without_mean(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text("{}")


def grey_preprocessor(folder: Path) -> None:
    (folder / "preprocessor_config.json").write_text('{"image_mean": [0.5], "image_std": [0.5]}')


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (shutil.rmtree, "no encoder weights"),
    (without_weights, "model.safetensors"),
    (truncated, "no encoder weights there .*incomplete"),
    (garbage, "no encoder weights there .*header"),
    (another_model, "'bert' model, which has no grid"),
    (broken_config, "JSON"),
    (list_config, "no encoder weights"),
    (reconfigured(hidden_sizes=[16, 32, 64, 256]), "of another size than its configuration says"),
    (reconfigured(depths=[1, 1, 1, 2]), "weights are missing"),
    (without_preprocessor, "preprocessor_config.json"),
    (preprocessor_without_mean, "no image_mean"),
    (grey_preprocessor, "no image_mean"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=[getattr(d, "__name__", "") for d, _ in DAMAGES])
def test_damaged_folder(folder: Path, damage: Callable[[Path], None], reason: str) -> None:
    damage(folder)
    with pytest.raises(EncoderError, match=reason) as caught:
        load(folder)
    assert str(caught.value).startswith(str(folder))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["nobody/nothing", "no-such-model", "a b c!", "x" * 5000, "../no/such/folder"]
)
def test_name_of_nothing(name: str) -> None:
    with pytest.raises(EncoderError, match="give a folder in models/") as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_a_model_s_file_names_an_encoder_of_this_machine_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No hub id, no address of another machine, and no pickled file: a file may come from a stranger."""
    monkeypatch.chdir(folder.parent)
    (folder.parent / "resnet.pth").write_bytes(b"pickled")
    assert find_encoder("resnet50-imagenet") == DEFAULT
    assert find_encoder(str(folder)) == folder
    assert find_encoder("tiny") == Path("tiny")
    for name in ("", " ", "microsoft/resnet-50", "//host/share", "\\\\host\\share", "resnet.pth", "gone", 5):
        assert find_encoder(name) is None, name  # type: ignore[arg-type]


def test_a_hub_id_is_read_from_the_hub_s_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def download(name: str, file: str) -> str:
        asked.append((name, file))
        return str(folder / file)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    network, mean, std = load_backbone("anna/tiny")
    assert {file for name, file in asked if name == "anna/tiny"} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert (mean, std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    expected = make_tiny_backbone().state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
