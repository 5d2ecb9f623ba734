import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from showtell.config import DatasetFormat
from showtell.data.annotations import LoadedAnnotations, find_dataset_root, load_annotations
from showtell.data.splits import by_split
from showtell.errors import AnnotationError, UsageError

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared"
needs_shared = pytest.mark.skipif(
    not (SHARED / "data").is_dir(), reason="no ../shared/data beside the repository"
)

Record = tuple[str, str, tuple[str, ...]]


def write(path: Path, content: object) -> Path:
    """Write text or bytes as they are, anything else as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content if isinstance(content, str | bytes) else json.dumps(content)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        write(folder / name, b"never opened")


def records(loaded: LoadedAnnotations) -> list[Record]:
    assert all(image.path.is_file() for image in loaded.images)
    return [(image.image_id, image.split, image.captions) for image in loaded.images]


def coco(images: dict[Any, str], captions: list[tuple[Any, Any]]) -> dict[str, Any]:
    return {
        "info": {},
        "images": [{"id": key, "file_name": name} for key, name in images.items()],
        "annotations": [
            {"id": n, "image_id": key, "caption": text} for n, (key, text) in enumerate(captions)
        ],
    }


# --- the formats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("year", ["2014", "2017"])
@pytest.mark.parametrize("inside", ["", "images"])
def test_coco_layouts(tmp_path: Path, year: str, inside: str) -> None:
    touch(tmp_path / inside / f"train{year}", "2.jpg", "1.jpg")
    touch(tmp_path / inside / f"val{year}", "3.jpg")
    captions = [(1, "a dog runs \n"), (2, "a cat"), (1, "one dog")]
    write(tmp_path / f"annotations/captions_train{year}.json", coco({2: "2.jpg", 1: "1.jpg"}, captions))
    write(tmp_path / f"annotations/captions_val{year}.json", coco({3: "3.jpg"}, [(3, "two birds")]))
    loaded = load_annotations(tmp_path)
    assert loaded.format == "coco"
    assert records(loaded) == [
        ("2", "train", ("a cat",)),
        ("1", "train", ("a dog runs", "one dog")),
        ("3", "val", ("two birds",)),
    ]


def test_coco_tells_who_wrote_a_caption(tmp_path: Path) -> None:
    touch(tmp_path / "train2017", "1.jpg", "2.jpg", "3.jpg")
    content = coco({1: "1.jpg", 2: "2.jpg", 3: "3.jpg"}, [(1, "a"), (1, "b"), (2, "c"), (3, "d"), (1, "e")])
    for record, source in zip(content["annotations"], ["model", "person", "person", None, None], strict=True):
        if source:
            record["source"] = source
    file = tmp_path / "annotations/captions_train2017.json"
    write(file, content)
    first, second, third = load_annotations(tmp_path).images
    assert first.authors == ("model", "person", "person")
    assert (first.captions, first.references) == (("a", "b", "e"), ("b", "e"))
    assert second.authors == third.authors == ()  # people alone
    for wrong in ("robot", None, 5, ["model"]):
        content["annotations"][2]["source"] = wrong
        write(file, content)
        with pytest.raises(AnnotationError, match=r"annotations\[2\]: wrong fields: 'source' is"):
            load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert loaded.skipped_by_reason == {"wrong fields": 1, "image without captions": 1}


def test_coco_takes_the_year_whose_images_are_there(tmp_path: Path) -> None:
    for year in ("2014", "2017"):
        write(tmp_path / f"annotations/captions_train{year}.json", coco({1: "a.jpg"}, [(1, year)]))
    touch(tmp_path / "train2014", "a.jpg")
    assert records(load_annotations(tmp_path)) == [("1", "train", ("2014",))]
    touch(tmp_path / "train2017", "a.jpg")
    assert records(load_annotations(tmp_path)) == [("1", "train", ("2017",))]


def test_one_coco_file_with_a_folder_of_images(tmp_path: Path) -> None:
    touch(tmp_path / "photos", "a.jpg")
    content = coco({"x1": "a.jpg"}, [("x1", "a dog")])
    mine = write(tmp_path / "mine.json", content)
    official = write(tmp_path / "annotations/captions_val2017.json", content)
    photos = tmp_path / "photos"
    assert records(load_annotations(mine, images=photos)) == [("x1", "train", ("a dog",))]
    assert records(load_annotations(official, images=photos)) == [("x1", "val", ("a dog",))]


def karpathy_image(name: str, split: str, *captions: str, **more: object) -> dict[str, Any]:
    return {"filename": name, "split": split, "sentences": [{"raw": text} for text in captions], **more}


def test_karpathy_coco(tmp_path: Path) -> None:
    touch(tmp_path / "train2014", "a.jpg")
    touch(tmp_path / "val2014", "b.jpg", "c.jpg", "d.jpg")
    images = [
        karpathy_image("a.jpg", "train", "A dog.", "One dog.", filepath="train2014", cocoid=7),
        karpathy_image("b.jpg", "restval", "A cat.", filepath="val2014", cocoid=8),
        karpathy_image("c.jpg", "val", "A bird.", filepath="val2014", cocoid=9),
        karpathy_image("d.jpg", "test", "A cow.", filepath="val2014", cocoid=10),
    ]
    write(tmp_path / "dataset_coco.json", {"images": images, "dataset": "coco"})
    expected = [
        ("7", "train", ("A dog.", "One dog.")),
        ("8", "train", ("A cat.",)),
        ("9", "val", ("A bird.",)),
        ("10", "test", ("A cow.",)),
    ]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("karpathy", expected)
    assert records(load_annotations(tmp_path / "dataset_coco.json")) == expected


@pytest.mark.parametrize("folder", ["Images", "Flicker8k_Dataset", "flickr30k-images"])
def test_karpathy_flickr(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, "a.jpg")
    write(tmp_path / "dataset_flickr8k.json", {"images": [karpathy_image("a.jpg", "test", "A dog.")]})
    assert records(load_annotations(tmp_path)) == [("a.jpg", "test", ("A dog.",))]


@pytest.mark.parametrize("folder", ["Images", "Flicker8k_Dataset", "Flickr8k_Dataset"])
def test_flickr8k_text_files(tmp_path: Path, folder: str) -> None:
    touch(tmp_path / folder, "a.jpg", "b.jpg", "c.jpg")
    lines = ["b.jpg#0\tA cat .", "a.jpg#0\tA dog .", "unlisted.jpg.1#0\tA ghost .", "a.jpg#1\tOne # dog ."]
    write(tmp_path / "Flickr8k.token.txt", "\n".join(lines) + "\n")
    write(tmp_path / "Flickr_8k.trainImages.txt", "a.jpg\r\n")
    write(tmp_path / "Flickr_8k.devImages.txt", "b.jpg\n\n")
    loaded = load_annotations(tmp_path)
    assert loaded.format == "flickr8k"
    assert records(loaded) == [("a.jpg", "train", ("A dog .", "One # dog .")), ("b.jpg", "val", ("A cat .",))]


def test_flickr8k_without_lists_is_all_train(tmp_path: Path) -> None:
    touch(tmp_path / "Images", "a.jpg", "b.jpg")
    write(tmp_path / "Flickr8k.token.txt", "b.jpg#0\tA cat .\na.jpg#0\tA dog .\n")
    assert [image[:2] for image in records(load_annotations(tmp_path))] == [
        ("b.jpg", "train"),
        ("a.jpg", "train"),
    ]


def test_flickr8k_from_kaggle(tmp_path: Path) -> None:
    touch(tmp_path / "Images", "a.jpg", "b.jpg")
    write(
        tmp_path / "captions.txt", 'image,caption\na.jpg,"A dog, wet ."\nb.jpg,A cat .\na.jpg,One ""dog"" .\n'
    )
    loaded = load_annotations(tmp_path)
    assert loaded.format == "flickr8k"
    assert records(loaded) == [
        ("a.jpg", "train", ("A dog, wet .", 'One ""dog"" .')),
        ("b.jpg", "train", ("A cat .",)),
    ]


@pytest.mark.parametrize(("name", "mark"), [("captions.csv", ","), ("captions.tsv", "\t"), ("mine.csv", ";")])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_tables(tmp_path: Path, name: str, mark: str, start: bytes) -> None:
    touch(tmp_path, "a.jpg", "sub/b.jpg")
    touch(tmp_path / "images", "c.jpg")
    rows = [
        ("Split", "image", "caption"),
        ("train", "a.jpg", '"A dog,\nwet"'),
        ("validation", "sub/b.jpg", "Un été"),
        ("", "a.jpg", "One dog"),
        ("", "c.jpg", "A bird"),
    ]
    file = write(tmp_path / name, start + "\n".join(map(mark.join, rows)).encode())
    expected = [
        ("a.jpg", "train", ("A dog,\nwet", "One dog")),
        ("sub/b.jpg", "val", ("Un été",)),
        ("c.jpg", "train", ("A bird",)),
    ]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("csv", expected)
    assert records(load_annotations(file)) == expected


def test_absolute_image_paths(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "a.jpg")
    file = write(tmp_path / "set/captions.csv", f"image,caption\n{tmp_path}/elsewhere/a.jpg,A dog\n")
    assert load_annotations(file).images[0].path == tmp_path / "elsewhere" / "a.jpg"


JSON_RECORDS = [
    {"image": "a.jpg", "captions": ["A dog", "One dog"], "split": "test"},
    {"image": "b.jpg", "caption": "A cat"},
    {"image": "a.jpg", "caption": "Dog"},
]


@pytest.mark.parametrize("name", ["captions.jsonl", "other.jsonl", "captions.json"])
def test_json_records(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    lines = "\n\n".join(map(json.dumps, JSON_RECORDS))
    file = write(tmp_path / name, JSON_RECORDS if name.endswith(".json") else lines)
    expected = [("a.jpg", "test", ("A dog", "One dog", "Dog")), ("b.jpg", "train", ("A cat",))]
    loaded = load_annotations(tmp_path)
    assert (loaded.format, records(loaded)) == ("jsonl", expected)
    assert records(load_annotations(file)) == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("captions.csv", "image,caption\na.jpg,A dog\n"),
        ("captions.tsv", "image\tcaption\na.jpg\tA dog\n"),
        ("captions.txt", "image,caption\na.jpg,A dog\n"),
        ("captions.txt", 'a.jpg\tA dog\nb.jpg\t"quoted\n'),
        ("captions.txt", "a.jpg#0\tA dog\n"),
        ("captions.jsonl", '{"image": "a.jpg", "caption": "A dog"}\n'),
        ("captions.json", [{"image": "a.jpg", "caption": "A dog"}]),
        ("captions.json", coco({"a.jpg": "a.jpg"}, [("a.jpg", "A dog")])),
        ("captions.json", {"images": [karpathy_image("a.jpg", "train", "A dog")]}),
    ],
)
@pytest.mark.parametrize("format_", ["auto", "folder"])
def test_a_folder_with_a_file_of_captions(
    tmp_path: Path, name: str, content: object, format_: DatasetFormat
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    write(tmp_path / name, content)
    assert records(load_annotations(tmp_path, format=format_))[0] == ("a.jpg", "train", ("A dog",))


def test_a_folder_with_text_files_beside_the_images(tmp_path: Path) -> None:
    touch(tmp_path, "b.jpg", "a.PNG", "val/c.webp")
    write(tmp_path / "a.txt", "A dog\r\n\n One dog \n")
    write(tmp_path / "b.txt", "A cat")
    write(tmp_path / "val/c.txt", "A bird\n")
    write(tmp_path / "README.txt", "not a caption")
    loaded = load_annotations(tmp_path)
    assert loaded.format == "folder"
    assert records(loaded) == [
        ("a.PNG", "train", ("A dog", "One dog")),
        ("b.jpg", "train", ("A cat",)),
        ("val/c.webp", "val", ("A bird",)),
    ]


# --- bad input: the entry is named, and can be dropped and counted ------------------------------------------

GOOD = '{"image": "a.jpg", "caption": "A dog"}\n'
Make = Callable[[Path], object]


def lines(name: str, *more: str | bytes) -> Make:
    """A dataset of one good image, and then the lines given."""

    def make(root: Path) -> None:
        touch(root, "a.jpg", "b.jpg")
        start = {".jsonl": GOOD, ".csv": "image,caption,split\na.jpg,A dog,train\n"}[Path(name).suffix]
        write(root / name, start.encode() + b"\n".join(m.encode() if isinstance(m, str) else m for m in more))

    return make


def coco_with(**more: object) -> Make:
    """A COCO dataset of one good image and caption, and then the entries given."""

    def make(root: Path) -> None:
        touch(root / "train2017", "a.jpg", "b.jpg")
        content = coco({1: "a.jpg"}, [(1, "A dog")])
        for key, entry in more.items():
            content[key].append(entry)
        write(root / "annotations/captions_train2017.json", content)

    return make


def karpathy_with(*images: object) -> Make:
    def make(root: Path) -> None:
        touch(root, "a.jpg", "b.jpg")
        write(root / "dataset_coco.json", {"images": [karpathy_image("a.jpg", "train", "A dog"), *images]})

    return make


def flickr_with(tokens: str = "", train: str = "", dev: str = "") -> Make:
    def make(root: Path) -> None:
        touch(root / "Images", "a.jpg", "b.jpg")
        write(root / "Flickr8k.token.txt", "a.jpg#0\tA dog\n" + tokens)
        write(root / "Flickr_8k.trainImages.txt", "a.jpg\n" + train)
        write(root / "Flickr_8k.devImages.txt", dev or "\r\n") if dev else None

    return make


def sidecars(*, image: str = "", text: str = "", content: str = "A cat") -> Make:
    def make(root: Path) -> None:
        touch(root, "a.jpg", *([image] if image else []))
        write(root / "a.txt", "A dog")
        if text:
            write(root / text, content)

    return make


BAD_ENTRIES: list[tuple[str, Make, str, str]] = [
    # a name, the dataset, where the error is said to be, the reason
    (
        "coco image without its file",
        coco_with(
            images={"id": 2, "file_name": "gone.jpg"}, annotations={"id": 9, "image_id": 2, "caption": "x"}
        ),
        "captions_train2017.json: images[1]",
        "missing image file",
    ),
    (
        "coco caption of no image",
        coco_with(annotations={"id": 9, "image_id": 5, "caption": "A cat"}),
        "captions_train2017.json: annotations[1]",
        "caption of an unknown image",
    ),
    (
        "coco image without captions",
        coco_with(images={"id": 2, "file_name": "b.jpg"}),
        "captions_train2017.json: images[1]",
        "image without captions",
    ),
    (
        "coco empty caption",
        coco_with(annotations={"image_id": 1, "caption": " "}),
        "annotations[1]",
        "empty caption",
    ),
    ("coco image id twice", coco_with(images={"id": 1, "file_name": "b.jpg"}), "images[1]", "duplicate id"),
    (
        "coco caption id twice",
        coco_with(annotations={"id": 0, "image_id": 1, "caption": "A dog"}),
        "annotations[1]",
        "duplicate id",
    ),
    (
        "coco file twice",
        coco_with(images={"id": 2, "file_name": "a.jpg"}),
        "images[1]",
        "duplicate image file",
    ),
    ("coco image without a name", coco_with(images={"id": 2}), "images[1]", "wrong fields"),
    (
        "coco image id of no use",
        coco_with(images={"id": [2], "file_name": "b.jpg"}),
        "images[1]",
        "wrong fields",
    ),
    ("coco image that is a text", coco_with(images="b.jpg"), "images[1]", "wrong fields"),
    (
        "coco caption that is null",
        coco_with(annotations={"image_id": 1, "caption": None}),
        "annotations[1]",
        "wrong fields",
    ),
    ("coco caption without text", coco_with(annotations={"image_id": 1}), "annotations[1]", "wrong fields"),
    (
        "coco half of a surrogate pair",
        coco_with(annotations={"image_id": 1, "caption": "A \ud83d dog"}),
        "annotations[1]",
        "not UTF-8 text",
    ),
    (
        "karpathy missing file",
        karpathy_with(karpathy_image("c.jpg", "val", "x")),
        "images[1]",
        "missing image file",
    ),
    ("karpathy image twice", karpathy_with(karpathy_image("a.jpg", "val", "x")), "images[1]", "duplicate id"),
    (
        "karpathy no captions",
        karpathy_with(karpathy_image("b.jpg", "val")),
        "images[1]",
        "image without captions",
    ),
    ("karpathy split", karpathy_with(karpathy_image("b.jpg", "holdout", "x")), "images[1]", "unknown split"),
    (
        "karpathy sentences",
        karpathy_with({"filename": "b.jpg", "sentences": "x"}),
        "images[1]",
        "wrong fields",
    ),
    (
        "karpathy empty caption",
        karpathy_with(karpathy_image("b.jpg", "val", "A cat", "")),
        "images[1].sentences[1]",
        "empty caption",
    ),
    (
        "flickr missing file",
        flickr_with("c.jpg#0\tA cat\n", "c.jpg\n"),
        "Images.txt: line 2",
        "missing image file",
    ),
    ("flickr no captions", flickr_with(train="b.jpg\n"), "trainImages.txt: line 2", "image without captions"),
    ("flickr image in two lists", flickr_with(dev="a.jpg\n"), "devImages.txt: line 1", "duplicate id"),
    ("flickr caption id twice", flickr_with("a.jpg#0\tDog\n"), "token.txt: line 2", "duplicate id"),
    ("flickr empty caption", flickr_with("a.jpg#1\t\n"), "token.txt: line 2", "empty caption"),
    ("flickr broken line", flickr_with("a.jpg A dog\n"), "token.txt: line 2", "wrong fields"),
    (
        "csv missing file",
        lines("captions.csv", "c.jpg,x,", "c.jpg,y,"),
        "captions.csv: line 3",
        "missing image file",
    ),
    ("csv empty caption", lines("captions.csv", "a.jpg,,"), "captions.csv: line 3", "empty caption"),
    ("csv caption of dots", lines("captions.csv", "a.jpg,...,"), "captions.csv: line 3", "empty caption"),
    ("csv comma", lines("captions.csv", "b.jpg,A cat, wet,val"), "captions.csv: line 3", "wrong fields"),
    ("csv no image", lines("captions.csv", ",A cat,val"), "captions.csv: line 3", "wrong fields"),
    ("csv two splits", lines("captions.csv", "a.jpg,A dog,val"), "captions.csv: line 3", "two splits"),
    ("csv unknown split", lines("captions.csv", "b.jpg,A cat,7"), "captions.csv: line 3", "unknown split"),
    ("csv latin-1", lines("captions.csv", b"a.jpg,Un \xe9t\xe9,"), "captions.csv: line 3", "not UTF-8 text"),
    ("jsonl broken line", lines("captions.jsonl", '{"image": "b.jpg", "capt'), "line 2", "broken JSON"),
    ("jsonl no object", lines("captions.jsonl", "[1]"), "line 2", "wrong fields"),
    (
        "jsonl missing file",
        lines("captions.jsonl", '{"image": "c", "caption": "x"}'),
        "line 2",
        "missing image file",
    ),
    (
        "jsonl no captions",
        lines("captions.jsonl", '{"image": "b.jpg", "captions": []}'),
        "line 2",
        "image without captions",
    ),
    (
        "jsonl no list",
        lines("captions.jsonl", '{"image": "b.jpg", "captions": "x"}'),
        "line 2",
        "wrong fields",
    ),
    ("jsonl no caption", lines("captions.jsonl", '{"image": "b.jpg"}'), "line 2", "wrong fields"),
    (
        "jsonl number",
        lines("captions.jsonl", '{"image": "a.jpg", "caption": 7}'),
        "line 2, caption 1",
        "wrong fields",
    ),
    (
        "jsonl null byte",
        lines("captions.jsonl", r'{"image": "x\u0000/b.jpg", "caption": "x"}'),
        "line 2",
        "missing image file",
    ),
    (
        "jsonl split",
        lines("captions.jsonl", '{"image": "b.jpg", "caption": "x", "split": 1}'),
        "line 2",
        "unknown split",
    ),
    (
        "quote that is not closed",
        lines("captions.csv", 'b.jpg,"A cat,train', "b.jpg,One cat,train"),
        "line 3",
        "broken quotes",
    ),
    (
        "quote that is closed in a later row",
        lines("captions.csv", 'b.jpg,"A cat,train', 'b.jpg,"One, cat",train'),
        "line 3",
        "broken quotes",
    ),
    ("stray quote", lines("captions.csv", 'b.jpg,"Stop" sign,train'), "line 3", "broken quotes"),
    ("image without text file", sidecars(image="b.jpg"), "b.jpg", "image without captions"),
    (
        "image with an empty text file",
        sidecars(image="b.jpg", text="b.txt", content=""),
        "b.jpg",
        "image without captions",
    ),
    ("text file without image", sidecars(text="c.txt"), "c.txt", "missing image file"),
]


@pytest.mark.parametrize(
    ("make", "entry", "reason"), [row[1:] for row in BAD_ENTRIES], ids=[row[0] for row in BAD_ENTRIES]
)
def test_a_bad_entry_is_named_or_dropped_and_counted(
    tmp_path: Path, make: Make, entry: str, reason: str
) -> None:
    make(tmp_path)
    with pytest.raises(AnnotationError) as caught:
        load_annotations(tmp_path)
    message = str(caught.value)
    assert f"{entry}: {reason}: " in message
    assert str(tmp_path) in message
    assert message.endswith(", or drop and count such entries with --skip-bad")
    assert "\n" not in message

    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.captions for image in loaded.images if image.path.name == "a.jpg"] == [("A dog",)]
    assert loaded.skipped_by_reason == {reason: 1}
    assert loaded.skipped[0].entry.endswith(entry)
    assert all(text.isprintable() for image in loaded.images for text in image.captions)


def test_a_text_file_that_is_no_text_is_one_bad_entry(tmp_path: Path) -> None:
    sidecars(image="b.jpg", text="b.txt", content="\0\1")(tmp_path)
    with pytest.raises(AnnotationError, match=r"b\.txt: not UTF-8 text: .* --skip-bad$"):
        load_annotations(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.image_id for image in loaded.images] == ["a.jpg"]
    assert loaded.skipped_by_reason == {"not UTF-8 text": 1, "image without captions": 1}


def test_an_image_that_loses_its_only_caption_is_dropped_too(tmp_path: Path) -> None:
    lines("captions.jsonl", '{"image": "b.jpg", "caption": ""}')(tmp_path)
    loaded = load_annotations(tmp_path, skip_bad=True)
    assert [image.image_id for image in loaded.images] == ["a.jpg"]
    assert loaded.skipped_by_reason == {"empty caption": 1, "image without captions": 1}


BAD_FILES: list[tuple[str, str, object, str]] = [
    ("broken JSON", "annotations/captions_train2017.json", '{"images": [', "broken JSON .*line 1 column 13"),
    ("deep JSON", "captions.json", "[" * 100_000, "broken JSON"),
    ("a JSON number", "captions.json", "7", "wrong fields"),
    ("no images in COCO", "captions.json", {"annotations": []}, "no list 'images' at the top"),
    (
        "images of COCO no list",
        "captions.json",
        {"annotations": [], "images": {}},
        "no list 'images' at the top",
    ),
    ("nothing in COCO", "captions.json", {"annotations": [], "images": []}, "no captioned image"),
    ("empty file", "captions.csv", "", "the file is empty"),
    ("blank file", "captions.jsonl", " \n", "the file is empty"),
    ("only a header", "captions.csv", "image,caption\n", "no captioned image"),
    ("other columns", "captions.csv", "thing,words\na.jpg,A dog\n", "name them there: image,caption"),
    (
        "UTF-16",
        "captions.csv",
        "image,caption\na.jpg,A dog\n".encode("utf-16"),
        "not UTF-8 text; save the file as UTF-8",
    ),
]


@pytest.mark.parametrize(
    ("name", "content", "match"), [row[1:] for row in BAD_FILES], ids=[row[0] for row in BAD_FILES]
)
@pytest.mark.parametrize("skip_bad", [False, True])
def test_a_bad_file_cannot_be_skipped(
    tmp_path: Path, name: str, content: object, match: str, skip_bad: bool
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    file = write(tmp_path / name, content)
    with pytest.raises(AnnotationError, match=match) as caught:
        load_annotations(file, skip_bad=skip_bad)
    assert str(caught.value).startswith(str(file))
    assert "; " in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nothing_left_is_an_error_that_says_so(tmp_path: Path) -> None:
    write(tmp_path / "captions.csv", "image,caption\ngone.jpg,A dog\n")
    with pytest.raises(AnnotationError, match=r"no captioned image in it \(entries dropped: 1\)"):
        load_annotations(tmp_path, skip_bad=True)


@pytest.mark.parametrize("format_", ["coco", "karpathy", "flickr8k", "csv", "jsonl"])
def test_a_format_whose_files_are_not_there(tmp_path: Path, format_: DatasetFormat) -> None:
    with pytest.raises(AnnotationError, match=r"in it; "):
        load_annotations(tmp_path, format=format_)


def test_no_format_or_no_place_at_all(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    with pytest.raises(AnnotationError, match="no captions of a known format in it"):
        load_annotations(tmp_path)
    with pytest.raises(AnnotationError, match="not a folder"):
        load_annotations(tmp_path / "a.jpg", format="folder")
    with pytest.raises(UsageError, match=r"no such file or folder; correct the path"):
        load_annotations(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no such folder; correct --data\.images"):
        load_annotations(tmp_path, images=tmp_path / "nowhere")
    with pytest.raises(UsageError, match="'scenes' is drawn"):
        load_annotations(tmp_path, format="scenes")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "annotations" / "captions_train2017.json").mkdir(parents=True)
    with pytest.raises(AnnotationError, match=r"captions_train2017\.json: cannot be read \("):
        load_annotations(tmp_path)


def test_image_folders_are_listed_and_files_not_asked_for_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{number}.jpg" for number in range(50)]
    touch(tmp_path / "train2017", *names)
    content = coco(dict(enumerate(names)), [(number, "A dog") for number in range(50)])
    write(tmp_path / "annotations/captions_train2017.json", content)
    asked: list[object] = []
    stat, scandir = os.stat, os.scandir
    monkeypatch.setattr(os, "stat", lambda *a, **k: (asked.append(a), stat(*a, **k))[1])
    monkeypatch.setattr(os, "scandir", lambda *a: (asked.append(a), scandir(*a))[1])
    assert len(load_annotations(tmp_path).images) == 50
    assert 0 < len(asked) < 20


# --- where datasets are -------------------------------------------------------------------------------------


def test_datasets_are_looked_for_in_the_search_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one" / "birds").mkdir(parents=True)
    (tmp_path / "two" / "birds").mkdir(parents=True)
    (tmp_path / "two" / "cats").mkdir(parents=True)
    (tmp_path / "home" / "data" / "dogs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "home")
    monkeypatch.delenv("SHOWTELL_DATA", raising=False)
    assert find_dataset_root("dogs") == Path("data/dogs")
    assert find_dataset_root(str(tmp_path / "one")) == tmp_path / "one"
    assert find_dataset_root("cats", [tmp_path / "two"]) == tmp_path / "two" / "cats"
    monkeypatch.setenv("SHOWTELL_DATA", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    assert find_dataset_root("birds") == tmp_path / "one" / "birds"
    assert find_dataset_root("cats") == tmp_path / "two" / "cats"
    with pytest.raises(UsageError, match=r"no dataset 'dogs'.*SHOWTELL_DATA") as caught:
        find_dataset_root("dogs")
    assert str(tmp_path / "two" / "dogs") in str(caught.value)
    with pytest.raises(UsageError, match="no dataset"):
        find_dataset_root(str(tmp_path / "three"))


# --- real data ----------------------------------------------------------------------------------------------


@needs_shared
def test_the_real_flickr8k() -> None:
    loaded = load_annotations(SHARED / "data" / "flickr8k")
    assert loaded.format == "flickr8k"
    assert [len(by_split(loaded.images, split)) for split in ("train", "val", "test")] == [6000, 1000, 0]
    assert sum(len(image.captions) for image in loaded.images) == 35_000


@needs_shared
def test_the_real_coco() -> None:
    loaded = load_annotations(SHARED / "data" / "coco-mini")
    assert loaded.format == "coco"
    assert [len(by_split(loaded.images, split)) for split in ("train", "val")] == [80, 79]
    first = next(image for image in loaded.images if image.image_id == "125870")
    assert first.captions[0] == "An airport filled with large passenger jets parked next to each other."
