"""showtell export, and what --runtime does."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from showtell.captioning.base import CaptioningModel
from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.config import CacheConfig, Runtime
from showtell.data.decode_ahead import Decoded
from showtell.errors import UsageError
from showtell.exporting import run
from showtell.exporting.folder import export_model
from showtell.exporting.run import decode_photos, model_name
from showtell.features.extraction import feature_encoder
from showtell.runtime.exported import ExportedCaptioner
from showtell.utils.shipped import DEFAULT_MODEL
from tests.conftest import make_tiny_encoder


def test_a_model_is_exported_and_captions(
    tiny_model: Path,
    exported: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With an export of the same model that is there: making another takes ten seconds."""
    calls = []

    def copy(captioner: Captioner, name: str, folder: Path, precision: str, pixels: list[Any]) -> None:
        calls.append((name, precision, len(pixels)))
        shutil.copytree(exported, folder)

    monkeypatch.setattr("showtell.exporting.folder.export_model", copy)
    out = tmp_path / "out"
    assert main(["export", "--model", str(tiny_model), "--out", str(out), "--photos", *map(str, photos)]) == 0
    assert calls == [(tiny_model.name, "fp32", 4)]
    shown = capsys.readouterr().out
    assert f"{out}: fp32" in shown
    assert "of 4 captions by openvino are those of PyTorch" in shown
    for runtime in ("auto", "onnx", "openvino"):
        assert main(["caption", str(photos[0]), "--model", str(out), "--runtime", runtime]) == 0
        assert capsys.readouterr().out.startswith(f"{photos[0]}: ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["export", "--precision", "int8"], "name 20 or more"),
        (["export", "--precision", "int4"], "int4"),
        (["caption", "--runtime", "onnx", "PHOTO"], f"showtell export --model {DEFAULT_MODEL}"),
        (["caption", "--runtime", "tpu", "PHOTO"], "tpu"),
    ],
)
def test_misuse_gets_one_line(
    arguments: list[str], reason: str, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(photos[0]) if argument == "PHOTO" else argument for argument in arguments]
    try:
        code = main(given)
    except SystemExit as stopped:  # the parser's own
        code = int(stopped.code or 0)
    assert code == 2
    assert reason in capsys.readouterr().err


def test_int8_needs_photos_that_can_be_shown(
    tiny_model: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["export", "--model", str(tiny_model), "--precision", "int8", "--out", str(tmp_path / "out")]
    assert main([*arguments, "--photos", *map(str, photos)]) == 2
    assert "4 of them can be decoded; int8 is calibrated on 20 or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_exported_model_is_no_model_of_pytorch(
    exported: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(exported)
    for command, reason in (
        (["caption", str(photos[0]), "--model", out, "--runtime", "torch"], "is an exported model"),
        (["caption", str(photos[0]), "--model", out, "--encoder", "x"], "has no effect"),
        (["export", "--model", out], "exported model already"),
    ):
        assert main(command) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "name"),
    [("everyday", "everyday"), ("runs/a,runs/b/", "a+b"), ("runs/c/model.safetensors", "c")],
)
def test_the_folder_is_named_after_the_model(
    model: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs/c").mkdir(parents=True)
    (tmp_path / "runs/c/model.safetensors").write_text("")
    assert model_name(model) == name


def test_photos_are_taken_from_all_parts(tiny_captioner: Captioner, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[str] = []

    def decode(names: list[str], _: object) -> Iterator[Decoded[str, Any]]:
        taken.extend(names)
        return iter(())

    monkeypatch.setattr(run, "decode_ahead", decode)
    names = [f"{number}" for number in range(399)]
    decode_photos(tiny_captioner, names)
    assert len(taken) == len(set(taken)) == 200
    assert taken[-1] in names[-3:]


def test_exported_models_cannot_be_combined(
    exported: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["caption", str(photos[0]), "--model", f"{DEFAULT_MODEL},{exported}"]) == 2
    assert "cannot be combined" in capsys.readouterr().err


# ---- other image sizes

TRAINED, OTHER = 64, 128  # of `tiny_model`


def load(folder: Path, image_size: int) -> Captioner:
    captioner = Captioner.load(str(folder), device="cpu", image_size=image_size)
    captioner.encoder.precision = "fp32"
    return captioner


def texts(model: CaptioningModel, photos: list[Path]) -> list[str]:
    return [captions[0].text for captions in model.caption(photos)]


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_an_exported_model_takes_another_size(
    runtime: Runtime, exported: Path, tiny_model: Path, snippets: list[Path]
) -> None:
    sized, own = ExportedCaptioner(exported, runtime, OTHER), ExportedCaptioner(exported, runtime)
    assert sized.transform.size == sized.encoder.transform.size == OTHER
    assert texts(sized, snippets[:12]) == texts(load(tiny_model, OTHER), snippets[:12])
    assert texts(sized, snippets[:12]) != texts(own, snippets[:12])
    assert sized.fingerprint() != own.fingerprint()
    assert ExportedCaptioner(exported, runtime, TRAINED).fingerprint() == own.fingerprint()
    with pytest.raises(UsageError, match="64 to 1024"):
        ExportedCaptioner(exported, runtime, 63)


@pytest.mark.slow
def test_an_export_at_another_size_is_for_that_size(
    tiny_model: Path, snippets: list[Path], tmp_path: Path
) -> None:
    model = load(tiny_model, 96)
    manifest = export_model(model, "tiny", tmp_path / "out")
    assert (manifest.transform.size, manifest.grid_cells) == (96, 4)
    again = ExportedCaptioner(tmp_path / "out", "onnx")
    assert texts(again, snippets[:12]) == texts(model, snippets[:12])
    config = CacheConfig(exported=str(tmp_path / "out"))
    assert feature_encoder(config, model.encoder).grid_cells == 4
    with pytest.raises(UsageError, match="another image size"):  # of 3 x 3 cells
        feature_encoder(config, make_tiny_encoder(size=96))
