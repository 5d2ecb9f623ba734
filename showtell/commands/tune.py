"""Tune hyperparameters on a part of the training photos; a study can be interrupted and continued.

Trials start from a model if training would (--init). They train on the tuning subset and are scored on other
training photos; the validation photos are not used. The same command continues a study, also from other
machines (--storage). The study's folder gets a report and best.yaml, for main.py --config.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import logging
import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from jsonargparse import Namespace

from showtell.commands.shared.logging import log_to_screen
from showtell.commands.shared.parser import Parser
from showtell.commands.shared.run_options import add_run_arguments, run_settings, to_run_config
from showtell.config import RunConfig
from showtell.data.prepare import prepare_data
from showtell.data.splits import by_split, tuning_split
from showtell.data.summary import MIN_IMAGES_FINETUNING
from showtell.errors import ShowtellError, UsageError
from showtell.tuning.space import Metric, SearchSpace, Value
from showtell.utils.files import require_writable, write_atomic

if TYPE_CHECKING:
    import optuna

    from showtell.data.prepare import PreparedData
    from showtell.training.initial_model import Initial
    from showtell.tuning.job import TuningJob

log = logging.getLogger(__name__)

BEST = "best.yaml"

EXAMPLES: Final = (
    ("{prog} --data my_photos/ --trials 20 --data.tuning_fraction 0.9", "six optimisation settings"),
    ("{prog} --config configs/flickr8k.yaml --space space.yaml", "a search space of your own"),
)


def add_arguments(parser: Parser) -> None:
    """Add the arguments of `showtell tune`."""
    add = parser.add_argument_group("study").add_argument
    add(
        "--study",
        metavar="FOLDER",
        help="folder of the study; an existing study is continued (default: tuning/DATASET)",
    )
    add(
        "--space",
        metavar="FILE",
        help="the search space, as YAML (default: six optimisation settings)",
    )
    add("--trials", type=int, default=20, metavar="N", help="number of trials of the whole study")
    add(
        "--metric",
        metavar="|".join(get_args(Metric)),
        type=Metric,
        default="CIDEr",
        help="score of a trial's saved model that is optimised",
    )
    add("--processes", type=int, default=1, metavar="N", help="processes that run trials, on this machine")
    add(
        "--storage",
        metavar="URL",
        help="a database for several machines, e.g. postgresql://... (default: SQLite in the study's folder)",
    )
    add_run_arguments(parser, unused=("distillation", "trainer"), plain=("init", "features"))


def run(parser: Parser, args: Namespace) -> None:
    """Tune.

    Raises:
        UsageError: the extra is not installed, or values are invalid.
    """
    try:
        from showtell.tuning.study import finished, storage_errors, try_first
    except ModuleNotFoundError as error:
        raise UsageError(
            f"tuning needs {error.name}: install it with pip install 'showtell[tune]'"
        ) from error
    from showtell.training.initial_model import NONE, load_initial  # torch takes seconds: help needs none

    if args.trials < 1 or args.processes < 1:
        raise UsageError("--trials and --processes must be at least 1")
    config = to_run_config(parser, args)
    require_writable(Path(args.study or "tuning"), UsageError)
    given = _read_space(args.space) if args.space else None
    data = prepare_data(replace(config.data, tuning=False), Path(config.cache.dir))
    initial = load_initial(config, data)
    if initial is None:
        config = replace(config, init=NONE)
    else:  # a trial applies its own `finetune`
        config = replace(initial.run_config(config), training=config.training)
    args["init"] = config.init
    text = given or _default_space(config.init)
    space = SearchSpace.read(text, config)
    job = _prepare(config, args, text, data, initial)
    study = job.open_study()
    with storage_errors(job.storage):
        try_first(study, space.own(config))
        if before := len(finished(study)):
            log.info("%s: %d trials are done, continuing", job.folder, before)
    try:
        _run_all(job, args.processes)
    except BaseException:
        with suppress(ShowtellError, OSError):  # the first error is the one to report
            _write_results(parser, args, job, study, space)
        raise
    _write_results(parser, args, job, study, space)


def _write_results(
    parser: Parser, args: Namespace, job: TuningJob, study: optuna.Study, space: SearchSpace
) -> None:
    """Write the best settings and the report, if a trial is complete.

    Raises:
        ShowtellError: the database cannot be read.
    """
    from showtell.tuning.report import write_report
    from showtell.tuning.study import storage_errors

    with storage_errors(job.storage):
        values = best_settings(study, space)
        if not values:
            return
        for name, value in values.items():
            args[name] = value
        args["out"] = f"{job.config.out}-tuned"
        write_atomic(job.folder / BEST, run_settings(parser, args))
        page = write_report(study, space, job.config, job.metric, job.folder)
        log.info("\n%s\nReport: %s", _summary(study, space, job.config), page)
    log.info("Train with the best settings:\n  python main.py --config %s", job.folder / BEST)


def _read_space(file: str) -> str:
    try:
        return Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--space {file}: cannot be read ({error})") from error


def _default_space(init: str) -> str:
    """The search space of training from scratch, or of fine-tuning."""
    name = "space.yaml" if init == "none" else "space_finetuning.yaml"
    return importlib.resources.files("showtell.tuning").joinpath(name).read_text(encoding="utf-8")


def _prepare(
    config: RunConfig, args: Namespace, space: str, data: PreparedData, initial: Initial | None
) -> TuningJob:
    """Split off the images of the trials, and extract their features."""
    from showtell.checkpoints.fingerprint import weights_fingerprint
    from showtell.training.initial_model import encoder_of
    from showtell.training.setup import image_source
    from showtell.tuning.job import TuningJob

    images = tuning_split(
        data.images, config.data.tuning_fraction, config.data.val_fraction, config.data.seed
    )
    folder = Path(args.study or Path("tuning", data.name))
    folder.mkdir(parents=True, exist_ok=True)
    train, val = by_split(images, "train"), by_split(images, "val")
    log.info(
        "%s: trials train on %s of the training images and are scored on %s others",
        *(data.name, f"{len(train):,}", f"{len(val):,}"),
    )
    if len(train) < MIN_IMAGES_FINETUNING:
        log.warning(
            "only %d photos to train a trial on: scores will be mostly noise; raise --data.tuning_fraction"
            " (%g here), or add photos",
            *(len(train), config.data.tuning_fraction),
        )
    encoder = encoder_of(config.encoder, initial)
    load, shown = image_source(_shared_features(config, args.processes), encoder, images)
    same = replace(config, out="", cache=replace(config.cache, dir=""))  # these may differ between machines
    start = None if initial is None else weights_fingerprint(initial.decoder.state_dict())
    identity = repr((same, space, args.metric, [image.image_id for image in shown], start))
    return TuningJob(
        config=config,
        space=space,
        folder=folder,
        storage=args.storage or f"sqlite:///{folder / 'study.db'}",
        settings=hashlib.sha256(identity.encode()).hexdigest(),
        metric=args.metric,
        trials=args.trials,
        threads=max(1, (os.cpu_count() or 1) // args.processes),
        images=shown,
        vocabulary=data.vocabulary,
        load=load,
    )


def _shared_features(config: RunConfig, processes: int) -> RunConfig:
    """The settings with features that all processes can read: those in the memory of one are its own.

    Raises:
        UsageError: features in memory are asked for, by several processes.
    """
    if processes == 1:
        return config
    if config.features == "memory":
        raise UsageError("--features memory is for one process; leave it out, or --processes")
    return replace(config, features="cached") if config.features == "auto" else config


def _run_all(job: TuningJob, processes: int) -> None:
    """Run trials in this process, or in several others."""
    from showtell.tuning.job import run_job

    if processes == 1:
        run_job(job, 0)
        return
    with ProcessPoolExecutor(
        processes,
        multiprocessing.get_context("spawn"),
        initializer=log_to_screen,
        initargs=(logging.getLogger("showtell").level,),
    ) as pool:
        for done in [pool.submit(run_job, job, seed) for seed in range(processes)]:
            done.result()


def best_settings(study: optuna.Study, space: SearchSpace) -> dict[str, Value]:
    """Setting -> value of the best trial; empty if none is complete."""
    try:
        return space.settings(study.best_params)
    except ValueError:
        return {}


def _summary(study: optuna.Study, space: SearchSpace, config: RunConfig) -> str:
    from showtell.tuning.report import compared

    states = Counter(trial.state.name for trial in study.get_trials(deepcopy=False))
    lines = [
        f"{states['COMPLETE']} trials are complete, {states['PRUNED']} were stopped early,"
        f" {states['FAIL']} were interrupted",
        *(
            f"  {row.name:<36} {row.own:>10} -> {row.best:<10} importance {row.importance}"
            for row in compared(study, space, config)
        ),
    ]
    return "\n".join(lines)
