"""Training and evaluation on captions of other languages, from annotations to scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.cli import main
from tests.commands.test_train import settings
from tests.conftest import make_snippets, make_tiny_backbone, save_backbone

SUBJECTS = {
    "german": ("Ein Hund läuft", "Zwei Männer sitzen", "Eine Straßenverkäuferin geht", "Ein Mädchen hüpft"),
    "chinese": ("一个男人在厨房里做饭", "两个孩子在厨房里奔跑", "一只狗在海滩上奔跑", "一个男人在海滩上做饭"),
}
PLACES = {"german": " über die grüne Wiese.", "chinese": ""}
WORDS = {"german": {"läuft", "straßenverkäuferin"}, "chinese": {"狗", "人"}}


@pytest.mark.parametrize("language", SUBJECTS)
def test_a_model_of_another_language_works_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with Path("train.jsonl").open("w", encoding="utf-8") as file:
        for number, path in enumerate(make_snippets(tmp_path / "images", 10)):
            caption = SUBJECTS[language][number % 4] + PLACES[language]
            split = "val" if number > 7 else "train"
            record = {"file_name": path.name, "text": caption, "split": split}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    save_backbone(tmp_path / "encoder", make_tiny_backbone())
    more = ["--data.segmentation=characters"] if language == "chinese" else []
    arguments = [f"--data.root={tmp_path}", *settings(tmp_path, tmp_path / "run"), *more]
    assert main(["train", *arguments, "--training.epochs=1", "--self_critical.epochs=0"]) == 0
    assert "put spaces between the words" not in capsys.readouterr().err

    captioner = Captioner.load("run")
    assert set(captioner.vocabulary.words) >= WORDS[language]
    assert main(["evaluate", "--model", "run", "--java", "false", "--out", "scores"]) == 0
    caption = captioner.caption([tmp_path / "images" / "0000.jpg"])[0][0]
    assert set(caption.words) <= set(captioner.vocabulary.words)

    predictions = [
        {"image": f"000{n}.jpg", "caption": SUBJECTS[language][n % 4] + PLACES[language]} for n in (8, 9)
    ]
    Path("mine.json").write_text(json.dumps(predictions), encoding="utf-8")
    measured = ["--predictions", "mine.json", "--data", "train.jsonl", "--java", "false", "--out", "scores"]
    assert main(["evaluate", *measured, "--segmentation", "characters" if more else "spaces"]) == 0
    card = json.loads(Path("scores", "mine.json.json").read_text(encoding="utf-8"))
    assert card["values"]["BLEU-4"] == pytest.approx(1)


def test_captions_without_spaces_get_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    annotations = [{"image": f"{n}.jpg", "caption": SUBJECTS["chinese"][n]} for n in range(4)]
    Path("own.json").write_text(json.dumps(annotations), encoding="utf-8")
    Path("mine.json").write_text(json.dumps(annotations), encoding="utf-8")
    assert main(["evaluate", "--data", "own.json", "--predictions", "mine.json", "--java", "false"]) == 0
    warning = capsys.readouterr().err
    assert "own.json: its words have 10 letters on average, of a script without spaces: put spaces" in warning
    assert "(--data.segmentation characters; evaluate --segmentation characters)" in warning
