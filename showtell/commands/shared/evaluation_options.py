"""The arguments that `evaluate` and `report` share."""

from __future__ import annotations

from pathlib import Path

from jsonargparse import Namespace

from showtell.commands.shared.options import add_model_options
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.settings import add_plain_settings
from showtell.config import DataConfig, SearchConfig
from showtell.errors import UsageError
from showtell.evaluation.dataset import DEFAULT_DATA
from showtell.evaluation.predictions import SUFFIXES
from showtell.evaluation.settings import SPLITS, EvaluationKeywords
from showtell.utils.files import require_writable


def add_arguments(parser: Parser) -> None:
    """Add the arguments that both commands take."""
    add_model_options(parser, encoder=False, default_model=None)
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
    add("--cache", metavar="FOLDER", default="cache", help="folder of the synthetic scenes of a run")
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
        help="METEOR and SPICE, if Java and their models are available",
    )
    add("--out", metavar="FOLDER", help="folder of the results (default: reports/<dataset>-<split>)")
    add("--skip-bad", action="store_true", help="drop and count unusable annotations, predictions and photos")


def check_out(args: Namespace) -> None:
    """See whether the results can be written, before a model is loaded.

    Raises:
        UsageError: they cannot.
    """
    require_writable(Path(args.out or "reports"), UsageError)


def data_of(args: Namespace) -> DataConfig | None:
    """The dataset that the arguments name; None for that of the run, or the default.

    Raises:
        UsageError: they say how to read a dataset, but not which.
    """
    if args.data is None:
        if args.images is not None or args.format != "auto":
            raise UsageError("--format and --images say how to read --data: name that too")
        return None
    return DataConfig(root=args.data, format=args.format, images=args.images)


def settings_of(args: Namespace) -> EvaluationKeywords:
    """The arguments of `showtell.evaluate` besides the model and the data."""
    return {
        "predictions": args.predictions,
        "against": args.against,
        "split": args.split,
        "references": args.references,
        "segmentation": args.segmentation,
        "instances": args.instances,
        "beam_size": args.beam_size,
        "num_captions": args.num_captions,
        "java": args.java,
        "image_size": args.image_size,
        "runtime": args.runtime,
        "device": args.device,
        "skip_bad": args.skip_bad,
        "cache": args.cache,
    }
