"""The arguments that `evaluate` and `report` share."""

from __future__ import annotations

from typing import get_args

from jsonargparse import ArgumentParser, Namespace

from showtell.commands.options import add_image_size, add_model, add_runtime
from showtell.config import DataConfig, DatasetFormat, References, SearchConfig
from showtell.evaluation.predictions import SUFFIXES
from showtell.evaluation.run import DEFAULT_DATA, EvaluationKeywords


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that both commands take."""
    add = parser.add_argument
    add_model(parser)
    add_runtime(parser)
    add_image_size(parser)
    add(
        "--predictions",
        metavar="FILE",
        help=f"captions to measure instead of a model's: {', '.join(SUFFIXES)}",
    )
    add("--against", metavar="NAME", help="a second model, or file of predictions, to compare with")
    add(
        "--data",
        metavar="PATH",
        help="the dataset's folder or annotation file, in any format that training reads; default: what the"
        f" run was trained on, else {DEFAULT_DATA}",
    )
    add("--format", choices=get_args(DatasetFormat), default="auto", help="how the annotations are written")
    add("--images", metavar="FOLDER", help="folder of the images, where it is not beside the annotations")
    add("--split", choices=("train", "val", "test", "all"), default="val", help="the images to caption")
    add(
        "--references",
        choices=get_args(References),
        help="captions to compare with: those that people wrote, or all (default: the run's, else person)",
    )
    add("--instances", metavar="FILE", help="COCO's instances_*.json, for object hallucination (CHAIR)")
    add("--beam-size", metavar="N", type=int, default=SearchConfig().beam_size, help="beams; 1 is greedy")
    add(
        "--num-captions", metavar="N", type=int, default=1, help="captions an image; over 1: diversity scores"
    )
    add("--java", type=bool, default=True, help="METEOR and SPICE, where Java and their models are present")
    add("--out", metavar="FOLDER", help="folder of the results (default: reports/<dataset>-<split>)")
    add("--cache", metavar="FOLDER", default="cache", help="where the drawn scenes of a run are")
    add("--skip-bad", action="store_true", help="drop and count unusable annotations, predictions and photos")


def data_of(args: Namespace) -> DataConfig | None:
    """The dataset that the arguments name; None for that of the run, or the default."""
    if args.data is None:
        return None
    return DataConfig(root=args.data, format=args.format, images=args.images)


def settings_of(args: Namespace) -> EvaluationKeywords:
    """The arguments of `showtell.evaluate` besides the model and the data."""
    return {
        "predictions": args.predictions,
        "against": args.against,
        "split": args.split,
        "references": args.references,
        "instances": args.instances,
        "beam_size": args.beam_size,
        "num_captions": args.num_captions,
        "java": args.java,
        "image_size": args.image_size,
        "runtime": args.runtime,
        "skip_bad": args.skip_bad,
        "cache": args.cache,
    }
