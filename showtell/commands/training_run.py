"""A training run from its settings to its summary: what `showtell train` does, once its options are read."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from showtell.captioner import Captioner
from showtell.commands.initial import NONE, Initial, load_initial
from showtell.commands.run_config import describe, warn_of_few
from showtell.commands.training_parts import caption_sets, image_source, new_captioner
from showtell.config import RunConfig
from showtell.data.prepare import PreparedData, prepare_data
from showtell.data.scenes import judge_caption, read_scenes
from showtell.devices import log_gpu_memory, pick_device
from showtell.encoder import CNNEncoder
from showtell.errors import TrainingDivergedError
from showtell.files import write_atomic
from showtell.gpu_memory import MemoryByStage, find_gpu
from showtell.resources import DEFAULT_MODEL
from showtell.training.callbacks import InterruptedTrainingError, collapsed, scores_of_dataset
from showtell.training.distributed import FirstFailed, first_goes_first, of_first, processes, start_processes
from showtell.training.fit import TrainingResult, fit
from showtell.training.initial import extended_captioner, place_new_words
from showtell.training.run_folder import CONFIG, run_folder

log = logging.getLogger(__name__)


def train(config: RunConfig, settings: Callable[[RunConfig], str], *, resume: bool) -> None:
    """Train, in each of the processes that are asked for; process 0 logs captions and scores.

    Args:
        config: the settings of the run.
        settings: gives them as YAML, with what the data has decided.
        resume: go on with the run that was stopped or killed.
    """
    started = time.monotonic()
    ours = start_processes(config.trainer)
    if not ours.is_first:  # process 0 talks for all
        logging.getLogger("showtell").setLevel(logging.ERROR)
    memory = MemoryByStage(find_gpu())
    try:
        with ExitStack() as held:
            result, data, folder = _train(config, settings, resume, memory, held)
    except (InterruptedTrainingError, TrainingDivergedError, FirstFailed):
        if ours.is_first:
            raise
        return  # process 0 says it
    if ours.is_first:
        _show_captions(Captioner.load(str(folder)), data, config)
        _summarise(result, memory, (time.monotonic() - started) / 60)
        if collapsed(result.best, len(data.val)):
            log.warning(
                "it says the same of every photo: it has learned how captions go, and not to look;"
                " train on more photos or longer, or start from a model (--init %s)",
                DEFAULT_MODEL,
            )
        log.info("Caption your own photo with it:\n  python inference.py --model %s photo.jpg", folder)


def _train(
    config: RunConfig,
    settings: Callable[[RunConfig], str],
    resume: bool,
    memory: MemoryByStage,
    held: ExitStack,
) -> tuple[TrainingResult, PreparedData, Path]:
    """Train, in each of the processes that were started.

    Args:
        config: the run.
        settings: gives the run's configuration as YAML.
        resume: continue a run.
        memory: of the GPU.
        held: keeps the run's folder locked until it is closed.
    """
    with first_goes_first():
        folder = config.out_dir
        if processes().is_first:
            folder = held.enter_context(run_folder(config.out_dir, resume=resume))
        data = prepare_data(config.data, Path(config.cache.dir))
        initial = load_initial(config, data)
    folder = of_first(folder)
    config = replace(config, init=NONE, data=replace(config.data, min_count=data.min_count))
    if initial is not None:
        config = initial.settle(config)
    describe(data)
    warn_of_few(data, config)
    if not resume and processes().is_first:
        write_atomic(folder / CONFIG, settings(config))
    torch.manual_seed(config.training.seed)
    captioner = _new_or_extended(config, data, initial)
    log.info(
        "Decoder %s (%s): %.1f M weights; encoder %s: frozen",
        config.decoder.kind,
        config.decoder.cell,
        sum(p.numel() for p in captioner.decoder.parameters()) / 1e6,
        config.encoder.weights,
    )
    log_gpu_memory("before training")
    with first_goes_first(), memory.stage("features"):
        load, images = image_source(config, captioner.encoder, data.train + data.val)
    train, val = caption_sets(config, images, captioner.vocabulary, load)
    if initial is not None:  # a resumed run also needs the weights that it started from
        place_new_words(captioner, initial.decoder, train)
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
        retention=initial.retention(config.finetune) if initial else None,
    )
    return result, data, folder


def _new_or_extended(config: RunConfig, data: PreparedData, initial: Initial | None) -> Captioner:
    """A captioner with fresh weights, or the initial model with the words that it lacks."""
    if initial is None:
        encoder = CNNEncoder.from_config(config.encoder).to(pick_device())
        return new_captioner(config, encoder, data.vocabulary)
    captioner = extended_captioner(initial.captioner, data.vocabulary.words, config.decoder.dropout)
    known = len(initial.captioner.vocabulary)
    log.info(
        "Starting from %s: its %s words and %s new ones",
        initial.name,
        f"{known:,}",
        f"{len(captioner.vocabulary) - known:,}",
    )
    return captioner


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
