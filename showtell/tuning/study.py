"""A study: trials of a search space, by one process or many, which can be interrupted and continued.

Trials are chosen by a tree-structured Parzen estimator (Bergstra et al. 2011) and stopped early if they
are among the worst third at the same epoch (a percentile as the median of Golovin et al. 2017).
"""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.pruners import PercentilePruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import MaxTrialsCallback
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from showtell.config import RunConfig
from showtell.errors import ConfigError, ShowtellError, TrainingDivergedError, UsageError
from showtell.tuning.space import SearchSpace, with_settings

log = logging.getLogger(__name__)

Direction = Literal["maximize", "minimize"]
FINISHED_STATES = (TrialState.COMPLETE, TrialState.PRUNED)
"""States of trials that count."""
HEARTBEAT = 15
"""Seconds between two signs of life of a running trial."""
HEARTBEAT_GRACE_SECONDS = 60
"""Seconds without one after which a trial is taken for killed, and tried again."""
_PRUNER_PERCENTILE = 100 * 2 / 3
"""Per cent of the trials at an epoch that are not stopped there. Only trials that ran to their end are
compared with, which are good ones: the median of these would stop nearly all."""
_WARM_UP = 1 / 3
"""Share of the epochs before a trial may be stopped early: the first scores are unreliable."""

_SETTINGS = "settings"
_PASSWORDS = (
    re.compile(r"//[^:/@?]*:(.*)@"),  # user:password@host; a password may hold : / ? and even @
    re.compile(r"[?&;](?:password|passwd|pwd|passphrase|sslpassword|token)=([^&;]*)", re.IGNORECASE),
)


class TrialPruned(Exception):  # noqa: N818 - a request of the pruner, no error
    """The trial is worse than others were; raised by `ReportIntermediate` through the objective."""


ReportIntermediate = Callable[[int, float], None]
"""(epoch, value): report an intermediate value; raises `TrialPruned` if the trial is pruned."""


@dataclass(frozen=True)
class TrialResult:
    """The outcome of a trial.

    Attributes:
        value: of the objective.
        notes: numbers to keep with the trial.
    """

    value: float
    notes: Mapping[str, float]


Objective = Callable[[RunConfig, int, ReportIntermediate], TrialResult]
"""(settings, number of the trial, report) -> outcome."""


