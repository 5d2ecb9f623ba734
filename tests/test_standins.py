"""The stand-ins of COCO's size: they are read as COCO is, and have its counts."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from showtell.config import DataConfig
from showtell.data.prepare import prepare_data

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def standins(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("standins")


def test_the_official_layout(standins: ModuleType, tmp_path: Path) -> None:
    assert sum(standins.CAPTIONS.values()) == 616_767
    sizes = standins.make_standins(tmp_path, 0.002)
    assert sizes == {"train": (237, 1184), "val": (10, 50)}
    data = prepare_data(DataConfig(root=str(tmp_path), test_fraction=0.0), tmp_path / "cache")
    assert not data.skipped
    for split, images in (("train", data.train), ("val", data.val)):
        assert (len(images), sum(len(image.captions) for image in images)) == sizes[split]
        assert {image.path.parent.name for image in images} == {f"{split}2017"}
        assert all(len(image.path.stem) == 12 and image.path.stem.isdigit() for image in images)
        assert Counter(len(image.captions) for image in images).keys() <= {4, 5, 6}
    lengths = [len(caption.split()) for image in data.images for caption in image.captions]
    assert 9.5 < sum(lengths) / len(lengths) < 11.5
