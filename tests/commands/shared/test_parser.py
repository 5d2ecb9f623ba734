"""The parser: suggestions, and errors of one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from showtell.cli import main
from showtell.commands.shared.parser import Parser, suggest
from showtell.commands.shared.run_options import add_run_arguments, to_run_config
from showtell.config import RunConfig
from showtell.errors import UsageError


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("--epochs", "; did you mean --a.epochs or --b.epochs?"),
        ("--a.epoch", "; did you mean --a.epochs?"),
        ("--size", "; did you mean --a.size?"),
        ("--zzz", ""),
    ],
)
def test_suggestions(name: str, hint: str) -> None:
    assert suggest(name, ["--a.epochs", "--b.epochs", "--a.size"]) == hint


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{training: {epochs: null}}", "training.epochs: null is no value; leave it out, or write a whole n"),
        ("{out: null}", "out: null is no value; leave it out, or write text"),
        ("{skip_bad: null}", "skip_bad: null is no value; leave it out, or write true or false"),
        ("{cache: {views: null}}", "cache.views: null is no value"),
    ],
)
def test_a_value_that_is_left_empty_is_named_with_its_file(text: str, complaint: str, tmp_path: Path) -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    (file := tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        parser.parse(["--config", str(file)])
    assert str(caught.value).startswith(f"{file}: {complaint}")


def test_a_setting_that_may_be_empty_is(tmp_path: Path) -> None:
    parser = Parser("prog")
    add_run_arguments(parser)
    (file := tmp_path / "run.yaml").write_text("{data: {root: null, images: null}, cache: {exported: null}}")
    assert to_run_config(parser, parser.parse(["--config", str(file)])) == RunConfig()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian", "trian: no such command; did you mean train?"),
        ("help trian", "trian: no such command; did you mean train?"),
        ("--verison", "--verison: no such option; did you mean --version?"),
        ("xyz", "xyz: no such command; see showtell help"),
        ("train --training.epoch 3", "--training.epoch: no such option; did you mean --training.epochs?"),
        ("train --trainig.epochs=3", "--trainig.epochs: no such option; did you mean --training.epochs?"),
        ("train --seed 3", "--seed: no such option; did you mean --data.seed or --training.seed?"),
        ("train --nonsense", "--nonsense: no such option; see showtell train --help"),
        ("train run", "run: not expected here; options begin with --; see showtell train --help"),
        ("train --epochs many", "--epochs: 'many' is not a whole number"),
        ("train --training.epochs=many", "--training.epochs: 'many' is not a whole number"),
        ("train --epochs", "--epochs: needs a value"),
        (
            "train --epochs 0",
            "training.epochs must be at least 1; 0 is for self_critical or distillation from a model (init)",
        ),
        (
            "train --decoder.kind topdwn",
            "--decoder.kind: 'topdwn' is none of topdown, attention, pooled; did you mean topdown?",
        ),
        ("train --data.min_count few", "--data.min_count: 'few' is not a whole number or auto"),
        ("caption --beam_size 3", "--beam_size: no such option; did you mean --beam-size?"),
        ("caption --beam-siz 3", "--beam-siz: no such option; did you mean --beam-size?"),
        ("caption --search.top_p x", "--search.top_p: 'x' is not a number"),
        ("evaluate --split tset", "--split: 'tset' is none of train, val, test, all; did you mean test?"),
        ("evaluate --java maybe", "--java: 'maybe' is not true or false"),
        ("scale", "missing: caption or extract; see showtell scale --help"),
        ("scale capton", "'capton' is none of caption, extract; did you mean caption?"),
        ("scale caption photos", "missing: --out; see showtell scale caption --help"),
        ("scale caption photos --out x --top-k y", "--top-k: 'y' is not a whole number"),
    ],
)
def test_misuse_is_one_line(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert shown.err == f"error: {message}\n"
    assert shown.out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("training: {epoch: 3}", "FILE: training.epoch: no such setting; did you mean training.epochs?"),
        ("trainig: {epochs: 3}", "FILE: trainig.epochs: no such setting; did you mean training.epochs?"),
        ("data: {format: cocoo}", "FILE: data.format: 'cocoo' is none of auto, scenes, coco, "),
        ("search: {beam_size: wide}", "FILE: search.beam_size: 'wide' is not a whole number"),
        ("cache: {views: [ful]}", "FILE: cache.views: 'ful' is not a list [A, B] of full, flip, "),
        ("data: {root: [{rot: a}]}", "data.root: a dataset has no rot, only root, format, images, weight"),
        ("training: 5", "training: 5 is no section of settings; write training: {name: value}"),
        ("training: [", "FILE: not YAML: while parsing"),
        ("- 3", "FILE: '- 3' is no setting; write name: value, or section: {name: value}"),
    ],
)
@pytest.mark.parametrize("joined", [True, False])
def test_mistakes_in_a_file_of_settings(
    content: str, message: str, joined: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    assert main(["train", *([f"--config={file}"] if joined else ["--config", str(file)])]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message.replace('FILE', str(file))}")
    assert error.count("\n") == 1
    assert main(["train", "--config", str(tmp_path / "none.yaml")]) == 2
    assert capsys.readouterr().err == f"error: --config {tmp_path / 'none.yaml'}: no such file\n"


def test_a_folder_in_place_of_a_file_of_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--config", str(tmp_path)]) == 2
    start = f"error: --config {tmp_path}: not a file; name a YAML file of settings, such as "
    assert capsys.readouterr().err == f"{start}configs/flickr8k.yaml; photos are named with --data\n"
    (tmp_path / "config.yaml").touch()
    assert main(["train", "--config", str(tmp_path)]) == 2
    assert capsys.readouterr().err == f"{start}{tmp_path / 'config.yaml'}\n"