def open_study(
    storage: str, name: str, direction: Direction, settings: str, *, epochs: int, seed: int
) -> optuna.Study:
    """Make a study, or continue an existing one.

    Args:
        storage: a database by its URL (`sqlite:///study.db`, `postgresql://...`).
        name: of the study in it.
        direction: of the objective.
        settings: all that must be the same whenever the study is continued.
        epochs: of a trial.
        seed: of the choice of trials.

    Raises:
        UsageError: the database cannot be used, or the study was begun with other settings.
    """
    with quiet_optuna(), storage_errors(storage):
        try:
            study = optuna.create_study(
                storage=RDBStorage(
                    storage,
                    engine_kwargs={"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else None,
                    heartbeat_interval=HEARTBEAT,
                    grace_period=HEARTBEAT_GRACE_SECONDS,
                    heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
                ),
                sampler=TPESampler(seed=seed, n_startup_trials=8),
                pruner=PercentilePruner(
                    _PRUNER_PERCENTILE, n_startup_trials=5, n_warmup_steps=math.ceil(_WARM_UP * epochs) + 1
                ),
                study_name=name,
                direction=direction,
                load_if_exists=True,
            )
        except Exception as error:  # drivers of databases raise about anything
            reason = " ".join(hide_password(str(error), storage).split())
            # Not `from error`: its traceback (--debug) may have the password.
            raise UsageError(
                f"--storage {hide_password(storage, storage)}: cannot be used ({reason})"
            ) from None
        kept = study.user_attrs.get(_SETTINGS)
        if kept is None:
            study.set_user_attr(_SETTINGS, settings)
        elif kept != settings:
            raise UsageError(
                f"the study {name!r} was begun with other settings, data or search space; continue with"
                " those, or name another folder with --study"
            )
    return study


@contextmanager
def storage_errors(storage: str) -> Iterator[None]:
    """Turn what the database raises while trials run (a full disk, a lost connection) into one line.

    Raises:
        ShowtellError: in place of it.
    """
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        reasons = " ".join(f"{error} {error.__cause__ or ''}".split())
        raise ShowtellError(
            f"--storage {hide_password(storage, storage)}: the study cannot be written or read"
            f" ({hide_password(reasons, storage)}); what is done is kept; run the same command again"
            " to continue"
        ) from None


def hide_password(text: str, storage: str) -> str:
    """A text without the passwords of a database's URL, which drivers repeat in their errors.

    Args:
        text: a message, or the URL itself.
        storage: the URL.
    """
    secrets = {each for pattern in _PASSWORDS for each in pattern.findall(storage)}
    with suppress(ArgumentError, ValueError):
        secrets.add(make_url(storage).password or "")
    secrets |= {unquote_plus(each) for each in secrets}
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


def try_first(study: optuna.Study, parameters: Mapping[str, Any]) -> None:
    """Let a new study begin with these parameters (those that are left out are chosen)."""
    if parameters and not study.get_trials(deepcopy=False):
        study.enqueue_trial(dict(parameters), user_attrs={"own": True})


def run_trials(
    study: optuna.Study, space: SearchSpace, config: RunConfig, objective: Objective, trials: int
) -> None:
    """Run trials until the study has as many, counting those of other processes.

    What stops a trial half-way (Ctrl-C, a kill, an error) gets it tried again when the study is continued.

    Args:
        study: by `open_study`.
        space: what is tried.
        config: the settings that are not searched.
        objective: trains with some settings.
        trials: of the study when it is done; stopped ones count.
    """
    if len(finished(study)) >= trials:
        return
    with quiet_optuna():
        study.optimize(
            lambda trial: _run_trial(study, trial, space, config, objective),
            callbacks=[MaxTrialsCallback(trials, states=FINISHED_STATES), _tell],
        )


def finished(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that ran to their end or were stopped early."""
    return study.get_trials(deepcopy=False, states=FINISHED_STATES)


def _run_trial(
    study: optuna.Study, trial: optuna.Trial, space: SearchSpace, config: RunConfig, objective: Objective
) -> float:
    def report(epoch: int, value: float) -> None:
        trial.report(value, epoch)
        if trial.should_prune():
            raise TrialPruned

    values = space.suggest(trial)
    try:
        outcome = objective(with_settings(config, values), trial.number, report)
    except TrialPruned as wish:
        raise optuna.TrialPruned from wish
    except (ConfigError, TrainingDivergedError) as error:  # values that contradict each other, or diverge
        log.info("trial %d: %s", trial.number, error)
        raise optuna.TrialPruned from error
    except BaseException:
        # Tried again when the study is continued.
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        raise
    for name, note in outcome.notes.items():
        trial.set_user_attr(name, note)
    if not math.isfinite(outcome.value):
        raise optuna.TrialPruned
    return outcome.value


def _tell(study: optuna.Study, trial: FrozenTrial) -> None:
    """Log how a trial ended."""
    complete = [t.value for t in finished(study) if t.state == TrialState.COMPLETE and t.value is not None]
    maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
    best = (max if maximize else min)(complete) if complete else math.nan
    last = list(trial.intermediate_values.values())[-1:]
    if trial.state == TrialState.COMPLETE:
        result = f"{trial.value:.4f}"
    else:
        result = f"stopped early at {last[0]:.4f}" if last else "stopped"
    changed = ", ".join(f"{name} {_short(value)}" for name, value in trial.params.items())
    log.info(
        "trial %d: %s, best %.4f, %d done  [%s]",
        trial.number,
        result,
        best,
        len(finished(study)),
        changed,
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Keep Optuna's own log, and its notes on new features, from the screen."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            yield
        finally:
            optuna.logging.set_verbosity(before)
