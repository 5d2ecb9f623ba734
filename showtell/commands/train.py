"""Train a captioner. Without arguments: on drawn scenes, end to end in a few minutes.

The run's folder gets the whole model whenever the validation loss decreases.
"""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from statistics import median

import torch
from jsonargparse import ArgumentParser, Namespace

from showtell.captioner import Captioner
from showtell.commands.run_config import add_run_arguments, describe, run_settings, to_run_config
from showtell.commands.training_parts import caption_sets, image_source, new_captioner
from showtell.config import RunConfig
from showtell.data.prepare import PreparedData, prepare_data
from showtell.data.scenes import judge_caption, read_scenes
from showtell.devices import log_gpu_memory, pick_device
from showtell.encoder import CNNEncoder
from showtell.errors import CheckpointError
from showtell.files import write_atomic
from showtell.gpu_memory import MemoryByStage, find_gpu
from showtell.training.callbacks import CHECKPOINT, InterruptedTrainingError, scores_of_dataset
from showtell.training.distributed import FirstFailed, first_goes_first, of_first, processes, start_processes
from showtell.training.fit import TrainingResult, fit

log = logging.getLogger(__name__)

CONFIG = "config.yaml"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of `showtell train`."""
    add_run_arguments(parser)
    parser.add_argument("--resume", action="store_true", help="go on with the run that was stopped or killed")


def run(parser: ArgumentParser, args: Namespace) -> None:
    """Train."""
    started = time.monotonic()
    config = to_run_config(parser, args)
    ours = start_processes(config.trainer)
    if not ours.is_first:  # process 0 talks for all
        logging.getLogger("showtell").setLevel(logging.ERROR)
    memory = MemoryByStage(find_gpu())
    try:
        result, data, folder = _train(config, run_settings(parser, args), args.resume, memory)
    except (InterruptedTrainingError, FirstFailed):
        if ours.is_first:
            raise
        return  # process 0 says it
    if ours.is_first:
        _show_captions(Captioner.load(str(folder)), data, config)
        _summarise(result, memory, (time.monotonic() - started) / 60)
        log.info("Caption your own photo with it:\n  python inference.py --model %s photo.jpg", folder)


def _train(
    config: RunConfig, settings: str, resume: bool, memory: MemoryByStage
) -> tuple[TrainingResult, PreparedData, Path]:
    """Train, in each of the processes that were started."""
    with first_goes_first():
        folder = _run_folder(config.out_dir, resume)
        data = prepare_data(config.data, Path(config.cache.dir))
    folder = of_first(folder)
    describe(data)
    if not resume and processes().is_first:
        write_atomic(folder / CONFIG, settings)
    torch.manual_seed(config.training.seed)
    encoder = CNNEncoder.from_config(config.encoder).to(pick_device())
    captioner = new_captioner(config, encoder, data.vocabulary)
    log.info(
        "Decoder %s (%s): %.1f M weights; encoder %s: frozen",
        config.decoder.kind,
        config.decoder.cell,
        sum(p.numel() for p in captioner.decoder.parameters()) / 1e6,
        config.encoder.weights,
    )
    log_gpu_memory("before training")
    with first_goes_first(), memory.stage("features"):
        load, images = image_source(config, encoder, data.train + data.val)
    train, val = caption_sets(config, images, data.vocabulary, load)
    result = fit(
        captioner,
        train,
        val,
        config.training,
        config.search,
        folder,
        self_critical=config.self_critical,
        trainer=config.trainer,
        memory=memory,
        resume=resume,
    )
    return result, data, folder


def _summarise(result: TrainingResult, memory: MemoryByStage, minutes: float) -> None:
    """Say how good the best model is, how fast training was, and what it took of the GPU."""
    log.info(
        "\nBest model: epoch %.0f of %d, validation loss %.4f, CIDEr %.3f%s; %.1f min in all",
        result.best["epoch"],
        len(result.epochs),
        result.best_loss,
        result.best.get("CIDEr", math.nan),
        " (means of the datasets)" if any("/" in name for name in result.best) else "",
        minutes,
    )
    for dataset in dict.fromkeys(name.partition("/")[2] for name in result.best if "/" in name):
        log.info("  %s", scores_of_dataset(result.best, dataset))
    rates = [median(row[f"{what}_per_second"] for row in result.epochs) for what in ("captions", "images")]
    log.info("Training speed, median of the epochs: %.0f captions/s, %.0f images/s", *rates)
    if said := memory.summary():
        log.info("%s", said)


def _run_folder(wanted: Path, resume: bool) -> Path:
    """The first free one of `wanted`, `wanted`-2, -3, ...; to resume, the last one that is there."""
    folders = [wanted, *(wanted.with_name(f"{wanted.name}-{n}") for n in range(2, 10_000))]
    first_free = next(i for i, folder in enumerate(folders) if not (folder / CONFIG).exists())
    if not resume:
        return folders[first_free]
    if first_free == 0:
        raise CheckpointError(
            f"{wanted}: no run to resume there; leave out --resume, or name its folder with --out"
        )
    folder = folders[first_free - 1]
    if not (folder / CHECKPOINT).exists():
        raise CheckpointError(
            f"{folder}: stopped before its first checkpoint; leave out --resume to start again"
        )
    return folder


def _show_captions(captioner: Captioner, data: PreparedData, config: RunConfig) -> None:
    """A few captions of pictures that were not trained on; of drawn scenes, also how many are right."""
    held_out = data.test or data.val
    shown = held_out[:5]
    log.info("\nCaptions of pictures it has not been trained on:")
    for image, captions in zip(shown, captioner.caption([i.path for i in shown], config.search), strict=True):
        log.info("  %s: %s", image.path.name, captions[0].text)
    if config.data.root is None:
        scenes = read_scenes(held_out[0].path.parent.parent)
        stream = captioner.caption_stream(held_out, config.search, open_source=lambda image: image.path)
        right = sum(
            judge_caption(done.captions[0].text, scenes[done.source.image_id]).all_right for done in stream
        )
        log.info(
            "Objects, colours and relation all right: %.1f %% of %d held-out scenes",
            100 * right / len(held_out),
            len(held_out),
        )
