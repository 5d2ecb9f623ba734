"""The caption datasets that showtell knows: official addresses, sizes, licences, and the layout it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from showtell.data.records import Split
from showtell.errors import UsageError
from showtell.utils.keywords import did_you_mean

_COCO: Final = "http://images.cocodataset.org"
_VIZWIZ: Final = "https://vizwiz.cs.colorado.edu/VizWiz_final"
_FAIR: Final = "https://dl.fbaipublicfiles.com/textvqa"
_KARPATHY: Final = "https://cs.stanford.edu/people/karpathy/deepimagesent/caption_datasets.zip"
_FLICKR: Final = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k"
_MULTI30K: Final = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1"
_COCO_LICENCE: Final = "captions CC BY 4.0; photos under the terms of Flickr"
_FLICKR_LICENCE: Final = "research and education, not commercial; photos under the terms of Flickr"
LANGUAGES: Final = ("de", "en", "fr", "cs")
"""Languages of Multi30k."""
MULTI30K_SPLITS: Final[dict[str, Split]] = {"train": "train", "val": "val", "test_2016_flickr": "test"}
"""Its parts, whose photos are Flickr30k's."""


@dataclass(frozen=True)
class Source:
    """A file to download.

    Attributes:
        url: its official address.
        holds: what it gives, inside the dataset's folder: a file, or a folder of photos.
        count: files of that folder, of a complete one; 1 for a file.
        size: its bytes; 0 if they are not known.
        md5: its checksum, or empty if none is published.
        only: of an archive, the end of the one file's name that is taken; empty for all.
    """

    url: str
    holds: str
    count: int = 1
    size: int = 0
    md5: str = ""
    only: str = ""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.rpartition("/")[2]

    @property
    def is_archive(self) -> bool:
        """Whether it is unpacked."""
        return self.name.endswith((".zip", ".tar.gz", ".tgz", ".tar"))


@dataclass(frozen=True)
class KnownDataset:
    """A dataset.

    Attributes:
        name: by which commands know it.
        title: for people.
        folder: where it is expected.
        home: its official page.
        licence: in a few words.
        size: of all downloads.
        photos: images and captions of each split.
        sources: what is downloaded.
        files: names of annotation files by which a folder is recognised.
        root: value of --data.root, if it is not the folder.
        by_hand: what has to be asked for, and how.
        listed_photos: file that lists photos, the field of their addresses, and their folder; of photos that
            are downloaded one by one.
    """

    name: str
    title: str
    folder: str
    home: str
    licence: str
    size: str
    photos: dict[Split, tuple[int, int]]
    sources: tuple[Source, ...]
    files: tuple[str, ...]
    root: str = ""
    by_hand: str = ""
    listed_photos: tuple[str, str, str] | None = field(default=None)

    @property
    def data_root(self) -> str:
        """What to give to --data.root."""
        return self.root or self.folder


def _coco_photos(
    year: int, size: tuple[int, int], count: tuple[int, int], md5: tuple[str, str]
) -> list[Source]:
    return [
        Source(f"{_COCO}/zips/{split}{year}.zip", f"{split}{year}", count[index], size[index], md5[index])
        for index, split in enumerate(("train", "val"))
    ]


_COCO_2017: Final = _coco_photos(
    2017,
    (19336861798, 815585330),
    (118287, 5000),
    ("cced6f7f71b7629ddf16f17bbcfab6b2", "442b8da7639aecaf257c1dceb8ba8c80"),
)
_COCO_2014: Final = _coco_photos(
    2014,
    (13510573713, 6645013297),
    (82783, 40504),
    ("0da8c0bd3d6becc4dcb32757491aca88", "a3d79f5ed8d289b7a7554ce06a5782b3"),
)

