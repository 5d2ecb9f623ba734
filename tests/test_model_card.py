"""The script that makes the measured parts of the model's card."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from PIL import Image

from showtell.captioning.caption import Caption
from showtell.data.records import CaptionedImage
from showtell.utils.shipped import DEFAULT_MODEL, MODELS

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("model_card")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("A man's dog sits.", "a man"),
        ("Two girls run", "a woman"),
        ("a boy and his mother", "both"),
        ("a person on a surfboard", "a person"),
        ("a manhole in a street", "nobody"),
        ("the hero of a chess game", "nobody"),
    ],
)
def test_who_is_in_a_caption(script: ModuleType, text: str, kind: str) -> None:
    assert script.who(script.tokenize(text)) == kind


@pytest.mark.parametrize(
    ("references", "kind"),
    [
        (("a man runs", "a person runs", "a street"), "a man"),
        (("a man runs", "a woman runs"), "both"),
        (("a girl and a boy", "a girl"), "both"),
        (("somewhere", "she waits"), "a woman"),
        (("a person", "a street"), "a person"),
        (("a street",), "nobody"),
    ],
)
def test_who_people_see(script: ModuleType, references: tuple[str, ...], kind: str) -> None:
    assert script.who_people_see(references) == kind


def made_caption(text: str) -> Caption:
    words = tuple(text.split())
    return Caption(text, words, -1.0, (-0.1,) * (len(words) + 1))


def test_shares_and_photos_by_chance(script: ModuleType) -> None:
    people = ["a man walks", "a man sits", "a woman sits", "a street"]
    texts = ["a man walks", "a woman sits", "a woman sits", "a man in a street"]
    images = [
        CaptionedImage(Path("x.jpg"), (text, "a robot's words"), "val", str(n), authors=("person", "model"))
        for n, text in enumerate(people)
    ]
    card = type("Card", (), {"data": "coco-8k", "split": "val"})
    evaluated = script.Evaluated(card, images, {str(n): made_caption(text) for n, text in enumerate(texts)})
    rows = [line.strip("| ").split(" | ") for line in script.gender([evaluated]).splitlines()]
    assert rows[0][3:] == [f"model: {kind}" for kind in script.MENTIONS]
    assert rows[2][:5] == ["COCO val", "a man", "2", "50 %", "50 %"]
    assert rows[3][1:5] == ["a woman", "1", "0 %", "100 %"]
    assert rows[6][1:4] == ["nobody", "1", "100 %"]
    one, two = script.chance(evaluated, 2, seed=1), script.chance(evaluated, 2, seed=1)
    assert one == two
    shown = [line.strip("| ").split(" | ") for line in one.splitlines()[2:]]
    assert len(shown) == 2
    for image_id, person, words, _ in shown:
        assert (person, words) == (people[int(image_id)], texts[int(image_id)])


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["image,caption,split"]
    for number in range(6):
        Image.new("RGB", (64, 48), (40 * number, 90, 120)).save(folder / f"{number}.png")
        lines += [
            f"{number}.png,a {word} on grass,{'val' if number < 4 else 'train'}" for word in ("dog", "cat")
        ]
    (folder / "captions.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_the_parts_are_put_into_the_card(
    script: ModuleType,
    data: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Into a copy of the included card, for a model of random words; what is not measured stays."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes((tiny_model / "model.safetensors").read_bytes())
    card = (MODELS / DEFAULT_MODEL / "README.md").read_text()
    (model / "README.md").write_text(card)
    arguments = ["model_card.py", "--model", str(model), "--data", str(data), "--no-java", "--write"]
    monkeypatch.setattr("sys.argv", arguments)
    script.main()
    printed = capsys.readouterr().out
    made = (model / "README.md").read_text()
    front = yaml.safe_load(made.split("---\n")[1])
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"]["name"] == "photos"
    names = [metric["name"] for metric in result["metrics"]]
    assert names == ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
    for metric in result["metrics"]:
        (row,) = (line for line in made.splitlines() if line.startswith(f"| {metric['name']} "))
        assert f"| {metric['value']:.3f} (" in row
    for name in ("facts", "figures", "samples", "chance", "gender"):
        part = made.split(f"<!-- {name} -->\n")[1].split(f"<!-- /{name} -->")[0]
        assert part.strip() in printed
        assert "TODO" not in part
    assert "32 LSTM units" in made
    assert made.split("## Limits")[1] == card.split("## Limits")[1]
    again = script.put(made, "facts", "new")
    assert "<!-- facts -->\nnew\n<!-- /facts -->" in again
    with pytest.raises(SystemExit, match="no place for its facts"):
        script.put("# A card", "facts", "new")
    with pytest.raises(SystemExit, match="no place for its index"):
        script.put("# A card", "index", "new")
