"""The hub folder: what is in it, whose it is, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub_metadata import CONFIG
from showtell.errors import ShowtellError, UsageError
from showtell.exporting.hub_folder import check_hub_target, write_hub_folder


def test_it_is_the_whole_model(hub_folder: Path, tiny_captioner: Captioner, photos: list[Path]) -> None:
    again = Captioner.from_pretrained(hub_folder, device="cpu")
    again.encoder.precision = "fp32"
    assert again.caption(photos) == tiny_captioner.caption(photos)
    stored, state = load_file(hub_folder / "model.safetensors"), tiny_captioner.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name].float(), state[name].float()) for name in state)


def test_licences_of_a_hub_folder_go_along(
    hub_folder: Path, tmp_path: Path, tiny_captioner: Captioner
) -> None:
    source = tmp_path / "downloaded"
    source.mkdir()
    for name in ("LICENSE", "LICENSE-encoder"):
        (source / name).write_text(f"{name} of another")
    write_hub_folder(tiny_captioner, source, "again", tmp_path / "again")
    for name in ("LICENSE", "LICENSE-encoder"):
        assert (tmp_path / "again" / name).read_text() == f"{name} of another"
        assert f"]({name})" in (tmp_path / "again" / "README.md").read_text()


def test_nothing_is_overwritten(
    hub_folder: Path, tmp_path: Path, tiny_captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        write_hub_folder(tiny_captioner, hub_folder, "tiny", hub_folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_hub_target(tmp_path / "file")
    with pytest.raises(ShowtellError, match="cannot be written"):
        write_hub_folder(tiny_captioner, hub_folder, "tiny", tmp_path / "file" / "x")
    (tmp_path / "empty").mkdir()
    check_hub_target(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="you are in"):
        check_hub_target(Path())
    monkeypatch.chdir(tmp_path)
    write_hub_folder(tiny_captioner, hub_folder, "tiny", Path("empty"))
    assert (tmp_path / "empty" / CONFIG).is_file()