DATASETS: Final = (
    KnownDataset(
        name="coco",
        title="COCO Captions 2017",
        folder="data/coco",
        home="https://cocodataset.org/#download",
        licence=_COCO_LICENCE,
        size="20.4 GB",
        photos={"train": (118287, 591753), "val": (5000, 25014)},
        sources=(
            Source(
                f"{_COCO}/annotations/annotations_trainval2017.zip",
                "annotations/captions_train2017.json",
                size=252907541,
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            *_COCO_2017,
        ),
        files=("captions_train2017.json", "captions_val2017.json"),
    ),
    KnownDataset(
        name="coco2014",
        title="COCO Captions 2014",
        folder="data/coco2014",
        home="https://cocodataset.org/#download",
        licence=_COCO_LICENCE,
        size="20.4 GB",
        photos={"train": (82783, 414113), "val": (40504, 202654)},
        sources=(
            Source(
                f"{_COCO}/annotations/annotations_trainval2014.zip",
                "annotations/captions_train2014.json",
                size=252872794,
                md5="0a379cfc70b0e71301e0f377548639bd",
            ),
            *_COCO_2014,
        ),
        files=("captions_train2014.json", "captions_val2014.json"),
    ),
    KnownDataset(
        name="coco-karpathy",
        title="COCO with Karpathy's splits, those of most papers",
        folder="data/coco2014",
        home="https://cs.stanford.edu/people/karpathy/deepimagesent/",
        licence=_COCO_LICENCE,
        size="20.2 GB",
        photos={"train": (113287, 566747), "val": (5000, 25010), "test": (5000, 25010)},
        sources=(Source(_KARPATHY, "dataset_coco.json", only="dataset_coco.json"), *_COCO_2014),
        files=("dataset_coco.json",),
        root="data/coco2014/dataset_coco.json",
    ),
    KnownDataset(
        name="flickr8k",
        title="Flickr8k",
        folder="data/flickr8k",
        home="https://forms.illinois.edu/sec/1713398",
        licence=_FLICKR_LICENCE,
        size="1.1 GB",
        photos={"train": (6000, 30000), "val": (1000, 5000), "test": (1000, 5000)},
        sources=(
            Source(
                f"{_FLICKR}/Flickr8k_text.zip",
                "Flickr8k.token.txt",
                md5="bf6c1abcb8e4a833b7f922104de18627",
            ),
            Source(
                f"{_FLICKR}/Flickr8k_Dataset.zip",
                "Flicker8k_Dataset",
                8091,
                md5="f18a1e2920de5bd84dae7cf08ec78978",
            ),
        ),
        files=("flickr8k.token.txt", "dataset_flickr8k.json"),
        by_hand="the authors give it to those who fill in the form of their page; the addresses below are a"
        " mirror of their archives",
    ),
    KnownDataset(
        name="flickr30k",
        title="Flickr30k with Karpathy's splits",
        folder="data/flickr30k",
        home="https://shannon.cs.illinois.edu/DenotationGraph/",
        licence=_FLICKR_LICENCE,
        size="4.4 GB",
        photos={"train": (29000, 145000), "val": (1014, 5070), "test": (1000, 5000)},
        sources=(Source(_KARPATHY, "dataset_flickr30k.json", only="dataset_flickr30k.json"),),
        files=("dataset_flickr30k.json", "results_20130124.token", "flickr30k.token.txt", "results.csv"),
        by_hand="the photos (flickr30k-images.tar.gz): fill in https://forms.illinois.edu/sec/229675, put the"
        " archive into the folder, and run showtell data prepare",
    ),
    KnownDataset(
        name="multi30k",
        title="Multi30k: captions of Flickr30k's photos in German, English, French and Czech",
        folder="data/multi30k",
        home="https://github.com/multi30k/dataset",
        licence="captions CC BY-NC-SA 4.0; photos as Flickr30k",
        size="5 MB and Flickr30k's photos",
        photos={"train": (29000, 29000), "val": (1014, 1014), "test": (1000, 1000)},
        sources=(
            *(Source(f"{_MULTI30K}/image_splits/{part}.txt", f"{part}.txt") for part in MULTI30K_SPLITS),
            *(
                Source(f"{_MULTI30K}/raw/{part}.{language}.gz", f"{part}.{language}.gz")
                for part in MULTI30K_SPLITS
                for language in LANGUAGES
            ),
        ),
        files=("train.de.gz", "test_2016_flickr.txt"),
        by_hand="the photos are Flickr30k's: put (or link) its folder flickr30k-images into the folder",
    ),
    KnownDataset(
        name="vizwiz",
        title="VizWiz-Captions: photos that blind people took",
        folder="data/vizwiz",
        home="https://vizwiz.org/tasks-and-datasets/image-captioning/",
        licence="CC BY 4.0",
        size="15 GB",
        photos={"train": (23431, 117155), "val": (7750, 38750)},
        sources=(
            Source(f"{_VIZWIZ}/caption/annotations.zip", "annotations/train.json"),
            Source(f"{_VIZWIZ}/images/train.zip", "train", 23431, 11298421598),
            Source(f"{_VIZWIZ}/images/val.zip", "val", 7750),
        ),
        files=("vizwiz",),
    ),
    KnownDataset(
        name="textcaps",
        title="TextCaps: captions that read the text in photos",
        folder="data/textcaps",
        home="https://textvqa.org/textcaps/dataset/",
        licence="CC BY 4.0",
        size="7 GB",
        photos={"train": (21953, 109765), "val": (3166, 15830)},
        sources=(
            Source(f"{_FAIR}/data/textcaps/TextCaps_0.1_train.json", "TextCaps_0.1_train.json"),
            Source(f"{_FAIR}/data/textcaps/TextCaps_0.1_val.json", "TextCaps_0.1_val.json"),
            Source(f"{_FAIR}/images/train_val_images.zip", "train_images", 25119),
        ),
        files=("textcaps_0.1_train.json", "textcaps_0.1_val.json"),
    ),
    KnownDataset(
        name="nocaps",
        title="nocaps: objects that COCO does not have, to evaluate on",
        folder="data/nocaps",
        home="https://nocaps.org/download",
        licence="captions CC BY 2.0; photos of Open Images, CC BY 2.0",
        size="1.5 GB",
        photos={"val": (4500, 45000)},
        sources=(
            Source(
                "https://nocaps.s3.amazonaws.com/nocaps_val_4500_captions.json",
                "nocaps_val_4500_captions.json",
            ),
        ),
        files=("nocaps_val_4500_captions.json",),
        listed_photos=("nocaps_val_4500_captions.json", "coco_url", "images"),
    ),
)
"""In the order in which people look for them."""


def find_dataset(name: str) -> KnownDataset:
    """A dataset by its name.

    Raises:
        UsageError: there is none of that name.
    """
    for dataset in DATASETS:
        if dataset.name == name.lower():
            return dataset
    names = [dataset.name for dataset in DATASETS]
    raise UsageError(
        f"{name}: no dataset that is known{did_you_mean(name, names)}; showtell data list shows them all"
    )


def recognise(files: Sequence[Path]) -> KnownDataset | None:
    """The dataset that annotation files belong to, by their names and the folders that they are in."""
    names = {file.name.lower() for file in files}
    for dataset in DATASETS:
        if names.intersection(dataset.files):
            return dataset
    if names & {"train.json", "val.json"} and any("vizwiz" in str(file).lower() for file in files):
        return find_dataset("vizwiz")
    return None
