"""Attention maps: a file for each photo."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.errors import UsageError
from showtell.output import AttentionImages, Record


def record(images: AttentionImages, name: str = "dog.jpg", words: int = 3) -> Record:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)).save(stream, "JPEG")
    attention = np.full((words, 7, 7), 1 / 49, np.float32)
    candidates = tuple("abcdefghijklmnopqrst"[:words])
    return Record(
        name,
        (Caption(" ".join(candidates), candidates, (-0.5,) * (words + 1), attention),),
        preview=stream.getvalue(),
        attention_map=images.file_of(name),
    )


def test_images_in_a_folder_have_names_of_their_own(tmp_path: Path) -> None:
    folder = tmp_path / "made" / "looked"
    with AttentionImages(folder) as images:
        for name in ("a/dog.jpg", "b/dog.png", "Dog.jpg"):
            images.add(record(images, name))
        images.add(Record("bad.jpg", (), "the file is empty"))
    names = {path.name for path in folder.iterdir()}
    assert names == {"dog.attention.png", "dog-2.attention.png", "Dog-3.attention.png"}
    assert images.made(str(folder / "dog.attention.png"))
    assert not images.made(str(folder / "dog.png"))
    assert not images.made(str(tmp_path / "dog.attention.png"))


def test_a_single_image(tmp_path: Path) -> None:
    with AttentionImages(tmp_path / "made" / "look.PNG") as images:
        assert images.single
        images.add(record(images))
    with Image.open(tmp_path / "made" / "look.PNG") as image:
        assert image.format == "PNG"


def test_an_image_names_its_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    titles: list[str] = []
    monkeypatch.setattr(
        "showtell.output.attention_maps.plot_attention", lambda *_, title, **__: titles.append(title)
    )
    with AttentionImages(tmp_path / "maps") as images:
        images.add(record(images, "a/dog.jpg"))
        images.add(record(images, "b/dog\n.jpg"))
    assert titles == ["a/dog.jpg\na b c", "b/dog\\n.jpg\na b c"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file: this is no folder"):
        AttentionImages(tmp_path / "file")
    with pytest.raises(UsageError, match="cannot be written"), AttentionImages(tmp_path / "file" / "a.png"):
        pass


@pytest.mark.parametrize("name", ["maps.txt", "maps.jpg", "a/maps.HTML"])
def test_a_file_of_another_kind_is_no_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"attention maps are \.png files"):
        AttentionImages(tmp_path / name)
    (tmp_path / name).mkdir(parents=True)
    assert not AttentionImages(tmp_path / name).single


@pytest.mark.parametrize("name", ["maps", ".maps", "maps-0.5"])
def test_a_folder_need_not_be_there(name: str, tmp_path: Path) -> None:
    assert not AttentionImages(tmp_path / name).single


@given(st.lists(st.sampled_from(["a", "A", "a-2", "a-3", "b"]), max_size=12))
def test_no_two_photos_share_an_image(stems: list[str]) -> None:
    images = AttentionImages(Path("nowhere"))
    paths = [images.file_of(stem) for stem in stems]
    assert len({path.name.casefold() for path in paths}) == len(stems)
