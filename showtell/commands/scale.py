"""Caption millions of images, or extract their features: restartable, by one process or many (Ray Data).

Images come from folders, globs, Parquet files and tar shards (WebDataset), on disks or in object stores.
They are divided into work units; each unit produces one shard in the output folder. Run the same command
again after an interruption: it processes the missing units.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonargparse import Namespace
from tqdm import tqdm

from showtell.commands.caption import add_search, search_config
from showtell.commands.shared.options import (
    add_device,
    add_general,
    add_model_options,
    naming_options,
    open_model,
    option,
)
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.settings import add_settings
from showtell.config import CacheConfig, EncoderConfig
from showtell.data.transforms import check_image_size
from showtell.errors import UsageError
from showtell.scale.job import FAILED, Job, open_job
from showtell.scale.listing import Columns, list_units
from showtell.scale.locks import exclusive_run
from showtell.scale.parts import WHOLE, Part
from showtell.scale.runner import remove_damaged, run_job
from showtell.scale.tasks import CaptionTask, FeatureTask, Task
from showtell.utils.progress import bars_hidden
from showtell.utils.storage import is_remote, location

if TYPE_CHECKING:  # it imports torch, which takes seconds: help and misuse are answered at once
    from showtell.features.encoding import FeatureEncoder

log = logging.getLogger(__name__)


EXAMPLES: Final = (
    ("{prog} caption photos/ --out captions", "captions of a folder, as JSON Lines"),
    ("{prog} extract shards/*.tar --out features --workers 4", "features, by four processes (Ray)"),
)

_CAPTION: Final = (
    ("{prog} photos/ --out captions", "a folder, in this process"),
    ("{prog} *.parquet --column jpg --out captions --workers 4", "tables, by four processes (Ray)"),
)
_EXTRACT: Final = (
    ("{prog} photos/ --out features", "a folder, in this process"),
    ("{prog} shards/*.tar --out features --cache.dtype int8 --workers 4", "half the disk, four processes"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell scale`."""
    commands = parser.add_subcommands(metavar="caption|extract")
    captions = Parser(description="Caption millions of photos, as JSON Lines.", examples=_CAPTION)
    features = Parser(description="Extract the features of millions of photos.", examples=_EXTRACT)
    _add_job(captions)
    add_model_options(captions)
    add_search(captions)
    _add_job(features)
    add_settings(features, EncoderConfig, "encoder", title="encoder")
    add_settings(features, CacheConfig, "cache", title="cache", only=("dtype", "exported"))
    add_device(features)
    commands.add_subcommand("caption", captions, help="captions, as JSON Lines")
    commands.add_subcommand("extract", features, help="the encoder's features, as safetensors files")
    for name, part in (("caption", captions), ("extract", features)):
        part.prog = f"{parser.prog} {name}"
        add_general(part)


def _add_job(parser: Parser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="folder, glob, file, .tar, .parquet, or - for names"
    )
    add = parser.add_argument_group("job").add_argument
    add(
        "--out",
        metavar="FOLDER",
        required=True,
        help="output folder of the shards; the same command continues an interrupted job",
    )
    add(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="processes that work together (Ray actors); 0: this process, without Ray",
    )
    add("--address", metavar="ADDRESS", help="of a Ray cluster: auto, or host:port; without it, this machine")
    add(
        "--part",
        metavar="K/N",
        help="do the K-th of N parts of the work units; the others are done by commands of their own, which"
        " share --out (SLURM arrays)",
    )
    add(
        "--unit-size",
        metavar="N",
        type=int,
        default=512,
        help="maximum number of photos per work unit, and so per shard",
    )
    add("--column", metavar="NAME", help="of Parquet files: holds the photos (bytes, or names of files)")
    add("--id-column", metavar="NAME", help="of Parquet files: names the photos; else they are numbered")


