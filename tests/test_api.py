"""The public names of the package, and what they do."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import showtell
from showtell.captioning.caption import Caption
from showtell.captioning.captioner import Captioner
from showtell.config import RunConfig, SearchConfig
from showtell.errors import CheckpointError, ImageError, ShowtellError, UsageError
from showtell.search.settings import SearchKeywords
from tests.commands.test_caption import save_model
from tests.commands.test_evaluate import data, write_results  # noqa: F401 - a fixture
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone
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


def test_a_photo_in_every_form_gets_the_same_caption(
    model: Captioner, photos: list[Path], tmp_path: Path
) -> None:
    image = Image.open(photos[0])
    pixels = np.asarray(image)
    path = tmp_path / "photo.png"  # large JPEG files are decoded at a smaller scale
    image.save(path)
    forms = [
        str(path),
        path,
        path.read_bytes(),
        image,
        pixels,
        pixels / 255,
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
    ]
    one = model(path)
    assert one.text == model.caption([path])[0][0].text
    assert {caption.text for caption in model(forms)} == {one.text}
    assert model(iter(photos)) == model(photos)
    assert model([]) == []


def test_search_settings_are_keywords(model: Captioner, photos: list[Path]) -> None:
    five = model(photos[0], num_captions=5)
    assert [caption.text for caption in five] == [
        caption.text for caption in model.caption([photos[0]], SearchConfig(beam_size=5, num_captions=5))[0]
    ]
    assert [len(some) for some in model(photos[:2], num_captions=1)] == [1, 1]
    short = model(photos[0], beam_size=1, max_length=2)
    assert len(short.words) <= 2
    drawn = [model(photos[0], sample=True, temperature=2.0, seed=seed).text for seed in range(4)]
    assert len(set(drawn)) > 1
    assert model(photos[0], temperature=1.0) == model(photos[0])  # its default
    assert model(photos[0], attention=True).attention is not None


@pytest.mark.parametrize(
    ("images", "keywords", "reason"),
    [
        ("a.jpg", {"beams": 5}, "no argument 'beams'; did you mean 'beam_size'"),
        ("a.jpg", {"num_caption": 5}, "did you mean 'num_captions'"),
        ("a.jpg", {"beam_size": "5"}, "beam_size is '5'; it takes a whole number"),
        ("a.jpg", {"beam_size": True}, "it takes a whole number"),
        ("a.jpg", {"sample": 1}, "it takes True or False"),
        ("a.jpg", {"beam_size": 0}, "^beam_size must be at least 1"),
        ("a.jpg", {"top_k": 5}, "^top_k has no effect without sample"),
        ("a.jpg", {"batch_size": 0}, "batch_size is 0"),
        ("http://a.org/a.jpg", {}, "is a URL"),
        (["a.jpg", 5], {}, r"images\[1\]: is of type int"),
        ({"a": 1}, {}, "of type dict"),
        (5, {}, "of type int"),
    ],
)
def test_misuse_gets_one_line(
    model: Captioner, photos: list[Path], images: object, keywords: dict[str, object], reason: str
) -> None:
    if isinstance(images, list):
        images = [photos[0], *images[1:]]
    with pytest.raises(UsageError, match=reason) as raised:
        model(images, **keywords)  # type: ignore[call-overload]
    assert "\n" not in str(raised.value)


def test_attention_of_a_model_without_is_refused(tmp_path: Path) -> None:
    pooled = showtell.load(save_model(tmp_path, kind="pooled"), "cpu")
    with pytest.raises(UsageError, match="attention"):
        pooled("a.jpg", attention=True)


def test_an_image_that_cannot_be_decoded_is_named(model: Captioner, photos: list[Path]) -> None:
    with pytest.raises(ImageError, match=r"gone.jpg: no such file"):
        model([photos[0], "gone.jpg"])
    with pytest.raises(ImageError, match=r"images\[1\]: not an image"):
        model([photos[0], b"no image"])


# Captions


def test_a_caption_prints_as_its_text(model: Captioner, photos: list[Path]) -> None:
    caption = model(photos[0])
    assert f"{caption}" == caption.text == str(caption)
    assert repr(caption) == f"Caption({caption.text!r})"
    assert repr(Caption("a cat", ("a", "cat"), (-1.0,), None, 0.25, None, True)) == (
        "Caption('a cat', confidence=0.25, doubtful=True)"
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_a_notebook_shows_photo_and_attention(model: Captioner, photos: list[Path], in_memory: bool) -> None:
    given = np.asarray(Image.open(photos[0])) if in_memory else photos[0]
    caption = model(given, attention=True)
    html = caption._repr_html_()
    assert html.count("<img") == 1 + len(caption.words)
    assert "http" not in html.replace("data:image/jpeg;base64,", "")
    plain = model(given)._repr_html_()
    assert plain.count("<img") == 1
    many = model([given] * 17)
    assert many[-1]._repr_html_().count("<img") == (0 if in_memory else 1), "no thumbnails of many arrays"


def test_html_escapes_text_and_does_without_the_photo() -> None:
    words = ("<script>", '"&')
    caption = Caption('<script> "&', words, (-1.0,), None, 0.31, None, True, Path("gone.jpg"))
    html = caption._repr_html_()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert "doubtful, confidence 31 %" in html
    assert "<img" not in html


# The commands' functions


@pytest.mark.usefixtures("data")
def test_evaluate_and_report(model: Captioner, capsys: pytest.CaptureFixture[str]) -> None:
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


@pytest.mark.usefixtures("data")
@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"spilt": "val"}, "no argument 'spilt'; did you mean 'split'"),
        ({"split": "dev"}, "split 'dev': take one of train, val"),
        ({"beam_size": 0}, "beam_size must be at least 1"),
        ({"model": 5}, "not int"),
        ({"references": "robots"}, "references 'robots'"),
    ],
)
def test_mistakes_in_evaluate_get_one_line(keywords: dict[str, object], reason: str) -> None:
    for function in (showtell.evaluate, showtell.report):
        with pytest.raises(UsageError, match=reason):
            function(**{"data": "animals", **keywords})  # type: ignore[arg-type]


def test_pandas_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    from showtell.utils.tables import data_frame

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UsageError, match="pip install pandas"):
        data_frame([{"a": 1}])


def test_train(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = make_snippets(tmp_path / "data", 8)
    lines = [{"image": p.name, "caption": f"a {'dog' if i % 2 else 'cat'}"} for i, p in enumerate(paths)]
    (tmp_path / "data" / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = showtell.train(
        showtell.DataConfig(root=str(tmp_path / "data"), val_fraction=0.25, test_fraction=0),
        tmp_path / "run",
        init="none",
        encoder=showtell.EncoderConfig(str(save_backbone(tmp_path / "encoder", make_tiny_backbone())), 64),
        cache=showtell.CacheConfig(dir=str(tmp_path / "cache")),
        decoder=showtell.DecoderConfig(embedding_dim=8, hidden_dim=8, attention_dim=8),
        training=showtell.TrainingConfig(epochs=2),
    )
    assert run.folder == tmp_path / "run"
    assert str(run).splitlines()[1].split() == ["epoch", "train_loss", "val_loss", "BLEU-4", "CIDEr", "saved"]
    assert json.loads(json.dumps(run.to_dict()))["config"]["decoder"]["hidden_dim"] == 8
    assert run.to_pandas()["epoch"].tolist() == [1, 2]
    assert run.load()(paths[0]).words is not None
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"epochs": 3}, r"no argument 'epochs'; did you mean training=showtell.TrainingConfig\(epochs=...\)"),
        ({"traning": None}, "did you mean 'training'"),
        ({"training": {"epochs": 3}}, r"training is of type dict; give training=showtell.TrainingConfig"),
        ({"data": 5}, "data is of type int"),
    ],
)
def test_mistakes_in_train_get_one_line(keywords: dict[str, object], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        showtell.train(**keywords)  # type: ignore[arg-type]


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
