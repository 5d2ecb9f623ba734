from __future__ import annotations

import hashlib
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from showtell.data.annotations import load_annotations
from showtell.data.scenes import (
    Scene,
    SceneObject,
    draw_scene,
    drawing,
    judge_caption,
    make_scenes,
    random_scene,
    read_scenes,
    scene_captions,
)
from showtell.data.scenes import (
    folder as scenes_folder,
)
from showtell.data.scenes.drawing import DIAMETERS, RGB
from showtell.data.scenes.scene import COLOURS, INVERSE, RELATIONS, SHAPES, SIZES
from showtell.errors import AnnotationError, UsageError

objects = st.builds(SceneObject, st.sampled_from(SHAPES), st.sampled_from(COLOURS), st.sampled_from(SIZES))
scenes = st.builds(Scene, objects, objects, st.sampled_from(RELATIONS)).filter(
    lambda s: (s.first.shape, s.first.colour) != (s.second.shape, s.second.colour)
)
seeds = st.integers(0, 2**32)


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


# --- drawing ---------------------------------------------------------------------------------------------


def blob(picture: np.ndarray, colour: str) -> np.ndarray:
    """The largest connected patch of pixels nearest to a fill colour (white: the background)."""
    fills = np.array([*RGB.values(), (255, 255, 255)], dtype=int)
    nearest = ((picture[:, :, None].astype(int) - fills) ** 2).sum(-1).argmin(-1)
    patches, _ = ndimage.label(nearest == list(RGB).index(colour))
    return patches == np.bincount(patches.ravel())[1:].argmax() + 1


