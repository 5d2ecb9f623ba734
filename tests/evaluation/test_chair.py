from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.data.tokenizer import tokenize
from showtell.errors import AnnotationError, DataError
from showtell.evaluation.chair import chair, load_instances


def test_what_is_neither_annotated_nor_named_by_people_is_invented() -> None:
    candidates = [tokenize(c) for c in ("a dog and a cat with a man", "a dog on a sofa", "grass")]
    people = [[tokenize("a man walks"), tokenize("a kitten")], [tokenize("a room")], [tokenize("a field")]]
    sentences, mentions = chair(candidates, people, [{"bird"}, {"dog", "couch"}, set()])
    assert sentences.value == pytest.approx(1 / 3)  # the dog of the first
    assert mentions.value == pytest.approx(1 / 5)
    with pytest.raises(DataError, match="1 captions"):
        chair(candidates[:1], people, [])


def test_instances_of_coco(tmp_path: Path) -> None:
    file = tmp_path / "instances_val2017.json"
    content = {
        "images": [{"id": 7}, {"id": 9}],
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [{"image_id": 7, "category_id": c} for c in (1, 18, 1)],
    }
    file.write_text(json.dumps(content))
    assert load_instances(file) == {"7": {"person", "dog"}, "9": set()}
    content["annotations"].append({"image_id": 8, "category_id": 3})
    file.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"annotations\[3\].*unknown category 3"):
        load_instances(file)
    file.write_text(json.dumps({"categories": [], "images": []}))
    with pytest.raises(AnnotationError, match="no list 'annotations'"):
        load_instances(file)
