"""The public names of the package, and what they do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import showtell
from showtell.captioning.captioner import Captioner
from showtell.config import RunConfig, SearchConfig
from showtell.errors import CheckpointError, ShowtellError, UsageError
from showtell.search.settings import SearchKeywords
from tests.commands.test_caption import save_model
from tests.evaluation.animals import write_animals, write_results
from tests.reporting.test_render import Page


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Captioner:
    opened = showtell.load(tiny_model, "cpu")
    assert isinstance(opened, Captioner)
    opened.encoder.precision = "fp32"
    return opened


# Names


def test_the_import_is_light_and_brings_the_public_names_only() -> None:
    code = (
        "import sys, json; before = set(sys.modules); import showtell;"
        "names = [name for name in vars(showtell) if name[0] != '_'];"
        "heavy = {'torch', 'numpy', 'PIL', 'showtell'};"
        "new = [name for name in set(sys.modules) - before if name.split('.')[0] in heavy];"
        "print(json.dumps([names, new]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], ["showtell"]]


def test_every_public_name_is_there_and_no_other() -> None:
    assert {name for name in dir(showtell) if name != "__version__"} == set(showtell.__all__)
    for name in showtell.__all__:
        value = getattr(showtell, name)
        assert callable(value), f"{name} is a module"
        assert value.__doc__
    assert showtell.__all__ == sorted(showtell.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = showtell.lode  # type: ignore[attr-defined]


def test_the_sections_of_a_run_are_public() -> None:
    sections = {str(field.type) for field in fields(RunConfig) if str(field.type).endswith("Config")}
    assert sections <= set(showtell.__all__)
    assert {field.name for field in fields(SearchConfig)} == {*SearchKeywords.__annotations__, "num_captions"}


# Models


def test_any_model_is_loaded_and_describes_itself(
    tiny_model: Path, model: Captioner, exported: Path, tmp_path: Path
) -> None:
    assert repr(model) == (
        f"Captioner('{tiny_model}', topdown decoder (lstm, 32 units), 24 words, image size 64, cpu)"
    )
    small = showtell.load(exported, runtime="onnx", image_size=96)
    assert repr(small).endswith("decoder with attention, fp32, 24 words, image size 96, onnx)")
    other = save_model(tmp_path / "other", seed=1)
    both = showtell.load(f"{tiny_model},{other}", device="cpu")
    assert "ensemble of 2 decoders" in repr(both)
    assert str(both(np.zeros((70, 70), np.uint8)))


def test_a_folder_with_a_comma_in_its_name_is_one_model(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "my, run")
    assert showtell.load(folder, "cpu").name == showtell.load(str(folder), "cpu").name == str(folder)


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "reason"),
    [
        (("evryday",), {}, CheckpointError, "evryday: no such model; did you mean everyday"),
        (("no/such/run",), {}, CheckpointError, "no/such/run"),
        ((5,), {}, UsageError, "not int"),
        ((), {"devise": "cpu"}, UsageError, "no argument 'devise'; did you mean 'device'"),
        ((), {"device": "abacus"}, UsageError, "device 'abacus'"),
        ((), {"runtime": "onnx"}, UsageError, "runtime onnx runs exported models"),
        ((), {"image_size": 7}, UsageError, "image size 7"),
    ],
)
def test_wrong_names_get_one_line(
    arguments: tuple[object, ...], keywords: dict[str, object], error: type[ShowtellError], reason: str
) -> None:
    with pytest.raises(error, match=reason) as raised:
        showtell.load(*arguments, **keywords)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_exported_models_run_on_the_cpu(exported: Path) -> None:
    for keywords in ({"device": "cuda"}, {"runtime": "torch"}, {"encoder": "x"}):
        with pytest.raises(UsageError, match="exported model"):
            showtell.load(exported, **keywords)  # type: ignore[arg-type]


# The commands' functions


def test_evaluate_and_report(
    model: Captioner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_animals(Path("animals"))
    first, second = write_results(Path("first.json")), write_results(Path("second.json"), "flies")
    result = showtell.evaluate(data="animals", predictions=first, against=second, java=False)
    assert result.scores["BLEU-4"] == pytest.approx(1)
    assert "first.json on 6 images of animals (val)" in str(result)
    assert "against second.json" in str(result)
    (dataset,) = json.loads(json.dumps(result.to_dict()))["datasets"]
    assert dataset["differences"]["BLEU-1"]["value"] == pytest.approx(0.2)
    frame = result.to_pandas()
    assert set(frame["model"]) == {"first.json", "second.json"}
    assert not Path("reports").exists(), "nothing is written unless asked for"
    own = showtell.report(model, showtell.DataConfig(root="animals"), out="out", java=False)
    assert Page(own.pages[0]).data["photos"][0]["shown"][0]["grid"] == [2, 2]
    assert str(own).endswith("6 photos)")
    assert own.to_pandas()["model"].unique().tolist() == [model.name]
    assert capsys.readouterr().out == "", "functions do not print"


def test_pandas_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    from showtell.utils.tables import data_frame

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        data_frame([{"a": 1}])


def test_export(tiny_model: Path, photos: list[Path], tmp_path: Path) -> None:
    result = showtell.export(tiny_model, to_hub_folder=tmp_path / "hub")  # graphs: commands/test_export.py
    assert str(result).startswith(f"{tmp_path / 'hub'}: hub folder, ")
    assert result.to_dict()["files"]["model.safetensors"] > 1000
    assert set(result.to_pandas()["file"]) == {path.name for path in result.folder.iterdir()}
    assert showtell.load(result.folder, "cpu")(photos[0]) == showtell.load(tiny_model, "cpu")(photos[0])
    for keywords, reason in (
        ({"precison": "int8"}, "did you mean 'precision'"),
        ({"precision": "int4"}, "take one of fp32, bf16, int8"),
        ({"precision": "int8"}, "name 20 or more"),
        ({"out": "x", "to_hub_folder": "y"}, "out is for graphs"),
    ):
        with pytest.raises(UsageError, match=reason):
            showtell.export(tiny_model, **keywords)  # type: ignore[arg-type]
