"""Archives: their files, none outside of the folder, and what to do about damaged ones."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from showtell.data.known import unpack as module
from showtell.data.known.unpack import unpack
from showtell.errors import DataError, UsageError

METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflated": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}
FILES = {"photos/a.jpg": b"aaa", "photos/b.jpg": b"b", "__MACOSX/photos/._a.jpg": b"-", "list.txt": b"a"}


def make(path: Path, files: dict[str, bytes], *, link: str = "") -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
            if link:
                info = zipfile.ZipInfo(link)
                info.external_attr = 0o120777 << 16
                archive.writestr(info, "/etc/passwd")
        return path
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as tar:
        for name, content in files.items():
            info2 = tarfile.TarInfo(name)
            info2.size = len(content)
            tar.addfile(info2, io.BytesIO(content))
        if link:
            info2 = tarfile.TarInfo(link)
            info2.type, info2.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info2)
    return path


def inside(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz"])
def test_an_archive_is_unpacked_without_what_systems_leave(name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name, FILES, link="photos/link.jpg")
    assert unpack(archive, tmp_path / "out") == 3
    expected = {name: content for name, content in FILES.items() if not name.startswith("__")}
    assert inside(tmp_path / "out") == expected


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz"])
@pytest.mark.parametrize(
    "evil", ["../evil", "/evil", "photos/../../evil", "..\\evil", "\\evil", "a/C:\\evil", "C:\\evil"]
)
def test_no_file_gets_out_of_the_folder(name: str, evil: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name, {evil: b"x"})
    with pytest.raises(DataError, match="names a file outside of its folder"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if path.name != name] == []


@pytest.mark.parametrize("name", ["a.zip", "a.tar"])
def test_names_of_folders_are_no_files(name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name, {".": b"", "./": b"", "b\\": b"", "b\\c.jpg": b"c"})
    assert unpack(archive, tmp_path / "out") == 1
    assert inside(tmp_path / "out") == {"b/c.jpg": b"c"}


def test_what_is_there_stays_and_what_is_half_is_written(tmp_path: Path) -> None:
    archive, out = make(tmp_path / "a.zip", FILES), tmp_path / "out"
    (out / "photos").mkdir(parents=True)
    (out / "photos" / "a.jpg").write_bytes(b"mod")  # of the same size
    (out / "photos" / "b.jpg").write_bytes(b"")
    unpack(archive, out)
    assert (out / "photos" / "a.jpg").read_bytes() == b"mod"
    assert (out / "photos" / "b.jpg").read_bytes() == b"b"


def test_one_file_of_many(tmp_path: Path) -> None:
    assert unpack(make(tmp_path / "a.zip", FILES), tmp_path / "out", only="list.txt") == 1
    assert inside(tmp_path / "out") == {"list.txt": b"a"}


@pytest.mark.parametrize("name", ["a.zip", "a.tar.gz", "a.tar"])
@pytest.mark.parametrize("cut", [0.1, 0.5])
def test_a_damaged_archive_is_told_in_one_line(name: str, cut: float, tmp_path: Path) -> None:
    archive = make(tmp_path / name, {f"{i}.jpg": bytes([i]) * 3000 for i in range(20)})
    content = archive.read_bytes()
    archive.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(DataError, match=r"damaged \(.*\); delete it and download it again"):
        unpack(archive, tmp_path / "out")


@settings(max_examples=50, deadline=None)
@given(
    kind=st.sampled_from([*METHODS, "tar", "gz"]),
    place=st.floats(0, 1, exclude_max=True),
    mask=st.integers(1, 255),
)
def test_a_changed_byte_is_a_data_error_or_changes_no_file(kind: str, place: float, mask: int) -> None:
    content = {f"{i}.jpg": bytes([i]) * 3000 + b"end" for i in range(3)}
    with TemporaryDirectory() as folder:
        if kind in METHODS:
            archive = Path(folder, "a.zip")
            with zipfile.ZipFile(archive, "w", METHODS[kind]) as file:
                for name, data in content.items():
                    file.writestr(name, data)
        else:
            archive = make(Path(folder, "a.tar.gz" if kind == "gz" else "a.tar"), content)
        changed = bytearray(archive.read_bytes())
        changed[int(len(changed) * place)] ^= mask
        archive.write_bytes(changed)
        try:
            unpack(archive, Path(folder, "out"))
        except DataError as error:
            assert str(archive) in str(error)  # noqa: PT017 - some changes do no harm
        else:
            if kind == "gz":
                assert inside(Path(folder, "out")) == content


def test_damaged_bz2_does_not_blame_the_disk(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("a.txt", bytes(range(256)) * 40)
    content = bytearray(archive.read_bytes())
    content[60:70] = bytes(10)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: damaged \(Invalid data stream\)"):
        unpack(archive, tmp_path / "out")


def test_a_name_that_is_not_utf8_is_a_data_error(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"\u00e9.jpg": b"a"})
    archive.write_bytes(archive.read_bytes().replace("\u00e9".encode(), b"\xff\xff"))
    with pytest.raises(DataError, match=r"a\.zip: damaged"):
        unpack(archive, tmp_path / "out")


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz"])
def test_the_checksum_of_gzip_is_checked(name: str, tmp_path: Path) -> None:
    archive = make(tmp_path / name, FILES)
    content = bytearray(archive.read_bytes())
    content[-8] ^= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, tmp_path / "out")


def test_a_tar_gz_that_a_browser_has_decompressed(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.tar", FILES).rename(tmp_path / "a.tar.gz")
    assert unpack(archive, tmp_path / "out") == 3


def test_batches_of_many_files_get_their_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 3)
    files = {f"{number}.jpg": bytes([number]) for number in range(10)}
    assert unpack(make(tmp_path / "a.zip", files), tmp_path / "out") == 10
    assert inside(tmp_path / "out") == files


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RESERVE", 2**60)
    with pytest.raises(UsageError, match="no room for it"):
        unpack(make(tmp_path / "a.zip", FILES), tmp_path / "out")


def test_an_archive_with_a_password_is_refused_in_one_line(tmp_path: Path) -> None:
    archive = make(tmp_path / "a.zip", {"a.jpg": b"aaa"})
    content = bytearray(archive.read_bytes())
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + offset] |= 1  # the flag of encryption
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.zip: cannot be unpacked here \(.*; use another program$"):
        unpack(archive, tmp_path / "out")
