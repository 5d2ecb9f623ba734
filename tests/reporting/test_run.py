"""From an evaluation of files of captions to its page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from showtell.errors import UsageError
from showtell.reporting.run import report
from tests.reporting.test_render import Page

CAPTIONS = {
    "a.png": ["a dog runs on grass", "a brown dog is running"],
    "b.png": ["a cat sits on a mat", "the cat is sitting"],
    "c.png": ["two birds fly in the sky", "birds are flying"],
}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three photos for validation, and captions of them by two models, in the working directory."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "animals"
    folder.mkdir()
    rows = ["image,caption,split"]
    for number, (name, captions) in enumerate(CAPTIONS.items()):
        Image.new("RGB", (60, 40), (80 * number, 90, 120)).save(folder / name)
        rows += [f"{name},{caption},val" for caption in captions]
    (folder / "captions.csv").write_text("\n".join(rows) + "\n")
    write_predictions(tmp_path / "good.json", {name: captions[0] for name, captions in CAPTIONS.items()})
    write_predictions(tmp_path / "poor.json", dict.fromkeys(CAPTIONS, "a dog on a mat"))
    return folder


def write_predictions(path: Path, captions: dict[str, str]) -> None:
    path.write_text(json.dumps([{"image_id": name, "caption": text} for name, text in captions.items()]))


def test_a_page_shows_every_photo_with_its_captions_and_scores(dataset: Path) -> None:
    written = report(data=dataset, predictions="good.json", against="poor.json", java=False, out="out")
    (path,) = written.pages
    assert path == Path("out/good.json-vs-poor.json.html")
    assert str(written).startswith(f"{path} (0.")
    assert str(written).endswith(" MB, 3 photos)")
    page = Page(path)
    assert [photo["name"] for photo in page.data["photos"]] == list(CAPTIONS)
    for photo, references in zip(page.data["photos"], CAPTIONS.values(), strict=True):
        assert photo["people"] == references
        good, poor = photo["shown"]
        assert (good["text"], poor["text"]) == (references[0], "a dog on a mat")
        assert good["scores"]["ROUGE-L"] == pytest.approx(1, abs=1e-3)
        assert good["score"] > poor["score"]
    assert {path.name for path in Path("out").iterdir()} >= {"good.json.json", "poor.json.json"}
    assert written.to_dict()["pages"] == [str(path)]
    assert set(written.to_pandas()["model"]) == {"good.json", "poor.json"}


def test_scores_of_an_earlier_run_stand_beside(dataset: Path) -> None:
    report(data=dataset, predictions="poor.json", java=False, out="out")
    (path,) = report(data=dataset, predictions="good.json", java=False, out="out").pages
    text = " ".join(Page(path).text.split())
    assert "good.json" in text
    assert "poor.json" in text
    assert "Skipped metric: METEOR" in text
    assert text.count("Skipped metric: METEOR") == 1, "a note that holds for both stands there once"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"prediction": "good.json"}, "no argument 'prediction'; did you mean 'predictions'"),
        ({"predictions": "none.json"}, "none.json"),
    ],
)
def test_mistakes_get_one_line(dataset: Path, settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message) as raised:
        report(data=dataset, java=False, out="out", **settings)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)
    assert not Path("out").exists()


def test_a_photo_that_cannot_be_shown_is_named(dataset: Path) -> None:
    (dataset / "b.png").write_bytes(np.random.default_rng(0).bytes(99))
    with pytest.raises(UsageError, match=r"b\.png: .*; the report shows all photos: replace it"):
        report(data=dataset, predictions="good.json", java=False, out="out")
