"""The known datasets: consistent, found by name, recognised by their files, and got from their addresses."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from showtell.data.annotations import load_annotations
from showtell.data.known.catalog import DATASETS, MULTI30K_SPLITS, KnownDataset, find_dataset, recognise
from showtell.data.known.prepare import get_dataset, prepare_folder, write_multi30k
from showtell.errors import DataError, UsageError
from tests.data.known.server import Site, serving


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_each_dataset_has_all_that_people_ask_for(dataset: KnownDataset) -> None:
    assert dataset.home.startswith("https://")
    assert dataset.licence
    assert dataset.size
    assert all(images <= captions for images, captions in dataset.photos.values())
    assert len({source.holds for source in dataset.sources}) == len(dataset.sources)
    for source in dataset.sources:
        assert source.url.startswith(("https://", "http://images.cocodataset.org/"))
        assert len(source.md5) in (0, 32)


@pytest.mark.parametrize(
    ("name", "hint"), [("flickr8", "'flickr8k'"), ("cocos", "'coco'"), ("textcap", "'textcaps'")]
)
def test_a_mistyped_name_is_corrected(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean {hint}"):
        find_dataset(name)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("data/x/annotations/captions_val2014.json", "coco2014"),
        ("Flickr8k_text/Flickr8k.token.txt", "flickr8k"),
        ("data/VizWiz/annotations/train.json", "vizwiz"),
        ("nocaps_val_4500_captions.json", "nocaps"),
        ("mine/annotations/train.json", None),
        ("captions.csv", None),
    ],
)
def test_a_folder_is_recognised_by_its_files(file: str, name: str | None) -> None:
    known = recognise([Path(file)])
    assert (known and known.name) == name


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
