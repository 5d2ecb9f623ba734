"""`showtell alt` on a small site and a photo library: proposals, patch, write, undo; nothing is lost."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from showtell.alt.metadata import read_description
from showtell.captioning.captioner import Captioner
from showtell.captioning.confidence import Calibration
from showtell.cli import main
from tests.alt.site import MISSING, make_site
from tests.commands.caption_runs import Done
from tests.commands.test_caption import save_model

Run = Callable[..., Done]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path, model: Path = model) -> Done:
        capsys.readouterr()
        code = main(["alt", *map(str, arguments), "--model", str(model)])
        captured = capsys.readouterr()
        return Done(code, captured.out.splitlines(), captured.err.splitlines())

    return call


@pytest.fixture
def site(tmp_path: Path, snippets: list[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return make_site(Path("site"), snippets)


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def backup_of(done: Done) -> str:
    return re.search(r"--undo (\S+)", "\n".join(done.err))[1]  # type: ignore[index]


def test_proposals_are_the_captions_and_nothing_is_changed(site: Path, run: Run, model: Path) -> None:
    before = contents(site)
    done = run(site)
    assert done.code == 0
    assert contents(site) == before
    assert len(done.out) == MISSING
    expected = Captioner.load(str(model)).caption([site / "images" / "photo 00.jpg"])[0][0].text
    text = expected[0].upper() + expected[1:]
    assert f"site/index.html:3 images/photo%2000.jpg: {text}" in done.out
    assert any(line.startswith("site/notes.md:3 images/photo 17.jpg: ") for line in done.out)
    reported = "\n".join(done.err)
    assert "https://elsewhere.example/x.jpg: it is on another host; nothing is downloaded" in reported
    assert "images/missing.jpg: no such file" in reported
    assert f"captioned {MISSING}" in reported


@pytest.mark.parametrize("tool", [("git", "apply"), ("patch", "-p1", "--binary", "-i")])
def test_the_patch_gives_what_write_gives(
    site: Path, run: Run, tool: tuple[str, ...], tmp_path: Path
) -> None:
    if shutil.which(tool[0]) is None:
        pytest.skip(f"no {tool[0]}")
    before = contents(site)
    assert run(site, "--patch", "alt.patch").code == 0
    assert contents(site) == before
    subprocess.run([*tool, "alt.patch"], check=True, capture_output=True)
    patched = contents(site)
    assert patched != before
    for path, content in before.items():
        path.write_bytes(content)
    done = run(site, "--write")
    assert done.code == 0
    assert contents(site) == patched
    assert run(site, "--check").out == []


def test_written_and_undone(site: Path, run: Run) -> None:
    before = contents(site)
    done = run(site, "--write")
    after = contents(site)
    assert {path for path in before if after[path] != before[path]} == {
        site / name for name in ("index.html", "notes.md", "sub/page.htm", "sub/more notes.md")
    }
    for path, content in after.items():  # only insertions: without them each page is what it was
        assert re.sub(rb' alt="[A-Z][^"]*"|(?<=!\[)[A-Z][^\]]*', b"", content) == before[path] or (
            path.suffix == ".jpg"
        )
    assert "changed 4 files" in "\n".join(done.err)
    undone = run("--undo", backup_of(done))
    assert undone.code == 0
    assert len(undone.out) == 4
    assert contents(site) == before


def test_the_report_holds_every_proposal_and_the_patch_may_go_to_standard_output(
    site: Path, run: Run
) -> None:
    assert run(site, "--output", "alt.csv", "--patch", "alt.patch").code == 0
    with Path("alt.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MISSING
    assert all(row["caption"][0].isupper() for row in rows)
    piped = run(site / "notes.md", "--root", site, "--patch", "-")
    assert piped.out[0] == "--- a/site/notes.md"
    assert sum(line.startswith("+![") for line in piped.out) == 6
    assert "\n".join(piped.out) in Path("alt.patch").read_text("utf-8", "replace")


def test_the_gallery_shows_the_images(site: Path, run: Run) -> None:
    assert run(site, "--output", "alt.html").code == 0
    assert Path("alt.html").read_text().count("data:image/jpeg") == MISSING


def test_a_page_that_is_named_twice_is_changed_once(site: Path, run: Run) -> None:
    Path("link.html").symlink_to(site / "index.html")
    done = run(site, site / "index.html", Path("site/../site/notes.md"), "--root", site, "--write")
    assert done.code == 0
    assert len(done.out) == MISSING
    assert b'" alt="' not in (site / "index.html").read_bytes().replace(b'.jpg" alt="kept"', b"")


def test_odd_pages_and_addresses_are_skipped_with_a_reason(site: Path, run: Run) -> None:
    (site / "utf16.html").write_text("<img src=a.jpg>", encoding="utf-16")
    (site / "odd.html").write_text("<![odd[ ]]><img src=a.jpg>")
    (site / "images.html").write_text(
        f'<img src="{"x" * 5000}"><img src="{{{{ url }}}}"><img src="http://[bad"><img src="a%00b">'
        '<img><img src="data:image/gif;base64,R0lGOD"><img src="images">'
    )
    done = run(site)
    assert done.code == 0
    assert len(done.out) == MISSING
    reported = "\n".join(done.err)
    for reason in (
        "it is UTF-16; save it as UTF-8",
        "its address is invalid (File name too long)",
        "its address is made by a template",
        "its address is invalid (Invalid IPv6 URL)",
        "it has no address",
        "it is embedded in the page (data: URL)",
        "no such file: site/images",
    ):
        assert reason in reported


def test_a_check_needs_no_model_and_fails_where_something_is_missing(site: Path, run: Run) -> None:
    done = run(site, "--check", model=Path("no model"))
    assert done.code == 1
    assert len(done.out) == MISSING
    assert run(site / "sub" / "more notes.md", "--check").code == 1
    (site / "good.html").write_text('<img src="x.jpg" alt="x">')
    assert run(site / "good.html", "--check").code == 0


def test_a_photo_library_gets_descriptions_and_loses_nothing(
    tmp_path: Path, photos: list[Path], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    library = tmp_path / "library"
    library.mkdir()
    for path in photos:
        shutil.copy(path, library)
    Image.open(photos[0]).save(library / "b.png")
    Image.open(photos[0]).save(library / "c.gif")
    before = contents(library)
    done = run(library, "--write")
    assert done.code == 1  # GIF files have no such metadata
    assert "c.gif: its metadata cannot be read or written" in "\n".join(done.err)
    assert len(done.out) == len(photos) + 2
    for line in done.out:
        name, _, text = line.partition(": ")
        if not name.endswith(".gif"):
            assert read_description(Path(name).read_bytes(), name) == text
    again = run(library, "--write")
    assert len(again.out) == 1  # the GIF; what is described stays as it is
    assert run("--undo", backup_of(done)).code == 0
    assert contents(library) == before


@pytest.fixture(scope="module")
def unsure(model: Path, snippets: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose confidence in some captions is below its threshold."""
    captioner = Captioner.load(str(model))
    captioner.calibration = Calibration((1.0, 0.0, 0.0, 0.0), (0.0,) * 5)
    folder = tmp_path_factory.mktemp("site")
    make_site(folder, snippets)
    images = sorted((folder / "images").glob("photo*.jpg"))
    confidences = sorted(captions[0].confidence or 0 for captions in captioner.caption(images))
    middle = (confidences[len(confidences) // 2] + confidences[len(confidences) // 2 - 1]) / 2
    captioner.calibration = replace(captioner.calibration, doubtful=middle)
    return captioner.save(tmp_path_factory.mktemp("unsure")).parent


def test_doubtful_texts_are_marked_and_neither_written_nor_in_the_patch(
    site: Path, run: Run, unsure: Path
) -> None:
    before = contents(site)
    listed = run(site, model=unsure)
    doubtful = [line for line in listed.out if line.endswith("%)")]
    assert 0 < len(doubtful) < MISSING
    assert "left out" not in "\n".join(listed.err)  # nothing was to be changed
    patched = run(site, "--patch", "alt.patch", model=unsure)
    assert contents(site) == before
    patch = Path("alt.patch").read_text("utf-8", "replace")
    done = run(site, "--write", model=unsure)
    assert done.code == 0
    assert contents(site) != before
    for reported in ("\n".join(patched.err), "\n".join(done.err)):
        assert reported.count("left out ") == len(doubtful) + 1
        assert all(f"left out {line}" in reported for line in doubtful)
        assert f"left out {len(doubtful)} doubtful proposal" in reported
        assert "--min-confidence 0" in reported
    assert sum(f"left out {line}" in patch for line in doubtful) == 0
    written = {place for line in listed.out if line not in doubtful for place in [line.split(": ")[0]]}
    left = run(site, "--check").out
    assert len(left) == len(doubtful)
    assert len(written) == MISSING - len(doubtful)


def test_with_no_least_confidence_all_are_written(site: Path, run: Run, unsure: Path) -> None:
    done = run(site, "--write", "--min-confidence", "0", model=unsure)
    assert not any(line.endswith("%)") for line in done.out)
    assert "left out" not in "\n".join(done.err)
    assert run(site, "--check").out == []


def test_another_least_confidence_leaves_out_others(site: Path, run: Run, unsure: Path) -> None:
    before = contents(site)
    done = run(site, "--write", "--min-confidence", "1", model=unsure)
    assert contents(site) == before
    assert all(line.endswith("%)") for line in done.out)
    assert f"left out {MISSING} doubtful proposals" in "\n".join(done.err)


def test_a_doubtful_description_is_not_written_into_a_photo(
    tmp_path: Path, photos: list[Path], run: Run, unsure: Path
) -> None:
    library = tmp_path / "library"
    library.mkdir()
    shutil.copy(photos[0], library)
    before = contents(library)
    done = run(library, "--write", "--min-confidence", "1", model=unsure)
    assert contents(library) == before
    assert "left out 1 doubtful proposal, since" in "\n".join(done.err)


def test_a_model_without_a_threshold_says_that_nothing_is_doubtful(
    site: Path, run: Run, model: Path, tmp_path: Path
) -> None:
    refused = run(site, "--write", "--min-confidence", "0.5")
    assert refused.code == 2
    assert "confidence is not calibrated" in refused.err[-1]
    assert "no proposal is doubtful" not in "\n".join(run(site).err)
    captioner = Captioner.load(str(model))
    captioner.calibration = Calibration((0.0,) * 4, (0.0,) * 5)
    captioner.save(tmp_path / "earlier")
    reported = run(site, "--patch", "alt.patch", model=tmp_path / "earlier").err
    assert sum("no threshold of confidence: no proposal is doubtful" in line for line in reported) == 1
    reported = run(site, "--write").err
    assert sum("confidence is not calibrated: no proposal is doubtful" in line for line in reported) == 1
    assert run(site, "--check").out == []


def test_a_broken_image_is_named_and_the_others_go_on(site: Path, run: Run) -> None:
    (site / "images" / "photo 00.jpg").write_bytes(b"broken")
    done = run(site)
    assert done.code == 0
    assert len(done.out) == MISSING - 1
    assert any("photo%2000.jpg: not an image" in line for line in done.err)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name pages, photos or folders"),
        (("missing",), "missing: no such file or folder"),
        (("missing.html",), "missing.html: no such file or folder"),
        (("site", "--backup", "b"), "--backup has no effect without --write"),
        (("site", "--check", "--write"), "--check only lists"),
        (("site", "--min-confidence", "2"), "--min-confidence is a probability"),
        (("site", "--undo", "x"), "name pages, photos or folders"),
        (("--undo", "site"), "site: no backup of showtell there"),
        (("site/images", "--patch", "x.patch"), "--patch is for pages"),
        (("site/images", "--only", "pages"), "no pages"),
        (("site", "--output", "x.txt"), ".jsonl"),
    ],
)
def test_misuse_is_one_line(site: Path, run: Run, arguments: tuple[str, ...], complaint: str) -> None:
    done = run(*arguments)
    assert done.code == 2
    assert complaint in done.err[-1]


def test_a_reader_that_leaves_stops_no_write(site: Path, model: Path, run: Run, tmp_path: Path) -> None:
    texts = tmp_path / "texts.csv"
    run(site, "--output", texts)
    command = [sys.executable, "-m", "showtell.cli", "alt", str(site), "--texts", str(texts), "--write"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.close()  # as `head` does
        assert process.stderr is not None
        error = process.stderr.read()
    assert process.returncode == 0, error
    assert "--undo" in error
    assert not run(site).out
