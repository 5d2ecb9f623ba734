"""The model card of a hub folder: metadata, scores, and cards that are there already."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from showtell.captioning.captioner import Captioner
from showtell.checkpoints.hub_metadata import CONFIG
from showtell.cli import main
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import make_decoder
from showtell.errors import UsageError
from showtell.exporting.hub_folder import write_hub_folder
from showtell.utils.shipped import DEFAULT_MODEL, MODELS
from tests.commands.test_caption import save_model
from tests.conftest import tiny_decoder_config
from tests.exporting.runs import make_run


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


def test_the_card_describes_the_run(tmp_path: Path) -> None:
    run, folder = make_run(tmp_path / "run"), tmp_path / "hub"
    assert main(["export", "--model", str(run), "--to-hub-folder", str(folder)]) == 0
    card = ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("showtell", "image-to-text")
    assert (data["datasets"], data["language"], data.get("license")) == (["flickr8k"], "en", None)
    scores = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert scores == {"BLEU-1": 0.5, "BLEU-4": 0.15, "CIDEr": 0.3125}  # of the last epoch that was saved
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
    [caption] = capsys.readouterr().out.splitlines()
    assert main(["caption", "photo.jpg", "--model", "mine"]) == 0
    assert capsys.readouterr().out == f"photo.jpg: {caption}\n"


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


def test_table_and_metadata_of_the_included_card_agree() -> None:
    card = ModelCard.load(MODELS / DEFAULT_MODEL / "README.md")
    (head,) = (line for line in card.text.splitlines() if line.startswith("| score "))
    datasets = [cell.strip() for cell in head.split("|")]
    for result in card.data.eval_results:
        (row,) = (line for line in card.text.splitlines() if line.startswith(f"| {result.metric_name} "))
        place = datasets.index(f"{result.dataset_name} {result.dataset_split}")
        assert f"{result.metric_value}" in row.split("|")[place]
    assert {result.metric_name for result in card.data.eval_results} >= {"BLEU-4", "ROUGE-L", "CIDEr"}