@settings(max_examples=60, deadline=None)
@given(scenes.filter(lambda s: s.first.colour != s.second.colour), seeds)
def test_objects_stand_in_their_relation_and_have_their_size(scene: Scene, seed: int) -> None:
    picture = np.asarray(draw_scene(scene, random.Random(seed)))
    boxes = {}
    for name, thing in (("first", scene.first), ("second", scene.second)):
        ys, xs = np.nonzero(blob(picture, thing.colour))
        least, most = DIAMETERS[thing.size]
        across = max(np.ptp(xs), np.ptp(ys)) + 1
        assert (
            least - 9 <= across <= most + 2
        )  # the dark rim and anti-aliased tips may count as other colours
        assert min(xs.min(), ys.min()) >= 5
        assert max(xs.max(), ys.max()) <= 218  # whole, not cut by the picture's edge
        boxes[name] = (xs.min(), xs.max(), ys.min(), ys.max(), xs.mean(), ys.mean())
    one, other = boxes["first"], boxes["second"]
    gap = {
        "left": other[0] - one[1],
        "right": one[0] - other[1],
        "above": other[2] - one[3],
        "below": one[2] - other[3],
    }[scene.relation]
    assert gap >= 9  # clearly apart
    aside = one[5] - other[5] if scene.relation in ("left", "right") else one[4] - other[4]
    assert abs(aside) < 50  # about level


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_cover_their_share_of_the_box(shape: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A circle fills pi/4 of its box, and so on: told from the geometry of each, without the drawing code."""
    monkeypatch.setattr(drawing, "_TILT", 0.0)
    share = {
        "circle": np.pi / 4,
        "square": 1.0,
        "triangle": 0.5,
        "star": 0.34,  # ten triangles of sin(36 degrees) * 0.42 / 2 in a box of 1.90 by 1.81
        "heart": 0.61,  # 180 pi in a box of 32 by 29
        "cross": 5 / 9,
    }[shape]
    scene = Scene(SceneObject(shape, "blue", "large"), SceneObject("circle", "red", "small"), "left")
    found = blob(np.asarray(draw_scene(scene, random.Random(0))), "blue")
    ys, xs = np.nonzero(found)
    assert found.sum() / (np.ptp(xs) + 1) / (np.ptp(ys) + 1) == pytest.approx(share, abs=0.03)


def test_drawing_depends_on_the_seed_alone() -> None:
    scene = random_scene(random.Random(0))
    random.seed(1)
    np.random.seed(1)
    one = draw_scene(scene, random.Random(5))
    state = random.getstate()
    random.seed(2)
    again = draw_scene(scene, random.Random(5))
    random.setstate(state)
    assert one.size == (224, 224)
    assert one.mode == "RGB"
    assert one.tobytes() == again.tobytes()
    assert one.tobytes() != draw_scene(scene, random.Random(6)).tobytes()


# --- captions and their judge ----------------------------------------------------------------------------


@settings(deadline=None)
@given(scenes, seeds)
def test_captions_differ_and_are_judged_right(scene: Scene, seed: int) -> None:
    captions = scene_captions(scene, random.Random(seed))
    assert len(set(captions)) == 5
    for caption in captions:
        for told in (scene, scene.swapped()):
            judgement = judge_caption(caption, told)
            assert judgement.all_right
            assert judgement.sizes
        assert {scene.first.shape, scene.first.colour, scene.second.shape, scene.second.colour} <= set(
            caption.split()
        )


@settings(deadline=None)
@given(scenes, scenes, seeds)
def test_captions_of_another_scene_are_judged_wrong(scene: Scene, other: Scene, seed: int) -> None:
    def gist(told: Scene) -> tuple[object, ...]:
        return (told.first.shape, told.first.colour, told.second.shape, told.second.colour, told.relation)

    same = gist(other) in (gist(scene), gist(scene.swapped()))
    for caption in scene_captions(other, random.Random(seed), count=20):
        assert judge_caption(caption, scene).all_right == same


@settings(deadline=None)
@given(scenes, st.sampled_from(SHAPES), st.sampled_from(COLOURS), seeds)
def test_one_wrong_word_is_named(scene: Scene, shape: str, colour: str, seed: int) -> None:
    """Captions of a scene changed in one thing are wrong of the old scene in that thing alone."""
    first, second, rng = scene.first, scene.second, random.Random(seed)
    if len({first.shape, second.shape, shape}) == 3:
        (caption,) = scene_captions(replace(scene, first=replace(first, shape=shape)), rng, 1)
        judgement = judge_caption(caption, scene)
        assert not judgement.objects
        if first.colour != second.colour:
            assert (judgement.colours, judgement.relation) == (True, True)
    if len({first.colour, second.colour, colour}) == 3:
        (caption,) = scene_captions(replace(scene, first=replace(first, colour=colour)), rng, 1)
        judgement = judge_caption(caption, scene)
        assert (judgement.objects, judgement.colours) == (True, False)
    (caption,) = scene_captions(replace(scene, relation=INVERSE[scene.relation]), rng, 1)
    judgement = judge_caption(caption, scene)
    assert (judgement.objects, judgement.colours, judgement.relation) == (True, True, False)


RED_CIRCLE_OVER_BLUE_SQUARE = Scene(
    SceneObject("circle", "red", "small"), SceneObject("square", "blue", "large"), "above"
)


@pytest.mark.parametrize(
    ("caption", "right"),  # right: objects, colours, relation, sizes
    [
        ("a small red circle above a large blue square", (1, 1, 1, 1)),
        ("there is a blue square below a red circle", (1, 1, 1, 1)),
        ("  A Blue square, with the red circle over it. ", (1, 1, 1, 1)),
        ("under the red circle is a blue square", (1, 1, 1, 1)),
        ("a large red circle above a blue square", (1, 1, 1, 0)),
        ("a blue circle above a red square", (1, 0, 1, 1)),
        ("a blue square above a red circle", (1, 1, 0, 1)),
        ("a red circle to the left of a blue square", (1, 1, 0, 1)),
        ("a red star above a blue square", (0, 1, 1, 1)),
        ("a red circle above a green square", (1, 0, 1, 1)),
        ("a red circle above a red circle", (0, 0, 1, 1)),
        ("a red circle above a", (0, 0, 0, 0)),
        ("a red circle above a blue square above a red circle", (0, 0, 0, 0)),
        ("there is a red circle is above a blue square", (0, 0, 0, 0)),
        ("red circle blue square above", (0, 0, 0, 0)),
        ("a red circle above a <unk> square", (0, 0, 0, 0)),
        ("a circle above a square", (0, 0, 0, 0)),
        ("a dog runs through the snow", (0, 0, 0, 0)),
        ("", (0, 0, 0, 0)),
    ],
)
def test_judge_by_hand(caption: str, right: tuple[int, ...]) -> None:
    found = judge_caption(caption, RED_CIRCLE_OVER_BLUE_SQUARE)
    assert (found.objects, found.colours, found.relation, found.sizes) == tuple(map(bool, right))
    assert found.all_right == all(right[:3])


words = st.sampled_from(["a", "the", "red", "blue", "circle", "square", "above", "of", "left", "is"])


@given(st.text() | st.lists(words).map(" ".join))
def test_judge_takes_any_text(caption: str) -> None:
    judge_caption(caption, RED_CIRCLE_OVER_BLUE_SQUARE)


@pytest.mark.parametrize("count", [0, 21])
def test_impossible_numbers_of_captions_are_refused(count: int) -> None:
    with pytest.raises(UsageError, match="1 to 20 captions"):
        scene_captions(RED_CIRCLE_OVER_BLUE_SQUARE, random.Random(0), count)


# --- the folder ------------------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_other_seed_other_scenes(tmp_path: Path) -> None:
    random.seed(3)
    one = make_scenes(tmp_path / "one", 20, seed=7)
    random.seed(4)
    again = make_scenes(tmp_path / "again", 20, seed=7)
    other = make_scenes(tmp_path / "other", 20, seed=8)
    assert contents(tmp_path / "one") == contents(tmp_path / "again")
    assert [image.captions for image in one] == [image.captions for image in again]
    assert all(a.captions != b.captions for a, b in zip(one, other, strict=True))


def test_seed_0_says_what_it_said_when_published(tmp_path: Path) -> None:
    """If this fails, what a seed makes has changed: raise GENERATOR_VERSION and the hash with it."""
    make_scenes(tmp_path, 50)
    digest = hashlib.sha256((tmp_path / "captions.jsonl").read_bytes()).hexdigest()
    assert (scenes_folder.GENERATOR_VERSION, digest[:16]) == (1, "77c7319374222b1f")


def test_seed_0_draws_what_it_drew_when_published(tmp_path: Path) -> None:
    """As above, for the pictures: mean colours of quarters, as another Pillow may differ by a pixel."""
    (image, *_) = make_scenes(tmp_path, 1)
    with Image.open(image.path) as picture:
        quarters = np.asarray(picture.resize((2, 2), Image.Resampling.BOX), dtype=int).ravel()
    np.testing.assert_allclose(quarters, [244, 218, 187, 245, 236, 209, 250, 243, 228, 250, 243, 228], atol=1)


def test_records_splits_and_scenes(tmp_path: Path) -> None:
    images = make_scenes(tmp_path, 30)
    told = read_scenes(tmp_path)
    assert [image.image_id for image in images] == list(told)
    assert [image.split for image in images].count("train") == 24
    assert [image.split for image in images].count("val") == 3
    assert all(image.path.is_file() for image in images)
    for image in images:
        assert len(image.captions) == 5
        assert all(judge_caption(caption, told[image.image_id]).all_right for caption in image.captions)
    assert make_scenes(tmp_path / "fewer", 10)[9].captions == images[9].captions


def test_any_json_lines_reader_takes_it(tmp_path: Path) -> None:
    made = make_scenes(tmp_path, 20)
    assert load_annotations(tmp_path).images == made


def test_few_words() -> None:
    words = set()
    for seed in range(400):
        rng = random.Random(seed)
        words.update(*(caption.split() for caption in scene_captions(random_scene(rng), rng)))
    assert len(words) == 36


def test_a_complete_folder_is_reused(tmp_path: Path) -> None:
    made = make_scenes(tmp_path, 20)
    before = snapshot(tmp_path)
    assert make_scenes(tmp_path, 20) == made
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("drawn", [0, 1, 7])
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
    make_scenes(folder, 25, seed=9)  # an older, larger dataset is there: none of it may stay
    with monkeypatch.context() as patch:
        patch.setattr(scenes_folder, "draw_scene", draw_until_killed)
        with pytest.raises(KilledError):
            make_scenes(folder, 20)
    assert not (folder / "captions.jsonl").exists()
    make_scenes(folder, 20)
    make_scenes(tmp_path / "whole", 20)
    assert contents(folder) == contents(tmp_path / "whole")


@pytest.mark.parametrize("damage", ["missing", "empty", "captions", "version"])
def test_a_damaged_folder_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    make_scenes(tmp_path, 20)
    whole = contents(tmp_path)
    image, captions = tmp_path / "images" / "00004.png", tmp_path / "captions.jsonl"
    if damage == "missing":
        image.unlink()
    elif damage == "empty":
        image.write_bytes(b"")
    elif damage == "captions":
        captions.write_bytes(captions.read_bytes()[:-40])
    else:
        (tmp_path / "scenes.json").write_text('{"generator": 0, "num": 20, "seed": 0}\n')
        image.write_bytes(b"what version 0 drew")
    make_scenes(tmp_path, 20)
    assert contents(tmp_path) == whole


@pytest.mark.parametrize("theirs", ["captions.jsonl", "images/00001.png"])
def test_another_dataset_is_never_touched(tmp_path: Path, theirs: str) -> None:
    file = tmp_path / theirs
    file.parent.mkdir(exist_ok=True)
    file.write_text("mine")
    with pytest.raises(UsageError, match="holds another dataset; name another folder"):
        make_scenes(tmp_path, 20)
    assert file.read_text() == "mine"


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write scenes there"):
        make_scenes(tmp_path / "file" / "scenes", 20)
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
