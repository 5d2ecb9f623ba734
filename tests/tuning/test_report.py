"""The report on a study: what it compares, how it ranks trials, and its page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from showtell.tuning.report import compared, importances, own_trial, write_report
from showtell.tuning.study import finished
from tests.tuning.toy import CONFIG, SPACE

DROPOUT, WARMUP = "decoder.dropout", "training.warmup"


def trial_of(
    dropout: float, steps: list[float], *, state: TrialState = TrialState.COMPLETE, own: bool = False
) -> FrozenTrial:
    """A trial with these values after its epochs."""
    return create_trial(
        state=state,
        value=steps[-1] if state == TrialState.COMPLETE else None,
        params={DROPOUT: dropout, WARMUP: 0.1},
        distributions={name: FloatDistribution(0.0, 0.9) for name in (DROPOUT, WARMUP)},
        intermediate_values=dict(enumerate(steps, start=1)),
        user_attrs={"own": True} if own else {},
    )


def study_of(*trials: FrozenTrial, direction: str = "maximize") -> optuna.Study:
    study = optuna.create_study(direction=direction)
    study.add_trials(trials)
    return study


class Page(HTMLParser):
    """The cells of the rows of all tables, and the addresses in attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows, self.addresses = list[list[str]](), list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


@pytest.mark.parametrize("trials", [1, 6])
def test_the_report_is_one_page_with_every_trial(trials: int, tmp_path: Path) -> None:
    values = [0.5, 0.25, 0.75, 0.625, 0.125, 0.375][:trials]
    study = study_of(*(trial_of(n / 10, [value / 2, value]) for n, value in enumerate(values)))
    page = Page(write_report(study, SPACE, CONFIG, "CIDEr", tmp_path).read_text())
    assert len(page.rows) == 1 + 2 + 1 + trials
    assert page.addresses
    assert all(address.startswith("data:") for address in page.addresses)
    best_first = sorted(values, reverse=True)
    assert [f"{value:.4g}" in row for row, value in zip(page.rows[4:], best_first, strict=True)] == [
        True
    ] * trials
    assert len(importances(study)) == (2 if trials > 3 else 0)


@pytest.mark.parametrize(("direction", "order"), [("maximize", [2, 0, 1, 3]), ("minimize", [0, 2, 3, 1])])
def test_trials_that_were_stopped_come_last_and_interrupted_ones_not(
    direction: str, order: list[int], tmp_path: Path
) -> None:
    stopped, failed = TrialState.PRUNED, TrialState.FAIL
    study = study_of(
        trial_of(0.11, [0.5]),
        trial_of(0.22, [0.9], state=stopped),
        trial_of(0.33, [0.7]),
        trial_of(0.44, [0.8], state=stopped),
        trial_of(0.55, [1.0], state=failed),
        direction=direction,
    )
    page = Page(write_report(study, SPACE, CONFIG, "CIDEr", tmp_path).read_text())
    rows = [next(i for i, row in enumerate(page.rows[4:]) if f"0.{n}{n}" in row) for n in range(1, 5)]
    assert [rows.index(place) for place in range(4)] == order
    assert not any("0.55" in row for row in page.rows)
    assert len(finished(study)) == 4


def test_the_parameter_that_decides_comes_first() -> None:
    trials = [trial_of(n / 10, [1 - (n / 10 - 0.7) ** 2]) for n in range(9)]
    rows = compared(study_of(*trials), SPACE, CONFIG)
    assert [(row.name, row.own, row.best) for row in rows] == [
        (DROPOUT, f"{CONFIG.decoder.dropout:.4g}", "0.7"),
        (WARMUP, f"{CONFIG.training.warmup:.4g}", "0.1"),
    ]
    shares = [int(row.importance.removesuffix(" %")) for row in rows]
    assert sum(shares) in (99, 100, 101)
    assert shares[0] > 80 > shares[1]
    assert compared(study_of(trials[0]), SPACE, CONFIG)[0].importance == "-", "one trial gives no importance"


def test_the_trial_of_the_own_settings_has_to_be_complete() -> None:
    assert own_trial(study_of(trial_of(0.1, [0.5]))) is None
    assert own_trial(study_of(trial_of(0.1, [0.5], state=TrialState.PRUNED, own=True))) is None
    trial = own_trial(study_of(trial_of(0.1, [0.5]), trial_of(0.2, [0.25], own=True)))
    assert trial is not None
    assert trial.value == 0.25
