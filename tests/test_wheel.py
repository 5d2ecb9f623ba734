"""The wheel: all that captions a photo is in it, and nothing of the checkout is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from showtell.captioning.captioner import Captioner
from showtell.utils.shipped import DEFAULT_MODEL

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
BUILT_FROM = (
    "showtell",
    "models",
    "data_preprocessing.py",
    "pyproject.toml",
    "setup.py",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
    "NOTICE",
)
LARGEST = 100_000_000


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """What a command says, run without the checkout in Python's path."""
    keep = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=keep | environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is built from: building leaves nothing in the checkout."""
    folder = tmp_path_factory.mktemp("source")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder)
    return folder


def build_wheel(source: Path, out: Path) -> Path:
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", ".", *offline, "--wheel-dir", out, cwd=source)
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(source, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a new environment with the wheel in it; what it needs is taken from this one."""
    folder = tmp_path_factory.mktemp("clean")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    commands = next(path.parent for path in folder.glob("*/activate"))
    packages = next(folder.glob("lib*/**/site-packages"), None) or folder / "Lib" / "site-packages"
    # An editable install of the checkout is a .pth file or a finder there: neither is run from this list.
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = commands / Path(sys.executable).name
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python)
    run(*pip, "install", "--no-deps", "--no-index", "--ignore-installed", wheel, cwd=folder)
    return commands


def test_all_files_of_the_package_are_in_it(wheel: Path) -> None:
    assert wheel.stat().st_size < LARGEST
    with zipfile.ZipFile(wheel) as file:
        found = {name for name in file.namelist() if ".dist-info/" not in name}
        licences = {Path(name).name for name in file.namelist() if "/licenses/" in name}
    expected = {"data_preprocessing.py"}
    for folder, prefix in ((ROOT / "showtell", "showtell"), (ROOT / "models", "showtell/models")):
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(f"{prefix}/{path.relative_to(folder).as_posix()}")
    assert found == expected
    assert licences == {"LICENSE", "NOTICE"}


def test_it_captions_where_there_is_no_checkout(installed: Path, tmp_path: Path, photos: list[Path]) -> None:
    shutil.copy(photos[0], tmp_path / "photo.jpg")
    where = run(installed / "python", "-c", "import showtell; print(showtell.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(installed.parent)
    environment = {"HF_HUB_OFFLINE": "1"}
    [line] = run(installed / "showtell", "caption", "photo.jpg", cwd=tmp_path, **environment).splitlines()
    caption = Captioner.load(DEFAULT_MODEL).caption([tmp_path / "photo.jpg"])[0][0].text
    assert line.partition("  (doubtful")[0] == f"photo.jpg: {caption}"
    run(installed / "showtell", "export", "--to-hub-folder", "hub", cwd=tmp_path, **environment)
    said = run(
        installed / "python",
        "-c",
        "from showtell.captioning.captioner import Captioner\n"
        "print(Captioner.from_pretrained('hub').caption(['photo.jpg'])[0][0].text)",
        cwd=tmp_path,
        **environment,
    )
    assert said.strip() == caption


def test_the_source_archive_makes_the_same_wheel(source: Path, wheel: Path, tmp_path: Path) -> None:
    build = "import sys, setuptools.build_meta as b; b.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, tmp_path, cwd=source)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    again = build_wheel(unpacked, tmp_path / "again")
    sums = []
    for path in (wheel, again):
        with zipfile.ZipFile(path) as file:
            sums.append(
                {info.filename: info.CRC for info in file.infolist() if "RECORD" not in info.filename}
            )
    assert sums[0] == sums[1]