def run(parser: Parser, args: Namespace) -> int:  # noqa: ARG001 - all commands are called alike
    """Do a job; returns 1 if no image could be decoded, else 0.

    Raises:
        UsageError: the arguments are out of range, or the folder holds another job.
        ShowtellError: a source cannot be read, or a worker failed.
    """
    captions, chosen = args.subcommand == "caption", args[args.subcommand]
    _check(chosen)
    task, settings = _caption_task(chosen) if captions else _feature_task(chosen)
    settings |= {name: chosen[name] for name in ("sources", "unit_size", "column", "id_column")}
    if not all(Path(name).is_absolute() or is_remote(name) for name in chosen.sources):
        settings["cwd"] = str(Path.cwd())
    folder, columns = location(chosen.out), Columns(chosen.column, chosen.id_column)
    part = WHOLE if chosen.part is None else Part.parse(chosen.part)
    with exclusive_run(folder, part):
        job = open_job(
            folder, task.shards, settings, lambda: list_units(chosen.sources, chosen.unit_size, columns), part
        )
        return _work(job, task, chosen, "captions" if captions else "features")


def _check(args: Namespace) -> None:
    least = {"workers": 0, "unit_size": 1, "batch_size": 1}
    for name, value in least.items():
        if args.get(name) is not None and args[name] < value:
            raise UsageError(f"{option(name)} must be at least {value}")
    if args.address is not None and not args.workers:
        raise UsageError("--address: name the number of workers with --workers")
    if args.workers and args.device.startswith("cuda:"):
        raise UsageError(
            f"--device {args.device}: Ray gives each worker a GPU of its own; take --device cuda, and show it"
            f" only that GPU with CUDA_VISIBLE_DEVICES={args.device.removeprefix('cuda:')}"
        )


def _caption_task(args: Namespace) -> tuple[Task, dict[str, Any]]:
    config = search_config(args)
    check_image_size(args.image_size)
    load = partial(open_model, args.model, args.runtime, args.encoder, args.image_size, args.device)
    task = CaptionTask(load, config, args.batch_size)
    named = {name: args[name] for name in ("model", "runtime", "encoder")}
    if args.image_size is not None:  # jobs that were begun without the option can be continued
        named["image_size"] = args.image_size
    return task, named | {"search": asdict(config)}


def _feature_task(args: Namespace) -> tuple[Task, dict[str, Any]]:
    with naming_options("encoder"):
        config = EncoderConfig(**vars(args.encoder))
    task = FeatureTask(partial(load_encoder, config, args.cache.exported, args.device), args.cache.dtype)
    return task, {
        "encoder": asdict(config),
        **{f"cache.{name}": value for name, value in vars(args.cache).items()},
    }


def load_encoder(config: EncoderConfig, exported: str | None, device: str) -> FeatureEncoder:
    """The encoder that computes the features: by its settings, or that of an exported model.

    Args:
        config: settings of the encoder.
        exported: folder of the exported model.
        device: see `pick_device`.

    Raises:
        EncoderError: the weights cannot be loaded.
        UsageError: the exported model is none, or of another encoder.
    """
    from showtell.encoder.cnn import CNNEncoder
    from showtell.features.extraction import feature_encoder
    from showtell.utils.devices import pick_device

    encoder = CNNEncoder.from_config(config).to(pick_device(device))
    return feature_encoder(CacheConfig(exported=exported), encoder)


def _work(job: Job, task: Task, args: Namespace, what: str) -> int:
    remove_damaged(job, task)
    total, missing = job.images(job.numbers), job.missing()
    bar = tqdm(total=total, initial=total - job.images(missing), desc=what, unit="img", disable=bars_hidden())
    with bar:
        try:
            summary = run_job(
                job,
                task,
                workers=args.workers,
                address=args.address,
                gpus=args.device != "cpu",
                progress=bar.update,
            )
        except KeyboardInterrupt:
            done = total - job.images(job.missing())
            log.info(
                "%s of %s photos are done; run the same command again to continue", f"{done:,}", f"{total:,}"
            )
            raise
    log.info("%s", summary)
    whole = replace(job, part=WHOLE)
    left = len(whole.missing()) if job.part != WHOLE else 0
    shards = f"{len(job.numbers)} of {len(job.units)}" if job.part != WHOLE else f"{len(job.units)}"
    log.info("%s: %s shards of %s", job.folder, shards, what)
    if job.part != WHOLE:
        log.info(
            "part %s is done; %s",
            job.part,
            f"shards of other parts that are missing: {left}" if left else "so are the others",
        )
    if summary.failed and not left:
        log.info("%s: the photos that failed, and why", job.folder / FAILED)
    return 0 if not summary.images or len(summary.failed) < summary.images else 1
