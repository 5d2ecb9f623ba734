from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from showtell.errors import DataError, UsageError
from showtell.evaluation.submission import (
    check_submission,
    submission_name,
    validate_submission,
    write_submission,
)

CANDIDATES = {"139": "a living room with a “tv”", "285": "a bear"}


def test_the_official_loader_takes_the_file(tmp_path: Path) -> None:
    from pycocotools.coco import COCO

    path = write_submission(tmp_path / "new", "val2017", "showtell", CANDIDATES)
    assert path.name == "captions_val2017_showtell_results.json"
    truth = tmp_path / "captions_val2017.json"
    truth.write_text(
        json.dumps({"images": [{"id": int(i)} for i in CANDIDATES], "annotations": [], "info": {}})
    )
    with contextlib.redirect_stdout(io.StringIO()):
        loaded = COCO(str(truth)).loadRes(str(path))
    assert {str(a["image_id"]): a["caption"] for a in loaded.anns.values()} == CANDIDATES


@pytest.mark.parametrize("name", ["my_model", "", "a/b", "é"])
def test_names_that_the_server_refuses(name: str) -> None:
    with pytest.raises(UsageError, match="letters, digits and hyphens"):
        submission_name("val2017", name)


def test_ids_are_numbers(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"image 'a\.jpg'"):
        write_submission(tmp_path, "val", "x", {"a.jpg": "a dog"})
    with pytest.raises(DataError, match=r"image 'a\.jpg'"):
        check_submission("val", "x", ["1", "a.jpg"])


GOOD = [{"image_id": int(image), "caption": caption} for image, caption in CANDIDATES.items()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "not a list"),
        ([1], r"\[0\]: not \{"),
        ([{**GOOD[0], "score": 1}], r"\[0\]: not \{"),
        ([{"image_id": "139", "caption": "a"}], r"\[0\]: its image_id is no whole number"),
        ([{"image_id": True, "caption": "a"}], r"\[0\]: its image_id is no whole number"),
        ([*GOOD, {"image_id": 7, "caption": "a"}], r"\[2\]: unknown image 7"),
        ([*GOOD, GOOD[0]], r"\[2\]: image 139 comes twice"),
        ([GOOD[0], {"image_id": 285, "caption": " "}], r"\[1\]: image 285 has no words"),
        (GOOD[:1], r"no caption of image 285 \(1 missing in all\)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "captions_val2017_x_results.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        validate_submission(path, CANDIDATES)


@pytest.mark.parametrize(("content", "message"), [(b"\xff", "not UTF-8"), (b"[", "broken JSON")])
def test_files_that_are_no_json(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "captions_val2017_x_results.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        validate_submission(path, CANDIDATES)
    with pytest.raises(DataError, match="is named captions_"):
        validate_submission(path.rename(tmp_path / "results.json"), CANDIDATES)
