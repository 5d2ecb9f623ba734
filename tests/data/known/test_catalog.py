"""The known datasets: consistent, looked up by name, recognised by their files."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.data.known.catalog import DATASETS, KnownDataset, find_dataset, recognise
from showtell.errors import UsageError


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
