import io
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.cli import main
from showtell.commands import caption as command
from showtell.config import Cell, DecoderKind, SearchConfig
from showtell.data.vocabulary import Vocabulary
from showtell.decoder import make_decoder
from tests.bad_images import make_broken_images, make_odd_images
from tests.commands.caption_runs import Run, expected, lines, read_jsonl
from tests.conftest import make_tiny_encoder, tiny_decoder_config

ROOT = Path(__file__).resolve().parents[2]
CAPTION = "a dog cat man woman in the red blue shirt runs sits on grass street with ball and is big"


def save_model(folder: Path, kind: DecoderKind = "topdown", cell: Cell = "lstm", seed: int = 0) -> Path:
    """A captioner of random words that takes milliseconds a photo."""
    encoder, vocabulary = make_tiny_encoder(), Vocabulary(CAPTION.split())
    config = tiny_decoder_config(32, kind=kind, cell=cell, dropout=0)
    torch.manual_seed(seed)
    decoder = make_decoder(
        config,
        vocab_size=len(vocabulary),
        feature_dim=encoder.feature_dim,
        grid_cells=encoder.grid_cells,
    )
    for parameter in decoder.parameters():  # so that different photos get different words
        torch.nn.init.normal_(parameter, std=0.6)
    Captioner(encoder, decoder, vocabulary, "tiny").save(folder)
    return folder


# What is captioned


def test_files_in_the_order_given_twice_too(run: Run, model: Path, photos: list[Path]) -> None:
    given = [photos[2], photos[0], photos[2]]
    done = run(*given)
    assert done.out == lines(model, given)
    assert done.code == 0
    assert len(set(lines(model, photos))) == len(photos), "different photos, different captions"


def test_one_photo_is_answered_by_one_line(run: Run, model: Path, photos: list[Path]) -> None:
    assert run(photos[0]) == (0, lines(model, photos[:1]), [])


def test_a_folder_and_a_glob(run: Run, model: Path, snippets: list[Path]) -> None:
    done = run(snippets[0].parent)
    assert [shown.split(": ")[0] for shown in done.out] == [str(path) for path in snippets]
    assert done.out[:10] == lines(model, snippets[:10])
    assert done.err[0].startswith("captioned 40 in ")
    assert run(snippets[0].parent / "000?.jpg").out == lines(model, snippets[:10])


def test_names_on_standard_input(
    run: Run, model: Path, photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{photo}\n" for photo in photos)))
    assert run("-").out == lines(model, photos)


def test_names_that_are_no_text(
    run: Run, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = str(tmp_path).encode() + b"/caf\xe9.jpg"
    try:
        shutil.copy(photos[0], name)
    except OSError:
        pytest.skip("this file system takes text only")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(name + b"\n"), encoding="utf-8"))
    done = run("-", "--output", tmp_path / "out.jsonl")
    assert done.code == 0
    assert done.out[0].startswith(f"{tmp_path}/caf\\udce9.jpg: ")
    (row,) = read_jsonl(tmp_path / "out.jsonl")
    assert row["image"].encode("utf-8", "surrogateescape") == name


def test_without_names_the_photographs_of_scikit_image(run: Run) -> None:
    done = run()
    assert done.code == 0
    shown = [line.split(": ")[0] for line in done.out]
    assert shown == [f"skimage/{name}" for name in command.SAMPLE_PHOTOS]
    assert len(shown) == 6


def test_a_narrow_batch_changes_nothing(run: Run, snippets: list[Path]) -> None:
    assert run(snippets[0].parent, "--batch-size", "3").out == run(snippets[0].parent).out


# How it searches


