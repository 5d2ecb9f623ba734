"""The hub's cache with a model in it."""

from __future__ import annotations

from pathlib import Path

import huggingface_hub.constants
import pytest

from showtell.captioning.captioner import Captioner
from showtell.exporting.hub_folder import write_hub_folder
from tests.commands.test_caption import save_model

MAIN, OLD = "a" * 40, "b" * 40


def put_in_cache(cache: Path, name: str, folder: Path, commit: str, *refs: str) -> None:
    """Lay a folder down as the hub's client does after a download."""
    repo = cache / f"models--{name.replace('/', '--')}"
    (repo / "snapshots" / commit).mkdir(parents=True)
    for path in folder.iterdir():
        (repo / "snapshots" / commit / path.name).write_bytes(path.read_bytes())
    (repo / "refs").mkdir(exist_ok=True)
    for ref in refs:
        (repo / "refs" / ref).write_text(commit)


@pytest.fixture
def cache(tmp_path: Path, hub_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, with anna/tiny in it: at `main`, and an older one of other words at the tag `v1`."""
    folder = tmp_path / "cache"
    put_in_cache(folder, "anna/tiny", hub_folder, MAIN, "main")
    older = Captioner.load(str(save_model(tmp_path / "older", seed=1)))
    write_hub_folder(older, tmp_path / "older", "tiny", tmp_path / "old-hub")
    put_in_cache(folder, "anna/tiny", tmp_path / "old-hub", OLD, "v1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder
