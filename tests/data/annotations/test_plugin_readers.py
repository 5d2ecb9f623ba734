"""Readers of plug-ins: the one of docs/plugins.md, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.errors import AnnotationError, PluginError
from tests.data.annotations.datasets import records, touch, write
from tests.plugin_package import documented, install, install_broken


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images with captions in the format of the documented reader, which is installed."""
    install(tmp_path / "site", documented(), monkeypatch)
    touch(tmp_path / "data", "a.jpg", "b.jpg")
    write(tmp_path / "data" / "captions.arrows", "a.jpg -> a cat runs\nb.jpg -> a dog runs")
    return tmp_path / "data"


@pytest.mark.parametrize("format_", ["arrows", "auto"])
def test_the_documented_reader(dataset: Path, format_: str) -> None:
    loaded = load_annotations(dataset, format=format_)
    assert loaded.format == "arrows"
    assert records(loaded) == [("a.jpg", "train", ("a cat runs",)), ("b.jpg", "train", ("a dog runs",))]


def test_records_of_a_reader_follow_the_rules_of_all_formats(dataset: Path) -> None:
    with (dataset / "captions.arrows").open("a") as file:
        file.write("\nlost.jpg -> a dog\na.jpg -> \nno arrow")
    with pytest.raises(AnnotationError, match=r"record 3: missing image file: .*lost\.jpg"):
        load_annotations(dataset, format="arrows")
    loaded = load_annotations(dataset, format="arrows", skip_bad=True)
    assert len(loaded.images) == 2
    assert loaded.skipped_by_reason["missing image file"] >= 1
    assert loaded.skipped_by_reason["empty caption"] >= 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (
            "raise ImportError('no such lib')",
            "plug-in odd of wrong .*ImportError: no such lib; fix or uninstall",
        ),
        ("class it:\n    def matches(root): return 1 / 0", "ZeroDivisionError"),
        (
            "class it:\n    def matches(root): return True\n    def read(root): yield 1 / 0",
            "ZeroDivisionError",
        ),
        ("it = None", "AttributeError"),
    ],
)
def test_readers_that_fail(source: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_broken(tmp_path / "site", "readers", source, monkeypatch)
    (tmp_path / "data").mkdir()
    with pytest.raises(PluginError, match=reason):
        load_annotations(tmp_path / "data")
