"""Decoding: images of every odd kind come out upright and in RGB, all others are refused in one line."""

from __future__ import annotations

import io
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from showtell.data import images
from showtell.data.images import decode_image
from showtell.data.transforms import ImageTransform, view_image
from showtell.errors import ImageError
from tests.bad_images import HEIGHT, WIDTH, encoded, make_image, png_bytes
from tests.data.pixels import largest_difference, mean_difference, pixels_of

JPEG_ERROR = 4  # levels by which a JPEG of quality 98 may differ


# ---- decoding: what can be decoded


def test_every_odd_image_is_shown(odd: dict[str, Path]) -> None:
    transform = ImageTransform(size=32)
    for name, path in odd.items():
        image = decode_image(path, size_hint=48)
        assert (name, image.mode, image.info) == (name, "RGB", {})
        height, width, channels = transform.pixels(path).shape
        assert channels == 3
        assert abs(height * width / 32**2 - 1) < 0.25, name


@pytest.mark.parametrize(
    "name",
    ["plain.png", "plain.bmp", "plain.ppm", "plain.webp", "lzw.tiff", "png-inside.jpg", "rgb16.png"]
    + ["animated.png", "animated.webp", "exif-nonsense.png", "exif-6.webp", "exif-6.tiff"]
    + [f"exif-{orientation}.png" for orientation in range(1, 9)],
)
def test_lossless_kinds_show_exactly_the_image(odd: dict[str, Path], name: str) -> None:
    np.testing.assert_array_equal(decode_image(odd[name]), make_image())


@pytest.mark.parametrize(
    "name",
    ["plain.jpg", "progressive.jpg", "cmyk.jpg", "two.mpo", "UPPER CASE é.JPG", "exif-corrupt.jpg"]
    + [f"exif-{orientation}.jpg" for orientation in range(1, 9)],
)
def test_jpegs_show_the_image(odd: dict[str, Path], name: str) -> None:
    assert largest_difference(decode_image(odd[name]), make_image()) <= JPEG_ERROR


@pytest.mark.parametrize("name", ["palette.png", "animated.gif"])
def test_palettes_show_the_image_in_their_colours(odd: dict[str, Path], name: str) -> None:
    assert mean_difference(pixels_of(odd[name]), make_image()) < 6


def test_grey_and_bilevel_have_three_equal_channels(odd: dict[str, Path]) -> None:
    grey = np.asarray(make_image()).astype(float) @ [0.299, 0.587, 0.114]  # ITU-R 601
    assert np.abs(pixels_of(odd["grey.png"]) - grey[..., None]).max() < 1.01
    assert np.abs(pixels_of(odd["grey.jpg"]) - grey[..., None]).max() <= JPEG_ERROR
    bilevel = pixels_of(odd["bilevel.png"])
    assert set(np.unique(bilevel)) == {0, 255}
    assert (bilevel[..., 0] == np.where(grey.round() > 127, 255, 0)).mean() > 0.98


