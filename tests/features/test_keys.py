"""Keys of images: one a file and view, another once the file has changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from PIL import Image

from showtell.encoder.cnn import CNNEncoder
from showtell.errors import FeatureStoreError
from showtell.features.keys import KEY_BYTES, ImageKeys
from showtell.features.store import FeatureStore
from tests.conftest import make_tiny_encoder
from tests.features.rows import assert_rows_right, copy_photos, full

pytestmark = pytest.mark.usefixtures("several_batches")


def test_one_file_by_several_names_has_one_row(
    tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link.jpg"
    link.symlink_to(snippets[0])
    monkeypatch.chdir(snippets[0].parent)
    linked_folder = tmp_path / "photos"
    linked_folder.symlink_to(snippets[0].parent, target_is_directory=True)
    name = snippets[0].name
    around = snippets[0].parent / ".." / snippets[0].parent.name / name
    names = [snippets[0], link, Path(name), linked_folder / name, around, snippets[0]]
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.extract(full([*names, snippets[1]])).extracted == 2
    assert {store.row(name) for name in names} == {0}
    store.extract(full(snippets[:5]))
    assert (store.folder / "rows.bin").stat().st_size == 5 * store.row_bytes
    assert_rows_right(store, full([*names, *snippets[:5]]))


@pytest.mark.parametrize("same_object", [False, True])
def test_changed_file_gets_a_new_row(
    same_object: bool, tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]
) -> None:
    paths = copy_photos(snippets[:3], tmp_path / "photos")
    store = FeatureStore(tmp_path, tiny_encoder)
    store.extract(full(paths))
    shutil.copy(snippets[7], paths[1])
    status = paths[1].stat()
    os.utime(paths[1], ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    if not same_object:
        store = FeatureStore(tmp_path, make_tiny_encoder())
        with pytest.raises(FeatureStoreError):
            store.row(paths[1])
    assert store.extract(full(paths)).extracted == 1
    assert_rows_right(store, full(paths))
    assert [store.row(path) for path in paths] == [0, 3, 2]


def test_file_that_came_later(tmp_path: Path, tiny_encoder: CNNEncoder, snippets: list[Path]) -> None:
    late = tmp_path / "late.jpg"
    store = FeatureStore(tmp_path, tiny_encoder)
    assert store.missing(full([late])) == full([late])
    assert len(store.extract(full([late]), skip_bad=True).failed) == 1
    shutil.copy(snippets[0], late)
    store.extract(full([late]))
    assert_rows_right(FeatureStore(tmp_path, tiny_encoder), full([late]))


def test_photos_of_the_world(tmp_path: Path, tiny_encoder: CNNEncoder) -> None:
    """Names that are not UTF-8, and file names with spaces and accents."""
    names = ["a b é.jpg", "日本.png"] + ([os.fsdecode(b"caf\xe9.jpg")] if os.name == "posix" else [])
    for number, name in enumerate(names):
        Image.new("RGB", (9, 9), (number * 90, 10, 200)).save(tmp_path / name)
    store = FeatureStore(tmp_path / "cache", tiny_encoder)
    store.extract(full(tmp_path / name for name in names))
    assert_rows_right(store, full(tmp_path / name for name in names))


def test_a_key_is_of_path_size_time_and_view(tmp_path: Path) -> None:
    path, other = tmp_path / "a.jpg", tmp_path / "b.jpg"
    for file in (path, other):
        file.write_bytes(b"12")
        os.utime(file, ns=(0, 5))
    keys = ImageKeys()
    seen = {keys((path, "full")), keys((path, "flip")), keys((other, "full"))}
    for content, time in ((b"123", 5), (b"12", 6)):
        path.write_bytes(content)
        os.utime(path, ns=(0, time))
        assert keys((path, "full")) in seen, "remembered"
        keys.forget()
        seen.add(keys((path, "full")))
    assert {len(key) for key in seen} == {KEY_BYTES}
    assert len(seen) == 5
    path.write_bytes(b"12")
    os.utime(path, ns=(0, 5))
    assert ImageKeys()((path, "full")) in seen


def test_a_missing_file_has_a_key_that_is_not_remembered(tmp_path: Path) -> None:
    keys, path = ImageKeys(), tmp_path / "late.jpg"
    missing = keys((path, "full"))
    assert keys((path, "full")) == missing != keys((tmp_path / "other.jpg", "full"))
    path.write_bytes(b"12")
    assert keys((path, "full")) == ImageKeys()((path, "full")) != missing
