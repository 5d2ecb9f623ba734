from pathlib import Path

import pytest
import yaml

from showtell.cli import main
from showtell.utils.yaml_files import load_yaml, read_yaml

LAUGHS = "a0: &a0 [x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]", "a: &a {b: [*a, *a]}", "&a " + "[" * 5000 + "*a"])
def test_aliases_without_end_are_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


@pytest.mark.parametrize("text", ["a: 1", "a: &a [1, 2]\nb: *a", "a: 2 * 3 & 4", "", "- &x y\n- *x"])
def test_usual_yaml_is_read(text: str) -> None:
    assert load_yaml(text) == yaml.safe_load(text)


def test_many_values_without_aliases_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("showtell.utils.yaml_files.MAX_VALUES", 100)
    (tmp_path / "list.yaml").write_text(f"[{'1,' * 200}1]")
    assert len(read_yaml(tmp_path / "list.yaml")) == 201


def test_a_configuration_of_aliases_is_refused_in_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text(LAUGHS)
    assert main(["train", "--config", str(tmp_path / "config.yaml")]) == 2
    error = capsys.readouterr().err
    assert "its aliases stand for more than" in error
    assert len(error.splitlines()[-1]) < 200, "the values are not printed"
