"""Scenes as a folder: the same for a seed, whole after a kill, and never over another dataset."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.data.annotations import load_annotations
from showtell.data.scenes import draw_scene, judge_caption, make_scenes, read_scenes
from showtell.data.scenes import folder as module
from showtell.errors import AnnotationError, UsageError


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file."""
    files = (file for file in folder.rglob("*") if file.is_file())
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in files
        if file.name != ".scenes.lock"
    }


def contents(folder: Path) -> dict[str, bytes]:
    return {name: content for name, (content, _) in snapshot(folder).items()}


def test_same_seed_same_bytes_and_other_seed_other_scenes(tmp_path: Path) -> None:
    random.seed(3)
    one = make_scenes(tmp_path / "one", 6, seed=7)
    random.seed(4)
    again = make_scenes(tmp_path / "again", 6, seed=7)
    other = make_scenes(tmp_path / "other", 6, seed=8)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert [image.captions for image in one] == [image.captions for image in again]
    assert all(a.captions != b.captions for a, b in zip(one, other, strict=True))


def test_the_captions_of_seed_0_are_those_that_were_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If this fails, what a seed makes has changed: raise GENERATOR_VERSION and the hash with it."""
    monkeypatch.setattr(module, "draw_scene", lambda *_: Image.new("RGB", (1, 1)))
    make_scenes(tmp_path, 50)
    digest = hashlib.sha256((tmp_path / "captions.jsonl").read_bytes()).hexdigest()
    assert (module.GENERATOR_VERSION, digest[:16]) == (1, "77c7319374222b1f")


def test_the_images_of_seed_0_are_those_that_were_published(tmp_path: Path) -> None:
    """As above, for the images: mean colours of quarters, as another Pillow may differ by a pixel."""
    (image, *_) = make_scenes(tmp_path, 1)
    with Image.open(image.path) as drawn:
        quarters = np.asarray(drawn.resize((2, 2), Image.Resampling.BOX), dtype=int).ravel()
    np.testing.assert_allclose(quarters, [244, 218, 187, 245, 236, 209, 250, 243, 228, 250, 243, 228], atol=1)


def test_records_splits_and_scenes(tmp_path: Path) -> None:
    images = make_scenes(tmp_path, 20)
    scenes = read_scenes(tmp_path)
    assert [image.image_id for image in images] == list(scenes)
    assert [image.split for image in images].count("train") == 16
    assert [image.split for image in images].count("val") == 2
    assert all(image.path.is_file() for image in images)
    for image in images:
        assert len(image.captions) == 5
        assert all(judge_caption(caption, scenes[image.image_id]).all_right for caption in image.captions)
    assert make_scenes(tmp_path / "fewer", 10)[9].captions == images[9].captions


def test_any_json_lines_reader_takes_it(tmp_path: Path) -> None:
    made = make_scenes(tmp_path, 6)
    assert load_annotations(tmp_path).images == made


def test_a_complete_folder_is_reused(tmp_path: Path) -> None:
    made = make_scenes(tmp_path, 6)
    before = snapshot(tmp_path)
    assert make_scenes(tmp_path, 6) == made
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("drawn", [0, 4])
def test_a_killed_run_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, drawn: int) -> None:
    class KilledError(BaseException):
        pass

    left = drawn

    def draw_until_killed(*args: object) -> object:
        nonlocal left
        if left == 0:
            raise KilledError
        left -= 1
        return draw_scene(*args)

    folder = tmp_path / "killed"
    make_scenes(folder, 7, seed=9)  # an older, larger dataset is there: none of it may stay
    with monkeypatch.context() as patch:
        patch.setattr(module, "draw_scene", draw_until_killed)
        with pytest.raises(KilledError):
            make_scenes(folder, 6)
    assert not (folder / "captions.jsonl").exists()
    make_scenes(folder, 6)
    make_scenes(tmp_path / "whole", 6)
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["missing", "empty", "captions", "version"])
def test_a_damaged_folder_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    make_scenes(tmp_path, 6)
    whole = contents(tmp_path)
    image, captions = tmp_path / "images" / "00004.png", tmp_path / "captions.jsonl"
    if damage == "missing":
        image.unlink()
    elif damage == "empty":
        image.write_bytes(b"")
    elif damage == "captions":
        captions.write_bytes(captions.read_bytes()[:-40])
    else:
        (tmp_path / "scenes.json").write_text('{"generator": 0, "num": 6, "seed": 0}\n')
        image.write_bytes(b"what version 0 drew")
    make_scenes(tmp_path, 6)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("theirs", ["captions.jsonl", "images/00001.png"])
def test_another_dataset_is_never_touched(tmp_path: Path, theirs: str) -> None:
    file = tmp_path / theirs
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match="holds another dataset; name another folder"):
        make_scenes(tmp_path, 6)
    assert file.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write scenes there"):
        make_scenes(tmp_path / "file" / "scenes", 6)
    with pytest.raises(UsageError, match="at least 1"):
        make_scenes(tmp_path, 0)


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '{"image": "x.png"}', '{"image": 1, "first": {}, "second": {}, "relation": "left"}', "SHAPE"],
)
def test_a_broken_description_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(AnnotationError, match=r"captions\.jsonl: cannot be read"):
        read_scenes(tmp_path)
    make_scenes(tmp_path, 2)
    file = tmp_path / "captions.jsonl"
    good = file.read_text().splitlines()[0]
    if line == "SHAPE":
        record = json.loads(good)
        record["first"]["shape"] = "blob"
        line = json.dumps(record)
    file.write_text(f"{good}\n{line}\n")
    with pytest.raises(AnnotationError, match=r"captions\.jsonl: line 2 does not describe a scene"):
        read_scenes(tmp_path)
