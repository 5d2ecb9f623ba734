"""--image-size, in every command that takes photos to a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from showtell.runtime.manifest import Manifest
from tests.commands.test_scale import lines

OTHER = "128"


def captions(capsys: pytest.CaptureFixture[str], *arguments: object) -> list[str]:
    capsys.readouterr()
    assert main(["caption", *map(str, arguments)]) == 0
    return capsys.readouterr().out.splitlines()


def test_caption(tiny_model: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    plain = captions(capsys, *photos, "--model", tiny_model)
    assert captions(capsys, *photos, "--model", tiny_model, "--image-size", "64") == plain
    model = Captioner.load(str(tiny_model), device=torch.device("cpu"), image_size=int(OTHER))
    expected = [f"{photo}: {model.caption([photo])[0][0].text}" for photo in photos]
    assert captions(capsys, *photos, "--model", tiny_model, "--image-size", OTHER) == expected != plain


def test_attention_maps_are_drawn(
    tiny_model: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "attention"
    captions(
        capsys, *photos[:2], "--model", tiny_model, "--image-size", OTHER, "--attention", folder,
        "--max-length", 3, "--output", tmp_path / "out.html",
    )  # fmt: skip
    assert len(list(folder.glob("*.png"))) == 2


@pytest.mark.slow
def test_export_and_the_exported_model(
    tiny_model: Path,
    exported: Path,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["export", "--model", str(tiny_model), "--image-size", OTHER]) == 0
    out = Path("exported", f"{tiny_model.name}-{OTHER}-fp32")
    assert Manifest.load(out).transform.size == int(OTHER)
    plain = captions(capsys, *photos, "--model", exported)
    sized = captions(capsys, *photos, "--model", exported, "--image-size", OTHER)
    assert captions(capsys, *photos, "--model", out) == sized
    assert captions(capsys, *photos, "--model", out, "--image-size", "64") == plain
    example = (out / "README.md").read_text()
    assert f"{OTHER} x {OTHER}" in example


def test_a_hub_folder_of_another_size(
    tiny_model: Path, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub = tmp_path / "hub"
    arguments = ["--model", str(tiny_model), "--to-hub-folder", str(hub), "--image-size", OTHER]
    assert main(["export", *arguments]) == 0
    assert json.loads((hub / "config.json").read_text())["image_size"] == int(OTHER)
    expected = captions(capsys, *photos, "--model", tiny_model, "--image-size", OTHER)
    assert captions(capsys, *photos, "--model", hub) == expected


def test_scale(
    tiny_model: Path, snippets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = [str(path) for path in snippets[:6]], tmp_path / "out"
    sized = ["--model", str(tiny_model), "--image-size", OTHER]
    expected = captions(capsys, *photos, *sized)
    command = ["scale", "caption", *photos, "--out", str(out)]
    assert main([*command, *sized]) == 0
    assert [f"{row['image']}: {row['caption']}" for row in lines(out)] == expected
    assert main([*command, "--model", str(tiny_model)]) == 2
    assert "other settings (image_size)" in capsys.readouterr().err


def test_scores_of_two_sizes_stand_beside_each_other(
    tiny_model: Path, snippets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{path},a dog in the grass,val\n" for path in snippets[:6])
    (tmp_path / "data.csv").write_text(f"image,caption,split\n{rows}")
    data = ["--data", str(tmp_path / "data.csv"), "--out", str(tmp_path / "out"), "--java", "false"]
    for size in ([], ["--image-size", OTHER]):
        assert main(["evaluate", "--model", str(tiny_model), *data, *size]) == 0
    assert f"{tiny_model}@{OTHER} on 6 images" in capsys.readouterr().out
    cards = [json.loads(path.read_text()) for path in sorted((tmp_path / "out").glob("*.json"))]
    assert {card["model"] for card in cards} == {str(tiny_model), f"{tiny_model}@{OTHER}"}
    assert main(["report", "--model", str(tiny_model), *data, "--image-size", OTHER]) == 0
    (page,) = (tmp_path / "out").glob("*.html")
    assert page.name.endswith(f"-{OTHER}.html")


@pytest.mark.parametrize(
    ("command", "size"),
    [
        *[(command, "32") for command in ("caption", "alt", "report", "scale")],
        *[(command, "2000") for command in ("caption", "serve", "evaluate", "export")],
    ],
)
def test_sizes_out_of_range_are_refused_in_a_line(
    command: str, size: str, tiny_model: Path, photos: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    photo = str(photos[0])
    (tmp_path / "data.csv").write_text(f"image,caption,split\n{photo},a dog,val\n")
    (tmp_path / "page.html").write_text(f'<img src="{photo}">')
    arguments = {
        "caption": ["caption", photo],
        "serve": ["serve", "--port", "0"],
        "alt": ["alt", str(tmp_path / "page.html"), "--root", "/"],
        "evaluate": ["evaluate", "--data", str(tmp_path / "data.csv")],
        "report": ["report", "--data", str(tmp_path / "data.csv")],
        "export": ["export"],
        "scale": ["scale", "caption", photo, "--out", str(tmp_path / "out")],
    }[command]
    assert main([*arguments, "--model", str(tiny_model), "--image-size", size]) == 2
    error = capsys.readouterr().err
    assert error == f"error: image size {size}: choose 64 to 1024 pixels\n"
    assert not (tmp_path / "out").exists()


def test_predictions_have_no_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.json").write_text("[]")
    assert main(["evaluate", "--predictions", str(tmp_path / "mine.json"), "--image-size", "224"]) == 2
    assert "image_size is for models" in capsys.readouterr().err