def test_further_captions_widen_the_beam(run: Run, model: Path, photos: list[Path], tmp_path: Path) -> None:
    done = run(*photos, "--num-captions", "5", "--max-length", "8", "--output", tmp_path / "out.jsonl")
    results = expected(model, photos, SearchConfig(beam_size=5, num_captions=5, max_length=8))
    assert done.out == [
        f"{photo}: {text}" for photo, captions in zip(photos, results, strict=True) for text, _ in captions
    ]
    for row, photo, captions in zip(read_jsonl(tmp_path / "out.jsonl"), photos, results, strict=True):
        assert row["image"] == str(photo)
        listed = [(c["caption"], c["log_probability"]) for c in row["captions"]]
        assert [text for text, _ in listed] == [text for text, _ in captions]
        assert [p for _, p in listed] == pytest.approx([p for _, p in captions], abs=1e-3)


def test_greedy_and_length(run: Run, model: Path, photos: list[Path]) -> None:
    done = run(photos[0], "--beam-size", "1", "--max-length", "4", "--length-penalty", "0")
    config = SearchConfig(beam_size=1, max_length=4, length_penalty=0)
    assert done.out == [f"{photos[0]}: {expected(model, photos[:1], config)[0][0][0]}"]


def test_sampling_follows_its_seed(run: Run, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    # In bf16, words are often equally likely.
    monkeypatch.setattr("showtell.encoder.cnn.compute_dtype", lambda *_: torch.float32)
    wide = (photos[0], "--sample", "--temperature", "2", "--num-captions", "4")
    first = run(*wide, "--seed", "1")
    assert first.out == run(*wide, "--seed", "1").out
    assert first.out != run(*wide, "--seed", "2").out
    assert len(set(first.out)) == 4
    narrow = [
        run(photos[0], "--sample", *option, "--seed", "9").out
        for option in (("--top-k", "1"), ("--top-p", "0.0001"))
    ]
    assert narrow[0] == narrow[1] == run(photos[0], "--beam-size", "1").out


def test_diverse_captions_have_beams_of_their_own(run: Run, model: Path, photos: list[Path]) -> None:
    done = run(photos[0], "--num-captions", "4", "--diversity", "2", "--beam-size", "2")
    config = SearchConfig(beam_size=2, num_captions=4, diversity=2)
    assert done.out == [f"{photos[0]}: {text}" for text, _ in expected(model, photos[:1], config)[0]]
    assert len(set(done.out)) == 4


def test_the_likeliest_of_many_draws(run: Run, model: Path, photos: list[Path]) -> None:
    done = run(photos[0], "--sample", "--draws", "20", "--num-captions", "3")
    config = SearchConfig(sample=True, draws=20, num_captions=3)
    assert done.out == [f"{photos[0]}: {text}" for text, _ in expected(model, photos[:1], config)[0]]


def test_doubtful_captions_are_marked(run: Run, model: Path, photos: list[Path], tmp_path: Path) -> None:
    captioner = Captioner.load(str(model))
    captioner.calibration = Calibration((1.0, 0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 0.0))
    confidences = [captions[0].confidence for captions in captioner.caption(photos)]
    limit = sorted(confidences)[1] + 1e-9
    below = [confidence < limit for confidence in confidences]
    captioner.save(tmp_path / "plain")
    captioner.calibration = replace(captioner.calibration, doubtful=limit)
    captioner.save(tmp_path / "own")
    out = tmp_path / "out.jsonl"
    for model_name, options, expected_doubt in (
        ("plain", (), [False] * len(below)),
        ("plain", ("--min-confidence", limit), below),
        ("own", (), below),
        ("own", ("--min-confidence", "0"), [False] * len(below)),
        ("own", ("--min-confidence", "1"), [True] * len(below)),
    ):
        done = run(*photos, *options, "--output", out, model=tmp_path / model_name)
        assert [line.endswith("%)") for line in done.out] == expected_doubt
        rows = read_jsonl(out)
        assert [row["doubtful"] for row in rows] == expected_doubt
        assert [row["confidence"] for row in rows] == pytest.approx(confidences, abs=1e-4)


def test_doubt_needs_a_calibrated_model(run: Run, photos: list[Path]) -> None:
    done = run(photos[0], "--min-confidence", "0.5")
    assert done.code == 2
    assert "this model's confidence is not calibrated" in done.err[-1]
    assert run(photos[0], "--min-confidence", "0").code == 0


def test_why_diverse_captions_are_not_all_different(run: Run, photos: list[Path]) -> None:
    """Of greedy beams with almost no diversity, all find the same caption."""
    settings = ("--num-captions", "3", "--beam-size", "1", "--max-length", "4")
    done = run(*photos[:2], *settings, "--diversity", "0.0001")
    assert len(set(done.out)) < len(done.out)
    assert "2 of 2 photos have fewer than 3 different captions: raise --diversity" in "\n".join(done.err)
    done = run(*photos[:2], *settings, "--diversity", "50")
    assert len(set(done.out)) == len(done.out) == 6
    assert "different captions" not in "\n".join(done.err)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("phtos", "phtos: no such file or folder; did you mean photos?"),
        ("photos/summer/", "photos/summer/: no such file or folder"),
        (
            "archive.tar.gz",
            "archive.tar.gz: a compressed archive; unpack it, and name the folder of its photos",
        ),
        ("album.ZIP", "album.ZIP: a compressed archive; unpack it, and name the folder of its photos"),
        ("shard.tar", "shard.tar: a file of many photos, which showtell scale caption reads"),
    ],
)
@pytest.mark.parametrize("command", [["caption"], ["scale", "caption", "--out", "out"]])
def test_what_is_no_photo_is_reported_before_the_model_is_loaded(
    command: list[str],
    name: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for file in ("archive.tar.gz", "album.ZIP", "shard.tar"):
        Path(file).touch()
    if command[0] == "scale" and name == "shard.tar":
        pytest.skip("scale reads it")
    monkeypatch.setattr(Captioner, "load", lambda *_, **__: pytest.fail("loaded a model"))
    assert main([*command, name]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


# Images of every odd and every broken kind


def test_odd_images_get_a_caption(run: Run, tmp_path: Path) -> None:
    odd = make_odd_images(tmp_path / "odd")
    done = run(tmp_path / "odd" / "*", "--output", tmp_path / "out.html", "--max-length", "3")
    assert [line.rpartition(": ")[0] for line in done.out] == [str(path) for path in odd.values()]
    assert done.code == 0
    assert done.err[0].startswith(f"captioned {len(odd)} in ")
    assert all(line.rpartition(": ")[2] for line in done.out)


BROKEN = {
    "bomb": "too large: ",
    "empty": "the file is empty",
    "folder": "a folder, not an image file",
    "missing": "no such file",
}


def test_broken_images_are_named_one_by_one_and_the_run_goes_on(
    run: Run, photos: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = make_broken_images(tmp_path / "broken")
    names = [str(path) for path in broken.values()]
    mixed = [str(photos[0]), *names[:9], str(photos[1]), *names[9:], str(photos[2])]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(mixed)))
    done = run("-", "--output", tmp_path / "out.jsonl")
    assert done.code == 0
    assert [line.split(": ")[0] for line in done.out] == [str(photo) for photo in photos[:3]]
    reported = dict(line.removeprefix("skipped ").split(": ", 1) for line in done.err[:-2])
    assert list(reported) == names
    assert all(line.startswith("skipped ") for line in done.err[:-2])
    for name, path in broken.items():
        reason = reported[str(path)]
        assert len(reason) > 8
        assert reason.startswith(BROKEN.get(name.replace("-", ".").split(".")[0], ""))
    first = ", ".join(names[:3])
    assert done.err[-2].startswith(
        f"captioned 3, skipped {len(names)} ({first} and {len(names) - 3} more) in "
    )
    assert {r["image"]: r["error"] for r in read_jsonl(tmp_path / "out.jsonl") if "error" in r} == reported


def test_a_folder_with_broken_images(run: Run, photos: list[Path], tmp_path: Path) -> None:
    broken = make_broken_images(tmp_path / "photos")
    shutil.copy(photos[0], tmp_path / "photos" / "good.jpg")
    done = run(tmp_path / "photos")
    files = [p for p in broken.values() if p.is_file() and p.suffix != ".svg"]
    assert (done.code, len(done.out)) == (0, 1)
    assert done.err[-1].startswith(f"captioned 1, skipped {len(files)} (")
    assert len(done.err) == len(files) + 1


def test_nothing_but_broken_images_is_a_failure(run: Run, tmp_path: Path) -> None:
    (photo := tmp_path / "photo.jpg").touch()
    done = run(photo)
    assert (done.code, done.out) == (1, [])
    assert done.err[0] == f"skipped {photo}: the file is empty"
    assert done.err[1].startswith(f"captioned 0, skipped 1 ({photo}) in ")


# Misuse


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a.jpg", "--output", "out.txt"], "out.txt: captions are written to .jsonl, .csv or .html files"),
        (["{empty}"], "no image files in this folder"),
        (["{empty}/*.jpg"], "no file matches this pattern"),
        (["-"], "no photos named on standard input"),
        (["a.jpg", "--num-captions", "0"], "--num-captions must be at least 1"),
        (["a.jpg", "--beam-size", "0"], "--beam-size must be at least 1"),
        (["a.jpg", "--max-length", "0"], "--max-length must be at least 1"),
        (["a.jpg", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["a.jpg", "--sample", "--temperature", "0"], "--temperature must be 0.001 to 1000; for greedy"),
        (["a.jpg", "--sample", "--top-p", "1.5"], "--top-p must be over 0 and at most 1"),
        (["a.jpg", "--top-k", "5"], "--top-k has no effect without --sample"),
        (["a.jpg", "--sample", "--beam-size", "5"], "--beam-size has no effect with --sample"),
        (["a.jpg", "--sample", "--min-confidence", "0.4"], "--min-confidence has no effect with --sample"),
        (["a.jpg", "--min-confidence", "40"], "--min-confidence is a probability: 0 to 1"),
        (["a.jpg", "--diversity", "1"], "--diversity has no effect on one caption"),
        (["a.jpg", "--sample", "--diversity", "1", "--num-captions", "2"], "--diversity has no effect with"),
        (["a.jpg", "--num-captions", "2", "--diversity", "-1"], "--diversity must be 0 to 100"),
        (["a.jpg", "--sample", "--num-captions", "3", "--draws", "2"], "--draws must be at least --num-capt"),
        (["a.jpg", "--attention", "{file}"], "this is no folder"),
        (["a.jpg", "--beam-size", "many"], "many"),
        (["a.jpg", "--beams", "5"], "--beams"),
    ],
)
def test_misuse_is_answered_before_any_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(Captioner, "load", lambda *_, **__: pytest.fail("loaded a model"))
    places = {"{empty}": str(tmp_path / "empty"), "{file}": str(tmp_path / "file")}
    for place, path in places.items():
        arguments = [argument.replace(place, path) for argument in arguments]
    done = run(*arguments)
    assert (done.code, done.out) == (2, [])
    assert message in done.err[-1]


def test_photos_of_which_none_is_there(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Captioner, "load", lambda *_, **__: pytest.fail("loaded a model"))
    (tmp_path / "harbour.jpg").touch()
    one = run(tmp_path / "harbor.jpg")
    assert (one.code, one.out) == (2, [])
    assert one.err == [f"error: {tmp_path}/harbor.jpg: no such file; did you mean {tmp_path}/harbour.jpg?"]
    assert run("x.jpg", "y/z.jpg").err == ["error: x.jpg and 1 more: no such file"]


def test_a_model_that_is_not_there(run: Run, photos: list[Path], tmp_path: Path) -> None:
    done = run(photos[0], "--output", tmp_path / "out.csv", model=tmp_path / "nowhere")
    assert (done.code, done.out) == (2, [])
    assert str(tmp_path / "nowhere") in done.err[0]
    assert not list(tmp_path.iterdir())


# On a terminal


def test_there_is_a_progress_bar_on_a_terminal(
    run: Run, snippets: list[Path], photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert "40/40" in "\n".join(run(snippets[0].parent).err)
    assert not any("img" in line for line in run(*photos).err), "few photos need none"
