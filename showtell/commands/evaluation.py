"""What `evaluate` and `report` share: the images of a split, and captions of them from a model or a file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml
from jsonargparse import Namespace
from tqdm import tqdm

from showtell.commands.options import add_model_options, open_model
from showtell.commands.parser import Parser
from showtell.commands.settings import add_plain_settings
from showtell.config import DataConfig, SearchConfig
from showtell.data.images import check_image_size
from showtell.data.prepare import by_people, load_images, named_datasets, with_captions
from showtell.data.records import CaptionedImage, Split
from showtell.data.segmentation import segment
from showtell.data.splits import by_split
from showtell.errors import ShowtellError, UsageError
from showtell.evaluation.chair import load_instances
from showtell.evaluation.measure import Confidence, Measures, measure
from showtell.evaluation.predictions import SUFFIXES, read_predictions
from showtell.evaluation.scorecard import ScoreCard
from showtell.printable import message_line
from showtell.progress import bars_hidden
from showtell.yaml_files import read_yaml

if TYPE_CHECKING:  # it imports torch, which takes seconds: a file of predictions needs none of it
    from showtell.captioning import Caption

log = logging.getLogger(__name__)

RUN_CONFIG = "config.yaml"
DEFAULT_DATA = "flickr8k"
SPLITS = ("train", "val", "test", "all")


@dataclass(frozen=True)
class EvaluationData:
    """What is captioned, and what the captions are measured by.

    Attributes:
        name: of the dataset.
        split: the part of it that is captioned.
        images: of this split.
        training: captions of the training images.
        objects: image id -> COCO objects in it, where they are known.
        skipped: annotations that were dropped, by reason.
        others: the images of the other splits.
    """

    name: str
    split: str
    images: list[CaptionedImage]
    training: list[str]
    objects: Mapping[str, frozenset[str]] | None
    skipped: Counter[str]
    others: list[CaptionedImage]


@dataclass(frozen=True)
class Captions:
    """What a model, or a file, says of the images.

    Attributes:
        name: of the model (with `@` and the image size, where it is not the model's own), or of the file.
        texts: image id -> captions, best first.
        best: image id -> the best caption with all that the model knows of it; empty where a file said it.
        skipped: what was dropped, by reason.
        search: how captions were found; empty where a file said them.
        doubts: whether the model has a threshold below which captions are doubtful.
    """

    name: str
    texts: dict[str, tuple[str, ...]]
    best: dict[str, Caption]
    skipped: Counter[str]
    search: str
    doubts: bool = False

    @property
    def confidences(self) -> dict[str, Confidence] | None:
        """Image id -> confidence of the best caption; empty where it is not calibrated, None of a file."""
        if not self.best:
            return None
        return {
            image: Confidence(caption.confidence, caption.doubtful if self.doubts else None)
            for image, caption in self.best.items()
            if caption.confidence is not None
        }

    def segmented(self) -> Captions:
        """These with spaces around each character of a script without spaces, as the references have them."""
        return replace(self, texts={i: tuple(map(segment, texts)) for i, texts in self.texts.items()})


def add_arguments(parser: Parser) -> None:
    """Add the arguments that both commands take."""
    add_model_options(parser, encoder=False)
    add = parser.add_argument_group("captions").add_argument
    add(
        "--predictions",
        metavar="FILE",
        help=f"captions to measure instead of a model's: {', '.join(SUFFIXES)}",
    )
    add("--against", metavar="NAME", help="a second model, or file of predictions, to compare with")
    add_plain_settings(parser, SearchConfig, "search", ["beam_size", "num_captions"], title="search")
    add = parser.add_argument_group("dataset").add_argument
    add(
        "--data",
        metavar="PATH",
        help="the dataset's folder or annotation file, in any format that training reads; default: what the"
        f" run was trained on, else {DEFAULT_DATA}",
    )
    add(
        "--split",
        metavar="|".join(SPLITS),
        choices=SPLITS,
        help="the images to caption (default: val; of a file of predictions on data without splits: all)",
    )
    add("--instances", metavar="FILE", help="COCO's instances_*.json, for object hallucination (CHAIR)")
    add("--cache", metavar="FOLDER", default="cache", help="where the drawn scenes of a run are")
    add_plain_settings(
        parser,
        DataConfig,
        "data",
        ["format", "images", "references", "segmentation"],
        defaults={"references": None, "segmentation": None},
    )
    add = parser.add_argument
    add(
        "--java",
        metavar="true|false",
        type=bool,
        default=True,
        help="METEOR and SPICE, where Java and their models are present",
    )
    add("--out", metavar="FOLDER", help="folder of the results (default: reports/<dataset>-<split>)")
    add("--skip-bad", action="store_true", help="drop and count unusable annotations, predictions and photos")


def load_data(
    args: Namespace, config: DataConfig, name: str, *, need_files: bool, cut_splits: bool = True
) -> EvaluationData:
    """The images of the split that the arguments name, with the captions to compare with.

    Args:
        args: the arguments.
        config: of one dataset.
        name: of the dataset.
        need_files: refuse images whose files are not there.
        cut_splits: cut the splits that the data lack from the training images, as training does.

    Raises:
        UsageError: there are none in the split, or no such dataset.
        AnnotationError: the annotations cannot be used.
    """
    cut_splits = cut_splits and args.split != "all"
    _, images, skipped = load_images(config, Path(args.cache), need_files=need_files, cut_splits=cut_splits)
    without_splits = not cut_splits and all(image.split == "train" for image in images)
    split: Split | Literal["all"] = args.split or ("all" if without_splits else "val")
    chosen = images if split == "all" else by_split(images, split)
    if config.references == "person":
        chosen = with_captions([by_people(image) for image in chosen], skipped)
    if not chosen:
        present = sorted({image.split for image in images})
        raise UsageError(f"{name}: no images in the split {split!r}; choose --split of {present} or 'all'")
    training = [] if split in ("train", "all") else by_split(images, "train")
    if config.model_captions == 0:
        training = [by_people(image) for image in training]
    ids = {image.image_id for image in chosen}
    return EvaluationData(
        name,
        split,
        chosen,
        [caption for image in training for caption in image.captions],
        load_instances(Path(args.instances)) if args.instances else None,
        skipped,
        [image for image in images if image.image_id not in ids],
    )


def datasets(args: Namespace) -> dict[str, DataConfig]:
    """The datasets to evaluate on by their names: of a run that was trained on several each by itself.

    Raises:
        UsageError: a dataset is nowhere.
    """
    config = _data_config(args)
    if config.root is None or config.format == "scenes":
        return {"scenes": config}
    return {
        name: replace(config, root=[dataset], format="auto", images=None)
        for name, dataset in named_datasets(config).items()
    }


def _data_config(args: Namespace) -> DataConfig:
    """The data that the arguments name, else those of the run, else the default."""
    config = DataConfig(
        root=args.data or DEFAULT_DATA, format=args.format, images=args.images, skip_bad=args.skip_bad
    )
    if args.data is None and not args.predictions and (Path(args.model) / RUN_CONFIG).is_file():
        file = Path(args.model) / RUN_CONFIG
        try:
            own = DataConfig(**read_yaml(file)["data"])
        except (OSError, LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
            reason = message_line(str(error))
            raise UsageError(f"{file}: damaged ({reason}); name the data with --data") from error
        config = replace(own, skip_bad=own.skip_bad or args.skip_bad, tuning=False)
    return replace(
        config,
        references=args.references or config.references,
        segmentation=args.segmentation or config.segmentation,
    )


def captions_of(name: str, data: EvaluationData, args: Namespace, *, attention: bool = False) -> Captions:
    """Captions of the images: from a file of predictions, if `name` is one, else from the model of that name.

    Raises:
        ShowtellError: the file, the model or a photo cannot be used.
    """
    if is_file(name):
        read = read_predictions(Path(name), data.images, skip_bad=args.skip_bad, others=data.others)
        return Captions(name, read.captions, {}, read.skipped_by_reason, "")
    return _caption(name, data, args, attention=attention)


def is_file(name: str) -> bool:
    """Whether a name is that of a file of predictions, not of a model."""
    return Path(name).suffix.lower() in SUFFIXES


def _caption(name: str, data: EvaluationData, args: Namespace, *, attention: bool) -> Captions:
    number = args.num_captions
    config = SearchConfig(beam_size=max(args.beam_size, number), num_captions=number)
    captioner = open_model(name, args.runtime, image_size=args.image_size)
    stream = captioner.caption_stream(
        data.images,
        config,
        open_source=lambda image: image.path,
        attention=attention and captioner.attends,
    )
    said: dict[str, tuple[Caption, ...]] = {}
    skipped: Counter[str] = Counter()
    for done in tqdm(
        stream, total=len(data.images), desc=f"captions by {name}", unit="img", disable=bars_hidden()
    ):
        if done.error is None:
            said[done.source.image_id] = done.captions
        elif args.skip_bad:
            log.warning("skipped %s", done.error)
            skipped["photo that cannot be shown"] += 1
        else:
            raise ShowtellError(f"{done.error}; mend it, or drop and count such photos with --skip-bad")
    if not said:
        raise ShowtellError(f"{data.name}: no photo of the split can be shown")
    return Captions(
        name if args.image_size is None else f"{name}@{args.image_size}",
        {image: tuple(caption.text for caption in captions) for image, captions in said.items()},
        {image: captions[0] for image, captions in said.items()},
        skipped,
        f"beam {config.beam_size}",
        captioner.calibration is not None and captioner.calibration.doubtful is not None,
    )


def measure_all(sources: Sequence[Captions], data: EvaluationData, *, java: bool) -> list[Measures]:
    """Measure each on the images that all have captions of."""
    common = [i.image_id for i in data.images if all(i.image_id in source.texts for source in sources)]
    if not common:
        raise ShowtellError("no image has captions of both; compare captions of the same images")
    references = {image.image_id: image.captions for image in data.images}
    return [
        measure(
            {image: source.texts[image] for image in common},
            references,
            training=data.training,
            objects=data.objects,
            java=java,
            confidences=source.confidences,
        )
        for source in sources
    ]


def compared(args: Namespace) -> list[str]:
    """Names of the model, or the file of predictions, that is measured, and of what it is compared with."""
    return [args.predictions or args.model, *([args.against] if args.against else [])]


def evaluate(
    args: Namespace, config: DataConfig, name: str, *, attention: bool = False
) -> tuple[EvaluationData, list[Captions], list[Measures], list[ScoreCard]]:
    """Caption the images of a dataset by one model or two, and measure.

    Args:
        args: the arguments.
        config: of the dataset, one of `datasets(args)`.
        name: of the dataset.
        attention: keep where the model looked.

    Raises:
        ShowtellError: something cannot be used.
    """
    if args.num_captions < 1 or args.beam_size < 1:
        raise UsageError("--num-captions and --beam-size must be at least 1")
    names = compared(args)
    if len(set(names)) < len(names):
        raise UsageError(f"--against {args.against}: that is the model itself; name another")
    if args.predictions and not is_file(args.predictions):
        raise UsageError(
            f"{args.predictions}: predictions are read from {', '.join(SUFFIXES)} files; name one"
        )
    check_image_size(args.image_size)
    if args.image_size is not None and all(map(is_file, names)):
        raise UsageError("--image-size is for models: leave it out where files of predictions are measured")
    files_only = all(map(is_file, names))
    data = load_data(args, config, name, need_files=attention or not files_only, cut_splits=not files_only)
    sources = [captions_of(each, data, args, attention=attention) for each in names]
    if config.segmentation == "characters":
        sources = [source.segmented() for source in sources]
    found = measure_all(sources, data, java=args.java)
    cards = [
        ScoreCard.of(
            measures,
            model=source.name,
            data=data.name,
            split=data.split,
            search=source.search,
            skipped=data.skipped + source.skipped,
        )
        for source, measures in zip(sources, found, strict=True)
    ]
    return data, sources, found, cards


def results_folder(args: Namespace, data: EvaluationData, *, within: bool) -> Path:
    """Where the results go; `within`: --out holds a folder for each dataset."""
    name = f"{data.name}-{data.split}"
    if args.out:
        return Path(args.out, name) if within else Path(args.out)
    return Path("reports", name)


def save_cards(cards: Sequence[ScoreCard], folder: Path) -> list[Path]:
    """Write the scores, a file a model.

    Raises:
        ShowtellError: they cannot be written.
    """
    try:
        return [card.save(folder) for card in cards]
    except OSError as error:
        raise ShowtellError(
            f"{folder}: cannot be written ({error.strerror or error}); name another --out"
        ) from error
