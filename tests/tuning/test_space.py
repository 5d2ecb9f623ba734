"""The search space: what it refuses, what it suggests."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib import resources

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.config import DecoderConfig, RunConfig, TrainingConfig
from showtell.errors import ConfigError
from showtell.tuning.space import SearchSpace, setting, with_settings

CONFIG = RunConfig()
SIZES = "decoder.embedding_dim, decoder.hidden_dim, decoder.attention_dim"


def built_in(file: str = "space.yaml", config: RunConfig = CONFIG) -> SearchSpace:
    return SearchSpace.read(resources.files("showtell.tuning").joinpath(file).read_text(), config)


@pytest.mark.parametrize(("file", "init"), [("space.yaml", "none"), ("space_finetuning.yaml", "everyday")])
def test_the_built_in_spaces_hold_the_default_settings(file: str, init: str) -> None:
    config = replace(CONFIG, init=init)
    if init != "none":
        config = replace(config, decoder=replace(config.decoder, dropout=0.1))  # that of the model
    space = built_in(file, config)
    assert set(space.own(config)) == {parameter.name for parameter in space.parameters}


def test_what_a_model_decides_and_what_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"decoder\.cell is that of everyday"):
        SearchSpace.read("decoder.cell: {choices: [lstm, gru]}", replace(CONFIG, init="everyday"))
    with pytest.raises(ConfigError, match=r"decoder\.dropout 0\.3 stands for that of everyday"):
        SearchSpace.read("decoder.dropout: {choices: [0.1, 0.3]}", replace(CONFIG, init="everyday"))
    with pytest.raises(ConfigError, match=r"training\.batch_size: .* search finetune\.batch_size"):
        SearchSpace.read("training.batch_size: {choices: [8, 64]}", replace(CONFIG, init="everyday"))
    with pytest.raises(ConfigError, match=r"finetune\.mixing cannot be tuned"):
        SearchSpace.read("finetune.mixing: {low: 0.5, high: 1.0}", replace(CONFIG, init="none"))


def test_settings_are_set_and_all_others_stay() -> None:
    changed = with_settings(CONFIG, {"training.learning_rate": 0.5, "decoder.kind": "pooled"})
    assert changed.training == TrainingConfig(learning_rate=0.5)
    assert changed.decoder == DecoderConfig(kind="pooled")
    assert changed.data == CONFIG.data
    with pytest.raises(ConfigError, match=r"training\.warmup"):
        with_settings(CONFIG, {"training.warmup": 2})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "empty"),
        ("- a\n- b", "empty"),
        ("a: [", "not YAML"),
        ("training.lr: {low: 1.0e-3, high: 1.0e-2}", "training.lr cannot be tuned"),
        ("data.min_count: {low: 1, high: 5}", "data.min_count cannot be tuned"),
        ("out: {choices: [a, b]}", "out cannot be tuned"),
        ("decoder.dropout: {low: 0.5}", "both low and high"),
        ("decoder.dropout: 0.5", "needs {low, high}"),
        ("decoder.dropout: {low: 0.5, high: 0.1}", "low must be under high"),
        ("decoder.dropout: {low: 0.0, high: 0.1, log: true}", "over 0"),
        ("decoder.dropout: {low: 0.0, high: 1.0}", "decoder.dropout must be at least 0 and less than 1"),
        ("decoder.dropout: {low: 1e-3, high: 0.1}", "write 1.0e-3"),
        ("decoder.dropout: {choices: []}", "a list of values"),
        ("decoder.dropout: {choices: [0.1], low: 0.1}", "choices stand alone"),
        ("decoder.hidden_dim: {low: 1.5, high: 3}", "1.5 is no value of it"),
        ("decoder.cell: {low: 1, high: 3}", "no numbers of one kind"),
        ("decoder.cell: {choices: [lstm, rnn]}", "'rnn' is no value of it"),
        ("search.sample: {choices: [1]}", "1 is no value of it"),
        ("decoder.dropout, decoder.hidden_dim: {low: 1, high: 3}", "no numbers of one kind"),
        ("decoder.dropout, decoder.cell: {choices: [[0.1]]}", "a value for each of the 2 settings"),
        ("decoder.dropout, decoder.cell: {choices: [0.1]}", "0.1 is no value of it"),
        ("decoder.dropout: {low: 0.1, high: 0.2}\n' decoder.dropout': {low: 0.1, high: 0.2}", "twice"),
    ],
)
def test_what_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        SearchSpace.read(text, CONFIG)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_suggestions_lie_in_the_space(seed: int) -> None:
    space = SearchSpace.read(
        f"""
        training.learning_rate: {{low: 1.0e-4, high: 1.0e-2, log: true}}
        training.batch_size: {{low: 8, high: 64, log: true}}
        {SIZES}: {{choices: [64, 128]}}
        decoder.cell: {{choices: [lstm, gru]}}
        training.epochs, self_critical.epochs: {{choices: [[15, 0], [10, 2]]}}
        """,
        CONFIG,
    )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    trial = study.ask()
    values = space.suggest(trial)
    config = with_settings(CONFIG, values)
    assert 1e-4 <= config.training.learning_rate <= 1e-2
    assert 8 <= config.training.batch_size <= 64
    assert isinstance(config.training.batch_size, int)
    assert config.decoder.embedding_dim == config.decoder.hidden_dim == config.decoder.attention_dim
    assert space.settings(trial.params) == values == {name: setting(config, name) for name in values}
    assert (config.training.epochs, config.self_critical.epochs) in ((15, 0), (10, 2))
    assert space.own(config) == trial.params
    assert space.own(CONFIG)["training.epochs, self_critical.epochs"] == "15, 0"
    assert "decoder.cell" in space.own(CONFIG)
    assert SIZES not in space.own(CONFIG), "384 is not among the choices"
