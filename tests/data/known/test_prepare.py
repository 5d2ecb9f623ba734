"""Datasets are downloaded, unpacked and converted; what is there is not asked for again."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.annotations import load_annotations
from showtell.data.known.catalog import MULTI30K_SPLITS, KnownDataset, Source, find_dataset
from showtell.data.known.prepare import get_dataset, is_there, prepare_folder, write_multi30k
from showtell.errors import DataError, UsageError
from tests.data.known.server import Site, serving


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


ANNOTATIONS = {
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [{"id": i, "image_id": i, "caption": "a dog"} for i in (1, 2)],
}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as site:
        yield site


def like_coco(site: Site) -> KnownDataset:
    """COCO, with two photos, from another server."""
    content = json.dumps(ANNOTATIONS).encode()
    site.files["/annotations.zip"] = zipped({"annotations/captions_train2017.json": content})
    site.files["/train2017.zip"] = zipped({"train2017/a.jpg": b"a", "train2017/b.jpg": b"b"})
    annotations, photos, _ = find_dataset("coco").sources
    sources = (
        replace(annotations, url=f"{site.address}/annotations.zip", size=0, md5=""),
        replace(photos, url=f"{site.address}/train2017.zip", size=0, md5="", count=2),
    )
    return replace(find_dataset("coco"), sources=sources)


def test_a_dataset_is_downloaded_unpacked_and_read(site: Site, tmp_path: Path) -> None:
    dataset = like_coco(site)
    get_dataset(dataset, tmp_path / "coco")
    assert len(load_annotations(tmp_path / "coco").images) == 2
    assert not list((tmp_path / "coco").glob("*.zip"))
    asked = len(site.asked)
    get_dataset(dataset, tmp_path / "coco")
    assert len(site.asked) == asked  # nothing is asked for again


def test_archives_of_ones_own_are_kept(site: Site, tmp_path: Path) -> None:
    dataset = like_coco(site)
    (tmp_path / "train2017.zip").write_bytes(site.files.pop("/train2017.zip"))
    get_dataset(dataset, tmp_path)
    assert (tmp_path / "train2017.zip").exists()
    assert len(load_annotations(tmp_path).images) == 2


def test_photos_that_a_file_lists_are_downloaded_one_by_one(site: Site, tmp_path: Path) -> None:
    site.files |= {"/a.jpg": b"a", "/b.jpg": b"b"}
    names = ("a.jpg", "b.jpg", "gone.jpg", "../evil.jpg")
    images = [{"id": i, "file_name": n, "coco_url": f"{site.address}/{n}"} for i, n in enumerate(names)]
    site.files["/nocaps_val_4500_captions.json"] = json.dumps({"images": images, "annotations": []}).encode()
    nocaps = find_dataset("nocaps")
    url = f"{site.address}/nocaps_val_4500_captions.json"
    get_dataset(replace(nocaps, sources=(replace(nocaps.sources[0], url=url),)), tmp_path)
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == ["a.jpg", "b.jpg"]
    assert not (tmp_path / "evil.jpg").exists()


@pytest.mark.parametrize("content", [b'{"images": [', b"[]", b'{"images": {}}', b"", b"\xff\xfe{\0}\0"])
def test_a_damaged_list_of_photos_is_refused(site: Site, tmp_path: Path, content: bytes) -> None:
    site.files["/nocaps_val_4500_captions.json"] = content
    nocaps = find_dataset("nocaps")
    source = replace(nocaps.sources[0], url=f"{site.address}/nocaps_val_4500_captions.json", size=0, md5="")
    with pytest.raises(
        DataError, match=r"nocaps_val_4500_captions\.json: (broken|wrong|not UTF-8|the file is empty)"
    ):
        get_dataset(replace(nocaps, sources=(source,)), tmp_path)


def test_records_that_are_no_objects_are_left_out(site: Site, tmp_path: Path) -> None:
    site.files["/nocaps_val_4500_captions.json"] = b'{"images": [3, null, "a.jpg"]}'
    nocaps = find_dataset("nocaps")
    source = replace(nocaps.sources[0], url=f"{site.address}/nocaps_val_4500_captions.json", size=0, md5="")
    get_dataset(replace(nocaps, sources=(source,)), tmp_path)
    assert not (tmp_path / "images").exists()


def multi30k(folder: Path, language: str = "de") -> None:
    (folder / "flickr30k-images").mkdir(parents=True)
    for number, part in enumerate(MULTI30K_SPLITS):
        (folder / "flickr30k-images" / f"{number}.jpg").touch()
        (folder / f"{part}.txt").write_text(f"{number}.jpg\n")
        (folder / f"{part}.{language}.gz").write_bytes(gzip.compress(b'Ein Hund, "ja".\n'))


def test_multi30k_becomes_a_table(tmp_path: Path) -> None:
    multi30k(tmp_path)
    write_multi30k(tmp_path, "de")
    images = load_annotations(tmp_path).images
    assert [image.split for image in images] == ["train", "val", "test"]
    assert {image.captions for image in images} == {('Ein Hund, "ja".',)}


def test_multi30k_whose_lines_do_not_match_is_refused(tmp_path: Path) -> None:
    multi30k(tmp_path, "fr")
    (tmp_path / "val.txt").write_text("1.jpg\n2.jpg\n")
    with pytest.raises(DataError, match=r"2 photos in val\.txt, but 1 captions in val\.fr\.gz"):
        write_multi30k(tmp_path, "fr")
    with pytest.raises(DataError, match=r"train\.cs\.gz: cannot be read"):
        write_multi30k(tmp_path, "cs")


@settings(max_examples=30, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_damaged_captions_of_multi30k_are_refused(place: float, mask: int) -> None:
    with TemporaryDirectory() as folder:
        multi30k(Path(folder))
        file = Path(folder, "train.de.gz")
        content = bytearray(file.read_bytes())
        content[int(len(content) * place)] ^= mask
        file.write_bytes(content)
        with suppress(DataError):  # some changes do no harm
            write_multi30k(Path(folder), "de")


def test_archives_that_were_put_there_are_prepared_offline(site: Site, tmp_path: Path) -> None:
    dataset = like_coco(site)
    for name, content in site.files.items():
        (tmp_path / name[1:]).write_bytes(content)
    assert prepare_folder(dataset, tmp_path) == 2
    assert prepare_folder(dataset, tmp_path) == 0
    assert prepare_folder(None, tmp_path) == 2
    assert site.asked == []
    with pytest.raises(UsageError, match="no such folder"):
        prepare_folder(None, tmp_path / "none")


@pytest.mark.parametrize(
    ("source", "there"),
    [
        (Source("https://x/a.zip", "captions.json"), True),
        (Source("https://x/a.zip", "none.json"), False),
        (Source("https://x/a.zip", "photos", count=2), True),
        (Source("https://x/a.zip", "photos", count=3), False),  # unpacking was interrupted
        (Source("https://x/a.zip", "none", count=2), False),
    ],
)
def test_what_a_source_gives_is_there_or_not(source: Source, there: bool, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("captions.json", "photos/a.jpg", "photos/b.JPG", "photos/._b.jpg", "photos/list.txt"):
        (tmp_path / name).touch()
    assert is_there(source, tmp_path) is there
