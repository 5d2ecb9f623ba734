"""The report on a study: the best settings, which of them matter, and every trial."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import optuna
from optuna.trial import FrozenTrial, TrialState

from showtell.config import RunConfig
from showtell.tuning.space import SearchSpace, setting
from showtell.tuning.study import finished, quiet_optuna
from showtell.utils.files import write_atomic
from showtell.utils.plots import plot_bars, plot_lines
from showtell.web import read_asset
from showtell.web.templates import load_template

PAGE: Final = "report.html"
_CHART: Final = (5.5, 3.4)
"""Inches."""
_MIN_TRIALS: Final = 4
"""Minimum number of complete trials for the importance of parameters."""


@dataclass(frozen=True)
class ParameterRow:
    """A parameter: its value before and in the best trial.

    Attributes:
        name: its settings.
        own: the value of the configuration.
        best: the value of the best trial.
        importance: its share of what distinguishes good trials (PED-ANOVA, Watanabe et al. 2023), in
            percent, or a dash if there are too few trials.
    """

    name: str
    own: str
    best: str
    importance: str


def importances(study: optuna.Study) -> dict[str, float]:
    """Parameter -> its share (0 to 1) of what distinguishes good trials; empty if there are too few."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < _MIN_TRIALS:
        return {}
    with quiet_optuna():
        return optuna.importance.get_param_importances(study)


def compared(study: optuna.Study, space: SearchSpace, config: RunConfig) -> list[ParameterRow]:
    """The parameters of the best trial beside the configuration's own, the most important first."""
    weights, best = importances(study), study.best_params
    order = sorted(space.parameters, key=lambda p: -weights.get(p.name, 0.0))
    return [
        ParameterRow(
            p.name,
            ", ".join(dict.fromkeys(_show(setting(config, name)) for name in p.settings)),
            _show(best[p.name]),
            f"{100 * weights[p.name]:.0f} %" if p.name in weights else "-",
        )
        for p in order
    ]


def own_trial(study: optuna.Study) -> FrozenTrial | None:
    """The trial of the configuration's own settings, if it is complete."""
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return next((trial for trial in trials if "own" in trial.user_attrs), None)


def write_report(
    study: optuna.Study, space: SearchSpace, config: RunConfig, metric: str, folder: Path
) -> Path:
    """Write the page, one file that needs no network.

    Args:
        study: with one complete trial or more.
        space: what was searched.
        config: the settings that were not searched.
        metric: what was to be best.
        folder: where to write.

    Returns:
        The page.

    Raises:
        OSError: it cannot be written.
    """
    trials = study.get_trials(deepcopy=False)
    page = load_template("report.html", "tuning", show=_show).render(
        study=study,
        metric=metric,
        own=own_trial(study),
        best=study.best_trial,
        rows=compared(study, space, config),
        parameters=[parameter.name for parameter in space.parameters],
        trials=sorted(finished(study), key=lambda trial: _rank(trial, study)),
        interrupted=sum(trial.state == TrialState.FAIL for trial in trials),
        charts=_charts(study, metric),
        css=read_asset("common.css"),
    )
    return write_atomic(folder / PAGE, page)


def _rank(trial: FrozenTrial, study: optuna.Study) -> tuple[bool, float]:
    """The best first; those that were stopped early last, by their last score."""
    steps = list(trial.intermediate_values.values())
    value = trial.value if trial.state == TrialState.COMPLETE else (steps[-1] if steps else 0.0)
    sign = -1 if study.direction == optuna.study.StudyDirection.MAXIMIZE else 1
    return trial.state != TrialState.COMPLETE, sign * (value or 0.0)


def _charts(study: optuna.Study, metric: str) -> list[tuple[str, str]]:
    """The description of each plot, and its PNG file (base64)."""
    charts, weights = [], importances(study)
    better = max if study.direction == optuna.study.StudyDirection.MAXIMIZE else min
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    values = [(float(trial.number), float(trial.value or 0.0)) for trial in complete]
    best = [(number, better(v for _, v in values[: index + 1])) for index, (number, _) in enumerate(values)]
    epochs = {
        f"trial {trial.number}": [(float(step), v) for step, v in sorted(trial.intermediate_values.items())]
        for trial in sorted(complete, key=lambda t: _rank(t, study))[:5]
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plot.png")

        def keep(words: str) -> None:
            charts.append((words, base64.b64encode(path.read_bytes()).decode()))

        lines = {"each trial": values, "best so far": best}
        plot_lines(lines, path, title="Trials", x_label="trial", y_label=metric, markers=True, size=_CHART)
        first, last = (_show(value) for _, value in (best[0], best[-1]))
        keep(f"{metric} of each trial, and the best so far: {first} first, {last} last")
        plot_lines(epochs, path, title="The five best trials", x_label="epoch", y_label=metric, size=_CHART)
        keep(f"{metric} of the five best trials by epoch")
        if weights:
            shares = {name: 100 * share for name, share in weights.items()}
            plot_bars(shares, path, title="Importance of the parameters", x_label="%")
            keep("Importance: " + ", ".join(f"{name} {share:.0f} %" for name, share in shares.items()))
    return charts


def _show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