def test_transparent_parts_are_white(odd: dict[str, Path]) -> None:
    rgba = pixels_of(odd["rgba.png"])
    np.testing.assert_array_equal(rgba[:, : WIDTH // 2], np.asarray(make_image())[:, : WIDTH // 2])
    assert (rgba[:, WIDTH // 2 :] == 255).all()

    grey_alpha = pixels_of(odd["la.png"])
    assert (grey_alpha[:, WIDTH // 2 :] == 255).all()
    np.testing.assert_array_equal(grey_alpha[:, : WIDTH // 2], pixels_of(odd["grey.png"])[:, : WIDTH // 2])

    stripes = pixels_of(odd["palette-alpha.png"])[0, WIDTH // 8 :: WIDTH // 4]
    assert stripes.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]

    key = np.asarray(make_image()).astype(int)
    key[(key == (0, 0, 200)).all(axis=2)] = 255
    np.testing.assert_array_equal(pixels_of(odd["colour-key.png"]), key)


def test_half_transparent_is_mixed_with_white() -> None:
    image = decode_image(Image.new("RGBA", (2, 2), (255, 0, 0, 51)))  # a fifth of red
    assert largest_difference(image, np.full((2, 2, 3), (255, 204, 204))) <= 1


def test_sizes_are_kept(odd: dict[str, Path]) -> None:
    for name in ("1x1.png", "1x1.jpg", "1x3000.png", "30000x200.jpg", "200x30000.png", "30000x3000.jpg"):
        width, height = map(int, Path(name).stem.split("x"))
        assert decode_image(odd[name]).size == (width, height)


@pytest.mark.parametrize("name", ["plain.jpg", "exif-6.jpg", "palette-alpha.png", "grey16.png"])
def test_path_text_bytes_and_pil_images_are_alike(odd: dict[str, Path], name: str) -> None:
    path = odd[name]
    expected = pixels_of(path)
    np.testing.assert_array_equal(pixels_of(str(path)), expected)
    np.testing.assert_array_equal(pixels_of(path.read_bytes()), expected)
    with Image.open(path) as image:
        np.testing.assert_array_equal(pixels_of(image), expected)


def test_a_pil_image_is_left_as_it_is(odd: dict[str, Path]) -> None:
    with Image.open(odd["exif-6.jpg"]) as image:
        decode_image(image, size_hint=8).paste("white", (0, 0, 9, 9))
        assert image.size == (HEIGHT, WIDTH)
        assert image.getexif()[0x0112] == 6
    mine = make_image()
    decode_image(mine).paste("white", (0, 0, 9, 9))
    np.testing.assert_array_equal(mine, make_image())


@pytest.mark.parametrize("name", ["exif-6.jpg", "exif-6.png", "exif-6.webp", "exif-6.tiff"])
def test_decoding_twice_turns_once(odd: dict[str, Path], name: str) -> None:
    once = decode_image(odd[name])
    np.testing.assert_array_equal(decode_image(once), once)


# ---- decoding large photos at a reduced scale


@settings(max_examples=20)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    hint=st.integers(1, 300),
    orientation=st.sampled_from([1, 6]),
)
def test_reduced_scale_keeps_both_sides_large_enough(
    width: int, height: int, hint: int, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path_bytes = _jpeg(Image.new("RGB", (width, height)), exif=exif)
    full, reduced = decode_image(path_bytes), decode_image(path_bytes, size_hint=hint)
    assert min(reduced.size) >= min(hint, min(full.size))
    scales = {1, 2, 4, 8}
    assert any(tuple(-(-side // s) for side in full.size) == reduced.size for s in scales)


def _jpeg(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def test_reduced_scale_is_taken_and_looks_the_same() -> None:
    photo = _jpeg(make_image(2400, 1600), quality=95)
    assert decode_image(photo, size_hint=200).size == (300, 200)
    assert decode_image(photo, size_hint=201).size == (600, 400)
    exact = view_image(decode_image(photo))
    assert exact.size == (288, 192)
    assert np.abs(np.asarray(exact).astype(int) - ImageTransform().pixels(photo)).mean() < 1


# ---- decoding: what cannot be decoded

REASONS = {
    "missing.jpg": "no such file",
    "empty.jpg": "the file is empty",
    "folder.jpg": "a folder",
    "text.jpg": "not an image",
    "page.png": "not an image",
    "drawing.svg": "not an image",
    "truncated-lzw.tiff": "or damaged",
    "bomb-header.png": "too large: more than 200000000 pixels",
    "bomb-just-over.png": "too large: 20000 x 10001 is more than 200000000 pixels",
    "bomb.png": "too large: 15000 x 15000",
}


def test_an_address_is_no_file() -> None:
    with pytest.raises(ImageError, match=r"^https://x\.org/a\.jpg: is a URL, .* download the image and give"):
        decode_image("https://x.org/a.jpg")


def test_every_broken_image_is_refused_in_one_line(
    broken: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    for name, path in broken.items():
        for source in (path, str(path)):
            with pytest.raises(ImageError) as caught:
                decode_image(source, size_hint=64)
            message = str(caught.value)
            assert message.startswith(f"{path}: ")
            assert len(message.splitlines()) == 1
            assert REASONS.get(name, "damaged or truncated") in message
    out, err = capfd.readouterr()  # the C libraries keep quiet too, but for libtiff
    assert out == ""
    assert [line for line in err.splitlines() if not line.startswith("tempfile.tif: ")] == []


def test_bytes_are_refused_with_a_name() -> None:
    with pytest.raises(ImageError, match="<image data of 5 bytes>: not an image"):
        decode_image(b"hello")
    with pytest.raises(ImageError, match="<image data of 0 bytes>: the file is empty"):
        decode_image(b"")


def test_bombs_are_refused_before_decoding(broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda _: pytest.fail("it was decoded"))
    for name in ("bomb-header.png", "bomb-just-over.png", "bomb.png"):
        with pytest.raises(ImageError, match="too large"):
            decode_image(broken[name])
    with Image.open(broken["bomb.png"]) as image, pytest.raises(ImageError, match="too large"):
        decode_image(image)


def test_the_limit_of_pixels_is_inclusive() -> None:
    assert decode_image(make_image(), max_pixels=WIDTH * HEIGHT).size == (WIDTH, HEIGHT)
    with pytest.raises(ImageError, match=f"{WIDTH} x {HEIGHT} is more than {WIDTH * HEIGHT - 1} pixels"):
        decode_image(make_image(), max_pixels=WIDTH * HEIGHT - 1)


@settings(max_examples=30)
@given(kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), share=st.floats(0, 0.98))
def test_a_file_cut_anywhere_is_refused(kind: str, share: float) -> None:
    whole = encoded(kind)
    with pytest.raises(ImageError):
        decode_image(whole[: int(len(whole) * share)])


@settings(max_examples=60)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]),
    where=st.floats(0, 0.9999),
    early=st.booleans(),
    junk=st.binary(min_size=1, max_size=8),
)
def test_damage_gives_an_image_or_an_image_error(kind: str, where: float, early: bool, junk: bytes) -> None:
    data = bytearray(encoded(kind))
    at = int(where * (200 if early else len(data)))
    data[at : at + len(junk)] = junk
    with suppress(ImageError):
        assert decode_image(bytes(data), max_pixels=1_000_000).mode == "RGB"


def test_unreadable_files_and_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImageError, match="no such file"):
        decode_image(tmp_path / "plain.txt" / "below.jpg")
    with pytest.raises(ImageError, match="it cannot be read"):
        decode_image(tmp_path / ("x" * 5000))
    with pytest.raises(ImageError):
        decode_image("nul\0byte.jpg")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ImageError, match="no permission"):
        decode_image(tmp_path / "photo.jpg")


def test_an_image_without_pixels_or_closed_is_refused(odd: dict[str, Path]) -> None:
    with pytest.raises(ImageError, match="<image in memory>: it has no pixels"):
        decode_image(Image.new("RGB", (0, 5)))
    closed = Image.open(odd["plain.jpg"])
    closed.close()
    with pytest.raises(ImageError, match=r"plain\.jpg"):
        decode_image(closed)


def test_every_file_is_closed(
    odd: dict[str, Path], broken: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_path = Path.open

    def remember(self: Path, mode: str) -> object:
        opened.append(open_path(self, mode))
        return opened[-1]

    monkeypatch.setattr(Path, "open", remember)
    for path in odd.values():
        decode_image(path, size_hint=32)
    for path in broken.values():
        with pytest.raises(ImageError):
            decode_image(path)
    assert len(opened) == len(odd) + len(broken) - 2  # a missing file and a folder do not open
    assert all(stream.closed for stream in opened)


def test_many_threads(odd: dict[str, Path], broken: dict[str, Path]) -> None:
    names = [name for name in odd if "30000" not in name] * 4
    expected = {name: pixels_of(odd[name]) for name in names}

    def check(name: str) -> bool:
        with pytest.raises(ImageError):
            decode_image(broken["truncated.png"])
        return bool((pixels_of(odd[name]) == expected[name]).all())

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, names))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_one_lazily_opened_pil_image_in_many_threads(kind: str) -> None:
    whole = encoded(kind)
    expected = pixels_of(whole)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(30):
            with Image.open(io.BytesIO(whole)) as image:
                assert all((pixels == expected).all() for pixels in pool.map(pixels_of, [image] * 8))


def test_pillow_guards_against_bombs_still() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS >= images.MAX_PIXELS
    too_large_for_pillow = png_bytes(100_000, 10_000, 1, 0, b"")
    with pytest.raises(ImageError, match="too large"):
        decode_image(too_large_for_pillow, max_pixels=10**12)


def test_a_pipe_is_read_too(odd: dict[str, Path]) -> None:
    if not Path("/dev/fd").is_dir():
        pytest.skip("this system has no /dev/fd")
    read_end, write_end = os.pipe()
    try:
        os.write(write_end, odd["plain.webp"].read_bytes())
        os.close(write_end)
        np.testing.assert_array_equal(decode_image(f"/dev/fd/{read_end}"), make_image())
    finally:
        os.close(read_end)
