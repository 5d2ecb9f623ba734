"""Studies, with an objective that takes no time."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
import time
import traceback
from pathlib import Path

import pytest
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from showtell.config import RunConfig
from showtell.errors import ConfigError, ShowtellError, TrainingDivergedError, UsageError
from showtell.tuning import study as studies
from showtell.tuning.report import compared, importances, own_trial
from showtell.tuning.study import (
    ReportIntermediate,
    TrialResult,
    finished,
    hide_password,
    open_study,
    run_trials,
    storage_errors,
)
from tests.tuning.toy import CONFIG, SPACE, new_study, objective


@pytest.mark.slow
def test_a_study_finds_better_settings_and_tells_which_matter(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    run_trials(study, SPACE, CONFIG, objective, 25)
    assert len(finished(study)) == 25
    own = own_trial(study)
    assert own is not None
    assert own.number == 0
    assert own.value == pytest.approx(1 - 0.4**2)
    assert study.best_value > 0.99
    assert study.best_params["decoder.dropout"] == pytest.approx(0.7, abs=0.1)
    stopped = study.get_trials(states=(TrialState.PRUNED,))
    assert stopped, "some were worse than the median"
    assert all(abs(trial.params["decoder.dropout"] - 0.7) > 0.05 for trial in stopped)
    assert all(trial.last_step in (3, 4) for trial in stopped), "the first epochs are never stopped"
    assert importances(study)["decoder.dropout"] > 0.6
    first, *_ = compared(study, SPACE, CONFIG)
    assert first.name == "decoder.dropout"
    assert study.best_trial.user_attrs["number"] == study.best_trial.number


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    run_trials(new_study(tmp_path), SPACE, CONFIG, objective, 2)
    study = new_study(tmp_path)
    first = [trial.params for trial in finished(study)]
    assert len(first) == 2
    run_trials(study, SPACE, CONFIG, objective, 3)
    assert [trial.params for trial in finished(study)][:2] == first
    run_trials(study, SPACE, CONFIG, objective, 3)
    assert len(finished(study)) == 3, "it has enough"
    with pytest.raises(UsageError, match="begun with other settings"):
        new_study(tmp_path, settings="others")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_trial_is_tried_again(error: type[BaseException], tmp_path: Path) -> None:
    tried = []

    def failing(config: RunConfig, number: int, report: ReportIntermediate) -> TrialResult:
        tried.append(config)
        if number == 1:
            raise error
        return objective(config, number, report)

    with pytest.raises(error):
        run_trials(new_study(tmp_path), SPACE, CONFIG, failing, 2)
    study = new_study(tmp_path)
    assert len(finished(study)) == 1
    run_trials(study, SPACE, CONFIG, failing, 2)
    assert tried[2] == tried[1], "with the same settings"
    assert len(finished(study)) == 2


def test_contradictions_and_numbers_that_are_none_count_as_stopped(tmp_path: Path) -> None:
    def odd(config: RunConfig, number: int, report: ReportIntermediate) -> TrialResult:
        if number == 1:
            raise ConfigError("these do not fit together")
        if number == 3:
            raise TrainingDivergedError("the loss is absurd")
        return TrialResult(math.nan if number == 2 else 0.5, {})

    study = new_study(tmp_path)
    run_trials(study, SPACE, CONFIG, odd, 5)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", *["PRUNED"] * 3, "COMPLETE"]


def test_a_storage_that_cannot_be_used(tmp_path: Path) -> None:
    for storage in (f"sqlite:///{tmp_path}/no/such/folder/study.db", "no-database"):
        with pytest.raises(UsageError, match="--storage"):
            open_study(storage, "test", "maximize", "same", epochs=4, seed=0)


URLS = [
    "postgresql://anna:s3cret@localhost:1/db",
    "postgresql://anna:s3cret:/@x@localhost:1/db",
    "postgresql+psycopg2://anna:s3%40cret@localhost:1/db?options=a@b",
    "mysql+pymysql://localhost:1/db?user=anna&password=s3cret&charset=utf8",
    "no-dialect://anna:s3cret@host/db",
    "://:s3cret@",
    "postgresql://anna:s3cret@[bad/db",
]


@pytest.mark.parametrize("storage", URLS)
def test_passwords_are_not_shown(storage: str) -> None:
    with pytest.raises(UsageError, match="--storage") as caught:
        open_study(storage, "test", "maximize", "same", epochs=4, seed=0)
    shown = "".join(traceback.format_exception(caught.value))
    assert "s3" not in shown
    assert "cret" not in shown


@pytest.mark.parametrize(
    ("storage", "secret"),
    [(URLS[0], "s3cret"), (URLS[1], "s3cret:/@x"), (URLS[2], "s3@cret"), (URLS[3], "s3cret")],
)
def test_nor_are_they_where_the_database_is_lost(storage: str, secret: str) -> None:
    def lose() -> None:
        with storage_errors(storage):
            raise OperationalError("INSERT", {}, OSError(f"disk is full; {secret} at {storage}"))

    with pytest.raises(ShowtellError, match=r"--storage .*disk is full") as caught:
        lose()
    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown
    assert storage not in shown


def test_a_storage_without_a_password_stays_as_it_is() -> None:
    for storage in ("sqlite:///a:b/study.db", "postgresql://anna@host/db"):
        assert hide_password(f"{storage}: lost", storage) == f"{storage}: lost"


@pytest.mark.slow
def test_a_killed_trial_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = textwrap.dedent(
        """
        import os, sys, time
        from pathlib import Path
        from showtell.tuning import study
        study.HEARTBEAT, study.HEARTBEAT_GRACE_SECONDS = 1, 2
        from tests.tuning.toy import CONFIG, SPACE, new_study, objective
        def killed(config, number, report):
            if number == 2:
                time.sleep(1)  # until the trial has a heartbeat
                os.kill(os.getpid(), 9)
            return objective(config, number, report)
        study.run_trials(new_study(Path(sys.argv[1])), SPACE, CONFIG, killed, 5)
        """
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    assert subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode == -9
    monkeypatch.setattr(studies, "HEARTBEAT", 1)
    monkeypatch.setattr(studies, "HEARTBEAT_GRACE_SECONDS", 2)
    study = new_study(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "RUNNING"]
    time.sleep(4)
    run_trials(study, SPACE, CONFIG, objective, 5)
    states = [trial.state.name for trial in study.trials]
    assert states[2] == "FAIL"
    lost, *others = [t for t in study.trials if t.number >= 2]
    assert any(trial.params == lost.params for trial in others)
    assert len(finished(study)) == 5
