"""The hub folder: what is in it, whose it is, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoImageProcessor

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub_metadata import CONFIG, PREPROCESSOR
from showtell.cli import main
from showtell.config import RunConfig
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import make_decoder
from showtell.errors import CheckpointError, ModelError, ShowtellError, UsageError
from showtell.exporting.hub_folder import check_hub_target, write_hub_folder
from showtell.utils.shipped import DEFAULT_MODEL, MODELS
from tests.commands.test_caption import save_model
from tests.conftest import tiny_decoder_config

HISTORY = """epoch,train_loss,val_loss,BLEU-1,BLEU-4,CIDEr,saved
1,3.5,3.1,0.4,0.1,0.25,1
2,3.0,2.9,0.5,0.15,0.3125,1
3,2.8,3.0,0.6,0.16,0.5,0
"""
SETTINGS = {
    "data": {"root": "/home/me/secret/flickr8k", "images": "/home/me/secret/photos", "min_count": 4},
    "decoder": {"kind": "topdown"},
    "search": {"beam_size": 7},
    "out": "/home/me/secret/run",
}

CAPTIONS = {
    "number": 100,
    "right": 0.5,
    "calibration_error": 0.0625,
    "doubtful": 0.25,
    "doubtful_precision": 0.75,
}
RELIABILITY = {
    "doubtful_below": 0.31,
    "datasets": {
        "coco": {"captions": CAPTIONS},
        "flickr8k": {"captions": CAPTIONS | {"doubtful": 0.0, "doubtful_precision": None}},
    },
}


@pytest.fixture(scope="module")
def hub_folder(tiny_captioner: Captioner, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "tiny"
    write_hub_folder(tiny_captioner, tiny_model, "tiny", folder)
    return folder


def make_run(folder: Path) -> Path:
    model = Captioner.load(str(save_model(folder)), device=torch.device("cpu"))
    model.encoder_name = "/home/me/secret/resnet.pth"
    model.save(folder)
    (folder / "config.yaml").write_text(yaml.safe_dump(SETTINGS))
    (folder / "history.csv").write_text(HISTORY)
    (folder / "reliability.png").write_bytes(b"a plot")
    (folder / "reliability.json").write_text(json.dumps(RELIABILITY))
    return folder


def test_it_is_the_whole_model(hub_folder: Path, tiny_captioner: Captioner, photos: list[Path]) -> None:
    again = Captioner.from_pretrained(hub_folder, device="cpu")
    again.encoder.precision = "fp32"
    assert again.caption(photos) == tiny_captioner.caption(photos)
    stored, state = load_file(hub_folder / "model.safetensors"), tiny_captioner.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name].float(), state[name].float()) for name in state)


def test_config_json_says_what_the_model_is(hub_folder: Path, tiny_captioner: Captioner) -> None:
    config = json.loads((hub_folder / CONFIG).read_text())
    assert config["model_type"] == "showtell"
    assert (config["decoder"]["hidden_dim"], config["vocab_size"]) == (32, len(tiny_captioner.vocabulary))
    assert tiny_captioner.vocabulary.word(config["eos_token_id"]) == "<end>"
    assert config["encoder"]["hidden_sizes"] == [16, 32, 64, 128]


def test_transformers_prepares_a_square_as_we_do(hub_folder: Path, tiny_captioner: Captioner) -> None:
    photo = Image.fromarray(skimage.data.astronaut()).resize((150, 150))  # larger ones we reduce first
    processor = AutoImageProcessor.from_pretrained(hub_folder)
    theirs = processor(photo, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    transform = tiny_captioner.transform
    ours = (transform.pixels(photo) / 255 - transform.mean) / transform.std
    assert ours.shape == theirs.shape == (64, 64, 3)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "given", "language"),
    [
        ("a dog in the with", None, "en"),
        ("ein hund läuft über die wiese", None, None),
        ("ein hund läuft über die wiese", "de", "de"),
        ("a dog in the with", "en-GB", "en-GB"),
    ],
)
def test_the_card_names_the_language(
    words: str, given: str | None, language: str | None, tiny_captioner: Captioner, tmp_path: Path
) -> None:
    encoder, vocabulary = tiny_captioner.encoder, Vocabulary(words.split())
    config = tiny_decoder_config(8)
    decoder = make_decoder(
        config,
        vocab_size=len(vocabulary),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    write_hub_folder(Captioner(encoder, decoder, vocabulary, "tiny"), tmp_path, "m", tmp_path / "hub", given)
    assert ModelCard.load(tmp_path / "hub" / "README.md").data.to_dict().get("language") == language


@pytest.mark.parametrize("language", ["German", "d", "de_DE", "de\n"])
def test_another_name_of_a_language_is_refused(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ["--to-hub-folder", str(tmp_path / "hub"), "--language", language]
    assert main(["export", *settings]) == 2
    assert "give a code of ISO 639, such as en, de or zh" in capsys.readouterr().err


def test_the_card_tells_what_the_run_tells(tmp_path: Path) -> None:
    run, folder = make_run(tmp_path / "run"), tmp_path / "hub"
    assert main(["export", "--model", str(run), "--to-hub-folder", str(folder)]) == 0
    card = ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("showtell", "image-to-text")
    assert (data["datasets"], data["language"], data.get("license")) == (["flickr8k"], "en", None)
    found = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert found == {"BLEU-1": 0.5, "BLEU-4": 0.15, "CIDEr": 0.3125}  # of the last epoch that was saved
    assert "2 of 3" in card.text
    assert "with 7 beams" in card.text
    assert "min_count: 4" in card.text
    assert "](reliability.png)" in card.text
    assert "Captions below 0.31 are doubtful." in card.text
    assert (
        "| coco | 100 | 50 % | 6.2 % | 25 % | 75 % |\n| flickr8k | 100 | 50 % | 6.2 % | 0 % | - |\n"
        in card.text
    )
    assert "scores.png" not in card.text
    config = json.loads((folder / CONFIG).read_text())
    assert config["search"] == {"beam_size": 7}
    assert config["encoder"]["name"] == "resnet.pth"
    everything = b"".join(path.read_bytes() for path in folder.iterdir())
    assert b"secret" not in everything


def test_the_example_of_the_card_runs(
    tmp_path: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_hub_folder(
        Captioner.load(str(save_model(tmp_path / "run")), device=torch.device("cpu")),
        tmp_path / "run",
        "mine",
        tmp_path / "mine",
    )
    code = (tmp_path / "mine" / "README.md").read_text().split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(photos[0].read_bytes())
    exec(compile(code, "README.md", "exec"), {})
    [said] = capsys.readouterr().out.splitlines()
    assert main(["caption", "photo.jpg", "--model", "mine"]) == 0
    assert capsys.readouterr().out == f"photo.jpg: {said}\n"


def test_a_card_that_is_there_is_kept(tmp_path: Path, tiny_captioner: Captioner) -> None:
    run = make_run(tmp_path / "run")
    (run / "LICENSE").write_text("mine")
    (run / "README.md").write_text(
        "---\nlicense: cc-by-4.0\ntags: [mine]\n---\n# Mine\n[plot](reliability.png) [notes](../notes.md#a) "
        "![lost](../lost.png)[web](https://example.org) [top](#mine) [licence](LICENSE#1)\n"
    )
    write_hub_folder(tiny_captioner, run, "mine", tmp_path / "hub")
    card = ModelCard.load(tmp_path / "hub" / "README.md")
    assert card.text.strip() == (
        "# Mine\n[plot](reliability.png) notes [web](https://example.org) [top](#mine) [licence](LICENSE#1)"
    )
    data = card.data.to_dict()
    assert (data["license"], data["tags"], data["library_name"]) == ("cc-by-4.0", ["mine"], "showtell")
    (run / "README.md").write_text("---\nlicense: [\n---\n")
    with pytest.raises(UsageError, match=r"README.md: its metadata are damaged"):
        write_hub_folder(tiny_captioner, run, "mine", tmp_path / "other")
    assert {path.name for path in tmp_path.iterdir()} == {"run", "hub"}


def test_the_card_in_the_box_says_the_same_twice() -> None:
    card = ModelCard.load(MODELS / DEFAULT_MODEL / "README.md")
    (head,) = (line for line in card.text.splitlines() if line.startswith("| score "))
    datasets = [cell.strip() for cell in head.split("|")]
    for result in card.data.eval_results:
        (row,) = (line for line in card.text.splitlines() if line.startswith(f"| {result.metric_name} "))
        place = datasets.index(f"{result.dataset_name} {result.dataset_split}")
        assert f"{result.metric_value}" in row.split("|")[place]
    assert {result.metric_name for result in card.data.eval_results} >= {"BLEU-4", "ROUGE-L", "CIDEr"}


def test_damaged_settings_are_named(tmp_path: Path, tiny_captioner: Captioner) -> None:
    for file, text in (("config.yaml", "a: ["), ("config.yaml", "5"), ("history.csv", "epoch\nfirst\n")):
        run = make_run(tmp_path / "run")
        (run / file).write_text(text)
        with pytest.raises(UsageError, match="damaged"):
            write_hub_folder(tiny_captioner, run, "mine", tmp_path / "hub")
    assert not (tmp_path / "hub").exists()


def test_the_settings_are_those_of_a_run() -> None:
    defaults = RunConfig()
    for section, values in SETTINGS.items():
        assert hasattr(defaults, section)
        for name in values if isinstance(values, dict) else ():
            assert hasattr(getattr(defaults, section), name)


@pytest.mark.parametrize(
    ("file", "change", "name"),
    [
        (CONFIG, {"vocab_size": 5}, "vocab_size is 5"),
        (CONFIG, {"decoder": {"hidden_dim": 64}}, "decoder.hidden_dim is 64, but 32"),
        (CONFIG, {"encoder": 3}, "encoder is 3"),
        (PREPROCESSOR, {"image_mean": [0.5, 0.5, 0.5]}, "image_mean is"),
        (PREPROCESSOR, {"size": {"height": 64, "width": 96}}, "size.width is 96, but 64"),
    ],
)
def test_a_description_that_contradicts_the_weights_is_refused(
    file: str, change: dict[str, object], name: str, hub_folder: Path, tmp_path: Path
) -> None:
    for path in hub_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert Captioner.from_pretrained(tmp_path, device="cpu")
    values = json.loads((tmp_path / file).read_text())
    (tmp_path / file).write_text(json.dumps(values | change))
    with pytest.raises(CheckpointError, match=name):
        Captioner.from_pretrained(tmp_path)
    for damaged in ("{", '{"a":' * 200_000, "[]", "\xff"):
        (tmp_path / file).write_text(damaged, encoding="latin-1")
        with pytest.raises(CheckpointError, match=f"{file}: damaged"):
            Captioner.from_pretrained(tmp_path)
    (tmp_path / file).unlink()
    assert Captioner.from_pretrained(tmp_path, device="cpu")  # the weights are enough


def test_a_long_value_is_shown_shortened(hub_folder: Path, tmp_path: Path) -> None:
    for path in hub_folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    values = json.loads((tmp_path / CONFIG).read_text())
    (tmp_path / CONFIG).write_text(json.dumps(values | {"vocab_size": ["words"] * 10_000}))
    with pytest.raises(CheckpointError, match=r'vocab_size is \["words".*\.\.\., but \d+ in') as caught:
        Captioner.from_pretrained(tmp_path)
    assert len(str(caught.value)) < 400 + len(str(tmp_path))


def test_licences_of_a_hub_folder_go_along(
    hub_folder: Path, tmp_path: Path, tiny_captioner: Captioner
) -> None:
    source = tmp_path / "downloaded"
    source.mkdir()
    for name in ("LICENSE", "LICENSE-encoder"):
        (source / name).write_text(f"{name} of another")
    write_hub_folder(tiny_captioner, source, "again", tmp_path / "again")
    for name in ("LICENSE", "LICENSE-encoder"):
        assert (tmp_path / "again" / name).read_text() == f"{name} of another"
        assert f"]({name})" in (tmp_path / "again" / "README.md").read_text()


def test_nothing_is_overwritten(
    hub_folder: Path, tmp_path: Path, tiny_captioner: Captioner, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        write_hub_folder(tiny_captioner, hub_folder, "tiny", hub_folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        check_hub_target(tmp_path / "file")
    with pytest.raises(ShowtellError, match="cannot be written"):
        write_hub_folder(tiny_captioner, hub_folder, "tiny", tmp_path / "file" / "x")
    (tmp_path / "empty").mkdir()
    check_hub_target(tmp_path / "empty")
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError, match="you are in"):
        check_hub_target(Path())
    monkeypatch.chdir(tmp_path)
    write_hub_folder(tiny_captioner, hub_folder, "tiny", Path("empty"))
    assert (tmp_path / "empty" / CONFIG).is_file()


def test_an_ensemble_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(save_model(tmp_path / f"{seed}", seed=seed)) for seed in range(2)]
    captioner = Captioner.load_ensemble(names, device=torch.device("cpu"))
    with pytest.raises(ModelError, match="ensemble"):
        write_hub_folder(captioner, tmp_path, "both", tmp_path / "hub")
    assert main(["export", "--model", ",".join(names), "--to-hub-folder", str(tmp_path / "hub")]) == 2
    assert "one model, not an ensemble" in capsys.readouterr().err
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize(
    "option", [["--out", "x"], ["--precision", "int8"], ["--photos", "x.jpg"], ["--precision", "bf16"]]
)
def test_options_of_graphs_are_refused(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "--to-hub-folder", "x", *option]) == 2
    assert f"{option[0].removeprefix('--')} is for graphs" in capsys.readouterr().err
