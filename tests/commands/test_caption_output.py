"""showtell caption: files of captions, galleries and attention maps."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from showtell.captioning.captioner import Captioner
from showtell.cli import run_command
from showtell.errors import ModelError
from tests.commands.caption_runs import Run, read_jsonl
from tests.commands.test_caption import save_model

ROOT = Path(__file__).resolve().parents[2]


def test_json_lines_tell_of_photos_that_failed(run: Run, photos: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out.jsonl"
    done = run(photos[0], tmp_path / "nowhere.jpg", photos[1], "--output", out)
    rows = read_jsonl(out)
    assert [row["image"] for row in rows] == [str(photos[0]), str(tmp_path / "nowhere.jpg"), str(photos[1])]
    assert [f"{row['image']}: {row['caption']}" for row in rows if "caption" in row] == done.out
    assert rows[1] == {"image": str(tmp_path / "nowhere.jpg"), "error": "no such file"}
    best = {"caption": rows[0]["caption"], "log_probability": rows[0]["log_probability"]}
    assert rows[0]["captions"] == [best]
    assert rows[0]["log_probability"] < 0
    assert done.err[-1] == f"{out}: 3 photos"


def test_json_lines_on_standard_output_and_nothing_else(run: Run, photos: list[Path], tmp_path: Path) -> None:
    names = [photos[0], tmp_path / "nowhere.jpg", photos[1]]
    done = run(*names, "--output", "-", "--num-captions", "2")
    rows = [json.loads(line) for line in done.out]
    assert [row["image"] for row in rows] == [str(name) for name in names]
    assert [len(row["captions"]) for row in rows if "caption" in row] == [2, 2]
    assert rows[1]["error"] == "no such file"
    run(*names, "--output", tmp_path / "out.jsonl", "--num-captions", "2")
    assert rows == read_jsonl(tmp_path / "out.jsonl")
    assert not list(tmp_path.glob("-*"))


@pytest.mark.parametrize(
    ("option", "place"),
    [
        ("--output", "file.txt/out.jsonl"),
        ("--output", "file.txt/deep/er/out.html"),
        ("--output", "/proc/nowhere/out.csv"),
        ("--attention", "file.txt/out."),
        ("--attention", "file.txt/deep/er/out.png"),
        ("--attention", "/proc/nowhere/out."),
    ],
)
def test_a_place_that_cannot_be_written_is_reported_before_the_model_is_loaded(
    option: str, place: str, photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").touch()
    settings = ["--model", str(tmp_path / "no-model"), str(photos[0]), option, str(tmp_path / place)]
    assert run_command("caption", settings, prog="test") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "out." in error
    assert "cannot be written" in error


def test_csv(run: Run, photos: list[Path], tmp_path: Path) -> None:
    done = run(photos[0], "nowhere.jpg", "--num-captions", "2", "--output", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [f"{r['image']}: {r['caption']}" for r in rows if r["caption"]] == done.out
    assert [r["rank"] for r in rows] == ["1", "2", ""]
    assert float(rows[0]["log_probability"]) < 0
    assert rows[2]["error"] == "no such file"


class Images(HTMLParser):
    alts: list[str]

    def __init__(self, text: str) -> None:
        super().__init__()
        self.alts = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.alts.append(dict(attrs)["alt"] or "")


def test_a_gallery_shows_the_same_captions(run: Run, snippets: list[Path], tmp_path: Path) -> None:
    folder = snippets[0].parent
    done = run(folder, "--output", tmp_path / "out.html")
    assert done.out == run(folder).out
    page = Images((tmp_path / "out.html").read_text(encoding="utf-8"))
    assert [f"{photo}: {alt}" for photo, alt in zip(snippets, page.alts, strict=True)] == done.out


def test_attention_images_of_several_photos(run: Run, photos: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "looked"
    twice = [*photos[:2], photos[0]]
    done = run(*twice, "--attention", folder, "--max-length", "3", "--output", tmp_path / "out.jsonl")
    assert done.out == run(*twice, "--max-length", "3").out
    names = {f"{photos[0].stem}.attention.png", f"{photos[1].stem}.attention.png"}
    assert any(line.startswith("captioned 3 in ") for line in done.err)
    assert f"{folder}: attention maps of 3 photos" in done.err
    assert {path.name for path in folder.iterdir()} == names | {f"{photos[0].stem}-2.attention.png"}
    drawn = [Path(row["attention_map"]) for row in read_jsonl(tmp_path / "out.jsonl")]
    assert [path.name for path in drawn] == [
        f"{photos[0].stem}.attention.png",
        f"{photos[1].stem}.attention.png",
        f"{photos[0].stem}-2.attention.png",
    ]
    for path in drawn:
        with Image.open(path) as image:
            image.load()


def test_an_attention_image_of_one_photo(run: Run, photos: list[Path], tmp_path: Path) -> None:
    assert run(photos[0], "--attention", tmp_path / "one.png", "--max-length", "3").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["one.png"]
    done = run(photos[0], photos[1], "--attention", tmp_path / "two.png")
    assert (done.code, done.out) == (2, [])
    assert "for several photos name a folder" in done.err[0]


def test_no_photo_is_overwritten_and_no_image_captioned(run: Run, photos: list[Path], tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    with Image.open(photos[0]) as image:
        image.save(photo)
    before = photo.read_bytes()
    assert "choose another name" in run(photo, "--attention", photo).err[0]
    for _ in range(2):
        done = run(tmp_path, "--attention", tmp_path, "--max-length", "3")
        assert [line.split(": ")[0] for line in done.out] == [str(photo)]
    assert photo.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", "photo.attention.png"}


def test_a_decoder_without_attention(run: Run, photos: list[Path], tmp_path: Path) -> None:
    pooled = save_model(tmp_path / "pooled", "pooled")
    assert run(photos[0], model=pooled).code == 0
    done = run(photos[0], "--attention", tmp_path / "a.png", model=pooled)
    assert done.code == 2
    assert "no attention" in done.err[0]


def test_a_place_that_cannot_be_written(run: Run, photos: list[Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run(photos[0], "--output", tmp_path / "file" / "out.csv")
    assert (done.code, done.out) == (2, [])
    assert "out.csv: cannot be written" in done.err[0]


def stopping(after: int, error: BaseException) -> Callable[..., Iterator[object]]:
    """A `Captioner.caption_stream` that is stopped after this many photos."""
    whole = Captioner.caption_stream

    def stream(*arguments: object, **options: object) -> Iterator[object]:
        for number, done in enumerate(whole(*arguments, **options)):  # type: ignore[arg-type]
            if number == after:
                raise error
            yield done

    return stream


def test_ctrl_c_keeps_what_is_done(
    run: Run, snippets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Captioner, "caption_stream", stopping(7, KeyboardInterrupt()))
    done = run(snippets[0].parent, "--output", tmp_path / "out.jsonl")
    assert done.code == 130
    assert [row["image"] for row in read_jsonl(tmp_path / "out.jsonl")] == [str(p) for p in snippets[:7]]
    assert done.err[0].startswith("captioned 7 in ")
    assert done.err[1:] == [f"{tmp_path / 'out.jsonl'}: 7 photos done so far", "stopped"]


def test_an_error_on_the_way_leaves_the_part_that_was_done(
    run: Run, snippets: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Captioner, "caption_stream", stopping(7, ModelError("not finite")))
    done = run(snippets[0].parent, "--output", tmp_path / "out.jsonl")
    (partial,) = tmp_path.iterdir()
    assert done.code == 1
    assert done.err == [f"{partial}: what was done before the error", "error: not finite"]
    assert len(read_jsonl(partial)) == 7


def start(model: Path, photos: list[Path], *arguments: str | Path) -> subprocess.Popen[str]:
    """Run inference.py on names from a pipe that stays open: it captions these photos, then waits."""
    running = subprocess.Popen(
        [sys.executable, ROOT / "inference.py", "-", "--model", model, "--batch-size", "1", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and so what they start, ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stdin is not None
    running.stdin.write("".join(f"{photo}\n" for photo in photos))
    running.stdin.flush()
    return running


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".html"])
def test_a_killed_process_leaves_no_file_of_that_name(
    model: Path, snippets: list[Path], tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"out{suffix}"
    out.write_text("old")
    with start(model, snippets, "--output", out) as running:
        assert running.stdout is not None
        assert running.stdout.readline()
        running.kill()
    assert out.read_text() == "old"
    (partial,) = set(tmp_path.iterdir()) - {out}
    assert partial.name.startswith(f"out{suffix}.")
    assert partial.name.endswith(".partial")


@pytest.mark.slow
def test_ctrl_c_of_a_real_process(model: Path, snippets: list[Path], tmp_path: Path) -> None:
    with start(model, snippets, "--output", tmp_path / "out.jsonl") as running:
        assert running.stdout is not None
        for _ in range(30):
            assert running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert 30 <= len(rows) <= 40
    assert errors.splitlines()[1:] == [f"{tmp_path / 'out.jsonl'}: {len(rows)} photos done so far", "stopped"]


@pytest.mark.slow
def test_a_reader_that_leaves_ends_it_quietly(model: Path, snippets: list[Path], tmp_path: Path) -> None:
    """As `inference.py photos | head -1`; with a file to write it goes on, silently."""
    for arguments in ([], ["--output", tmp_path / "out.csv"]):
        with start(model, snippets, *arguments) as running:
            assert running.stdin is not None
            assert running.stdout is not None
            assert running.stderr is not None
            assert running.stdout.readline()
            running.stdout.close()
            running.stdin.close()
            errors = running.stderr.read()
        assert running.returncode == 0
        assert "BrokenPipe" not in errors
        assert "Traceback" not in errors
        if not arguments:
            assert errors == ""
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 41
