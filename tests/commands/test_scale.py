"""showtell scale: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from showtell.cli import main
from showtell.scale.feature_shards import ShardedFeatures
from tests.conftest import make_tiny_backbone, save_backbone


def lines(folder: Path) -> list[dict[str, object]]:
    return [
        json.loads(line)
        for shard in sorted(folder.glob("captions-*.jsonl"))
        for line in shard.read_text().splitlines()
    ]


def test_captions_are_those_of_showtell_caption(
    tiny_model: Path, snippets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, out = str(snippets[0].parent), tmp_path / "out"
    search = ["--model", str(tiny_model), "--beam-size", "2", "--max-length", "6", "--num-captions", "2"]
    assert main(["caption", photos, "--output", str(tmp_path / "one.jsonl"), *search]) == 0
    capsys.readouterr()
    command = ["scale", "caption", photos, "--out", str(out), "--unit-size", "15", *search]
    assert main(command) == 0
    shown = capsys.readouterr()
    assert "40 photos; 40 in " in shown.err
    assert f"{out}: 3 shards of captions" in shown.err
    expected = [json.loads(line) for line in (tmp_path / "one.jsonl").read_text().splitlines()]
    rows = lines(out)
    assert [row["image"] for row in rows] == [row["image"] for row in expected]
    assert [row.keys() for row in rows] == [row.keys() for row in expected]
    assert main(command) == 0
    assert "40 were there already; 0 in " in capsys.readouterr().err
    assert main([*command, "--beam-size", "3"]) == 2
    assert "other settings (search)" in capsys.readouterr().err


def test_features(snippets: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    encoder = save_backbone(tmp_path / "encoder", make_tiny_backbone())
    arguments = [f"--encoder.weights={encoder}", "--encoder.image_size=64", "--encoder.precision=fp32"]
    command = ["scale", "extract", *map(str, snippets[:3]), *arguments, "--cache.dtype", "int8"]
    assert main([*command, "--out", str(tmp_path / "out")]) == 0
    assert "1 shards of features" in capsys.readouterr().err
    features = ShardedFeatures(tmp_path / "out")
    assert features[str(snippets[0])].shape == (4, 128)
    assert not np.array_equal(features[str(snippets[0])], features[str(snippets[1])])


def test_nothing_but_failures_is_exit_code_1(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    out = tmp_path / "out"
    command = ["scale", "caption", str(tmp_path / "a.jpg"), "--model", str(tiny_model), "--out", str(out)]
    assert main(command) == 1
    assert f"{out / 'failed.jsonl'}: the photos that failed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["a.jpg", "--workers", "-1"], "--workers must be at least 0"),
        (["a.jpg", "--unit-size", "0"], "--unit-size must be at least 1"),
        (["a.jpg", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["a.jpg", "--address", "auto"], "with --workers"),
        (["a.jpg", "--beam-size", "0"], "--beam-size must be at least 1"),
        (["no/such/*.jpg"], "no file matches"),
        (["a.jpg", "--out", "a.jpg/none"], "it cannot be written"),
    ],
)
def test_misuse_is_a_line(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").write_bytes(b"")
    assert main(["scale", "caption", "--out", "out", *arguments]) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert len(error.strip().splitlines()) == 1


@pytest.mark.parametrize("command", [["scale"], ["scale", "caption"], ["scale", "extract"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*command, "--help"])
    assert stop.value.code == 0
    assert "extract" in capsys.readouterr().out or command[1:]
