"""Train, and log the results: `showtell train` after its options are read."""

from __future__ import annotations

import logging
import math
from collections import Counter
from pathlib import Path
from statistics import median

from showtell.config import RunConfig
from showtell.data.scenes import judge_caption, read_scenes
from showtell.errors import TrainingDivergedError
from showtell.evaluation.scores import cider_note
from showtell.training.checkpointing import InterruptedTrainingError
from showtell.training.distributed import RankZeroFailedError, world
from showtell.training.history import collapsed, scores_of_dataset
from showtell.training.run import TrainingRun, train_run
from showtell.utils.shipped import DEFAULT_MODEL

log = logging.getLogger(__name__)


def train(config: RunConfig, *, resume: Path | None) -> None:
    """Train, in each of the requested processes; process 0 logs captions and scores.

    Args:
        config: the settings of the run.
        resume: the folder of the run to resume.
    """
    try:
        done = train_run(config, resume=resume)
    except (InterruptedTrainingError, TrainingDivergedError, RankZeroFailedError):
        if world().is_rank_zero:
            raise
        return  # process 0 reports it
    if not world().is_rank_zero:
        return
    _show_captions(done)
    _summarise(done)
    if collapsed(done.best, len(done.data.val)):
        log.warning(
            "the model gives every validation photo the same caption, so it ignores the image: train on more"
            " photos or for more epochs, or start from a pretrained model (--init %s)",
            DEFAULT_MODEL,
        )
    log.info("Caption your own photo with it:\n  python inference.py --model %s photo.jpg", done.folder)


def _summarise(run: TrainingRun) -> None:
    """Log how good the best model is, how fast training was, and what it took of the GPU."""
    best = run.best
    log.info(
        "\nBest model: epoch %.0f of %d, validation loss %.4f, CIDEr %.3f%s; %.1f min in all",
        best["epoch"],
        len(run.epochs),
        run.result.best_loss,
        best.get("CIDEr", math.nan),
        " (means of the datasets)" if any("/" in name for name in best) else "",
        run.minutes,
    )
    for dataset in dict.fromkeys(name.partition("/")[2] for name in best if "/" in name):
        log.info("  %s", scores_of_dataset(best, dataset))
    for dataset, images in Counter(image.dataset for image in run.data.val).items():
        if note := cider_note(images):
            log.info("  %sCIDEr: %s", f"{dataset}: " if dataset else "", note)
    rates = [median(row[f"{what}_per_second"] for row in run.epochs) for what in ("captions", "images")]
    log.info("Training speed, median of the epochs: %.0f captions/s, %.0f images/s", *rates)
    if run.memory:
        log.info("%s", run.memory)


def _show_captions(run: TrainingRun) -> None:
    """A few captions of images that were not trained on; of synthetic scenes, also how many are right."""
    captioner, config = run.captioner, run.config
    held_out = run.data.test or run.data.val
    shown = held_out[:5]
    log.info("\nCaptions of photos it has not been trained on:")
    for done in captioner.caption_stream(shown, config.search, open_source=lambda image: image.path):
        text = str(done.error) if done.error is not None else done.captions[0].text
        log.info("  %s: %s", done.source.path.name, text)
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
