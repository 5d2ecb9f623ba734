"""Caption millions of pictures, or extract their features: restartable, by one process or many (Ray Data).

Pictures come from folders, globs, Parquet files and tar shards (WebDataset). They are cut into work units;
each becomes a shard in the output folder. After a stop, the same command does what is missing.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace
from tqdm import tqdm

from showtell.commands.caption import add_search, search_config
from showtell.commands.options import (
    add_encoder,
    add_image_size,
    add_model,
    add_runtime,
    naming_options,
    open_model,
    option,
)
from showtell.config import CacheConfig, EncoderConfig, FeatureType
from showtell.data.images import check_image_size
from showtell.errors import UsageError
from showtell.scale.job import FAILED, Job, only_run, open_job
from showtell.scale.listing import Columns, list_units
from showtell.scale.running import run_job
from showtell.scale.tasks import CaptionTask, FeatureTask, Task

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.features import FeatureEncoder

log = logging.getLogger(__name__)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `showtell scale`."""
    commands = parser.add_subcommands()
    captions, features = ArgumentParser(), ArgumentParser()
    _add_job(captions)
    add_model(captions)
    add_encoder(captions)
    add_runtime(captions)
    add_image_size(captions)
    add_search(captions)
    _add_job(features)
    features.add_class_arguments(EncoderConfig, "encoder")
    features.add_argument(
        "--cache.dtype", type=FeatureType, default="float16", help="int8 takes half the disk"
    )
    features.add_argument(
        "--cache.exported",
        metavar="FOLDER",
        help="an exported model, whose encoder makes the features instead",
    )
    commands.add_subcommand("caption", captions, help="captions, as JSON Lines")
    commands.add_subcommand("extract", features, help="the encoder's features, as safetensors files")


def _add_job(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("sources", nargs="+", metavar="SOURCE", help="folder, glob, file, .tar, .parquet, or - for names")
    add("--out", metavar="FOLDER", required=True, help="where the shards go; the same again goes on")
    add("--workers", metavar="N", type=int, default=0, help="Ray actors; 0: this process, without Ray")
    add("--address", metavar="ADDRESS", help="of a Ray cluster: auto, or host:port; without it, this machine")
    add("--unit-size", metavar="N", type=int, default=512, help="pictures a work unit, and a shard, at most")
    add("--column", metavar="NAME", help="of Parquet files: holds the pictures (bytes, or names of files)")
    add("--id-column", metavar="NAME", help="of Parquet files: names the pictures; else they are numbered")
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def run(parser: ArgumentParser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Do a job; returns 1 where no picture could be shown, else 0.

    Raises:
        UsageError: the arguments are out of range, or the folder holds another job.
        ShowtellError: a source cannot be read, or a worker failed.
    """
    captions, chosen = args.subcommand == "caption", args[args.subcommand]
    _check(chosen)
    task, settings = _caption_task(chosen) if captions else _feature_task(chosen)
    settings |= {name: chosen[name] for name in ("sources", "unit_size", "column", "id_column")}
    if not all(Path(name).is_absolute() for name in chosen.sources):
        settings["cwd"] = str(Path.cwd())
    folder, columns = Path(chosen.out), Columns(chosen.column, chosen.id_column)
    with only_run(folder):
        job = open_job(
            folder, task.shards, settings, lambda: list_units(chosen.sources, chosen.unit_size, columns)
        )
        return _work(job, task, chosen, "captions" if captions else "features")


def _check(args: Namespace) -> None:
    least = {"workers": 0, "unit_size": 1, "batch_size": 1}
    for name, value in least.items():
        if name in args and args[name] < value:
            raise UsageError(f"{option(name)} must be at least {value}")
    if args.address is not None and not args.workers:
        raise UsageError("--address: say how many workers the cluster shall run, with --workers")


def _caption_task(args: Namespace) -> tuple[Task, dict[str, Any]]:
    config = search_config(args)
    check_image_size(args.image_size)
    load = partial(open_model, args.model, args.runtime, args.encoder, args.image_size)
    task = CaptionTask(load, config, args.batch_size)
    named = {name: args[name] for name in ("model", "runtime", "encoder")}
    if args.image_size is not None:  # jobs that were begun without the option go on
        named["image_size"] = args.image_size
    return task, named | {"search": asdict(config)}


def _feature_task(args: Namespace) -> tuple[Task, dict[str, Any]]:
    with naming_options("encoder"):
        config = EncoderConfig(**vars(args.encoder))
    task = FeatureTask(partial(load_encoder, config, args.cache.exported), args.cache.dtype)
    return task, {
        "encoder": asdict(config),
        **{f"cache.{name}": value for name, value in vars(args.cache).items()},
    }


def load_encoder(config: EncoderConfig, exported: str | None) -> FeatureEncoder:
    """What makes the features: the encoder by its settings, or in its place that of an exported model.

    Raises:
        EncoderError: the weights cannot be loaded.
        UsageError: the exported model is none, or of another encoder.
    """
    from showtell.devices import pick_device
    from showtell.encoder import CNNEncoder
    from showtell.feature_extraction import feature_encoder

    encoder = CNNEncoder.from_config(config).to(pick_device())
    return feature_encoder(CacheConfig(exported=exported), encoder)


def _work(job: Job, task: Task, args: Namespace, what: str) -> int:
    total, missing = job.pictures(range(len(job.units))), job.missing()
    bar = tqdm(total=total, initial=total - job.pictures(missing), desc=what, unit="img", disable=None)
    with bar:
        try:
            summary = run_job(job, task, workers=args.workers, address=args.address, progress=bar.update)
        except KeyboardInterrupt:
            done = total - job.pictures(job.missing())
            log.info("%s of %s pictures are done; the same command goes on", f"{done:,}", f"{total:,}")
            raise
    log.info("%s", summary)
    log.info("%s: %d shards of %s", job.folder, len(job.units), what)
    if summary.failed:
        log.info("%s: the pictures that failed, and why", job.folder / FAILED)
    return 0 if len(summary.failed) < summary.pictures else 1
