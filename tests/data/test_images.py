import io
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from showtell.config import View
from showtell.data import formats, images
from showtell.data.images import decode_image
from showtell.data.transforms import (
    VIEWS,
    ImageTransform,
    random_view,
    resize_image,
    resize_in_proportion,
    view_image,
)
from showtell.errors import ImageError
from tests.bad_images import (
    HEIGHT,
    WIDTH,
    encoded,
    grey_16bit,
    make_broken_images,
    make_image,
    make_odd_images,
    png_bytes,
    stored_for,
)

COCO = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "coco-mini" / "val2017"
JPEG_ERROR = 4  # levels by which a JPEG of quality 98 may differ


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_odd_images(tmp_path_factory.mktemp("odd"))


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_broken_images(tmp_path_factory.mktemp("broken"))


def pixels_of(source) -> np.ndarray:
    return np.asarray(decode_image(source)).astype(int)


def worst(a, b) -> int:
    return int(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).max())


# ---- decoding: what can be shown


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
    assert worst(decode_image(odd[name]), make_image()) <= JPEG_ERROR


@pytest.mark.parametrize("name", ["palette.png", "animated.gif"])
def test_palettes_show_the_image_in_their_colours(odd: dict[str, Path], name: str) -> None:
    assert np.abs(pixels_of(odd[name]) - np.asarray(make_image()).astype(int)).mean() < 6


@pytest.mark.parametrize("name", ["grey16.png", "grey16.tiff", "grey16.pgm"])
def test_16_bit_grey_is_scaled_not_clipped(odd: dict[str, Path], name: str) -> None:
    expected = np.repeat((grey_16bit() / 0xFFFF * 255)[..., None], 3, axis=2)
    assert np.abs(pixels_of(odd[name]) - expected).max() <= 1


def deep_png(values: np.ndarray) -> bytes:
    """A PNG of 16-bit grey (H, W) or colour (H, W, 3)."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_bytes(values.shape[1], values.shape[0], 16, 2 if values.ndim == 3 else 0, rows)


def deep_tiff(values: np.ndarray, **tags: int) -> bytes:
    stream = io.BytesIO()
    tifffile.imwrite(
        stream, values, extratags=[(int(tag[1:]), "H", 1, value, True) for tag, value in tags.items()]
    )
    return stream.getvalue()


def ramp(white: int, colours: bool) -> np.ndarray:
    grey = np.tile(np.linspace(0, white, WIDTH).round().astype(np.uint16), (HEIGHT, 1))
    return np.stack([grey, grey // 2, grey[:, ::-1]], axis=2) if colours else grey


@pytest.mark.parametrize("encode", [deep_png, deep_tiff])
@pytest.mark.parametrize("colours", [False, True])
@pytest.mark.parametrize("white", [1023, 4095, 65535])
def test_values_of_sensors_are_scaled_by_what_they_hold(encode, colours: bool, white: int) -> None:
    values = ramp(white, colours)
    expected = values / white * 255
    shown = pixels_of(encode(values))
    assert np.abs(shown - (expected if colours else expected[..., None])).max() <= 1


def test_the_white_of_the_metadata_counts() -> None:
    values = ramp(2000, colours=False)
    assert pixels_of(deep_tiff(values, t50717=4095)).max() == 2000 * 255 // 4095
    assert pixels_of(deep_tiff(values, t341=16383)).max() == 2000 * 255 // 16383
    assert pixels_of(deep_tiff(values)).max() == 2000 >> 8


@pytest.mark.parametrize("step", [256, 257])
@pytest.mark.parametrize("brightest", [3, 15])
def test_8_bit_values_in_16_bits_stay_dark(step: int, brightest: int) -> None:
    values = np.tile(np.arange(brightest + 1, dtype=np.uint16) * step, (4, 1))
    assert pixels_of(deep_png(values)).max() == brightest


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_depth_maps_and_photos_of_16_bit_keep_their_high_byte(low: int, high: int) -> None:
    assume(not 0.75 * 1023 <= max(low, high) <= 1023 and not 0.75 * 4095 <= max(low, high) <= 4095)
    values = np.array([[low, high]], np.uint16)
    np.testing.assert_array_equal(pixels_of(deep_png(values))[..., 0], values >> 8)


# ---- photos of phones


@pytest.fixture
def heif() -> Iterator[ModuleType]:
    yield pytest.importorskip("pillow_heif")
    formats._register_heif.cache_clear()


@pytest.mark.parametrize("name", ["photo.HEIC", "photo.heif", "photo.jpg"])
def test_heic_is_decoded_whatever_its_ending(heif: ModuleType, tmp_path: Path, name: str) -> None:
    heif.from_pillow(make_image()).save(tmp_path / "p.heic", quality=95)
    path = (tmp_path / "p.heic").rename(tmp_path / name)
    assert np.abs(pixels_of(path) - np.asarray(make_image()).astype(int)).mean() < 6
    assert pixels_of(path.read_bytes()).shape == (HEIGHT, WIDTH, 3)
    with pytest.raises(ImageError, match="damaged or truncated"):
        decode_image(path.read_bytes()[:-300])


def test_heic_is_turned_as_the_phone_was_held(heif: ModuleType, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    heif.from_pillow(stored_for(6)).save(tmp_path / "p.heic", quality=95, exif=exif.tobytes())
    assert np.abs(pixels_of(tmp_path / "p.heic") - np.asarray(make_image()).astype(int)).mean() < 6


def test_heic_of_10_bit(heif: ModuleType, tmp_path: Path) -> None:
    deep = ramp(0xFFFF, colours=True)
    heif.encode("RGB;16", (WIDTH, HEIGHT), deep.tobytes(), str(tmp_path / "p.heic"), quality=95)
    assert np.abs(pixels_of(tmp_path / "p.heic") - deep / 0xFFFF * 255).mean() < 6


def test_avif_is_decoded() -> None:
    stream = io.BytesIO()
    make_image().save(stream, "AVIF", quality=95)
    assert np.abs(pixels_of(stream.getvalue()) - np.asarray(make_image()).astype(int)).mean() < 6


HEALTHY = {
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic": r"HEIC needs pillow-heif: pip install 'showtell\[heif\]'",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic": "HEIC needs pillow-heif",
    b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf": "AVIF needs Pillow 11.3 or later",
    b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif": "AVIF needs Pillow",
    b"\0\0\0\x0cJXL \r\n\x87\n\0\0\0\0": "a JPEG XL image: convert it",
    b"\xff\x0a\x10\x20": "a JPEG XL image",
    b"8BPS\0\1": "a Photoshop document",
    b"%PDF-1.7": "a PDF document",
    b"II*\0\x10\0\0\0CR\2\0": "a raw photo of a Canon camera",
    b"\0\0\0\x18ftypcrx \0\0\0\1": "a raw photo of a Canon camera",
    b"  <svg xmlns='http://www.w3.org/2000/svg'/>": "an SVG drawing: convert it to PNG",
}


@pytest.mark.parametrize("head", HEALTHY)
def test_a_healthy_file_of_another_format_is_not_called_damaged(
    head: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    formats._register_heif.cache_clear()
    monkeypatch.setattr(formats, "readable_formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(ImageError, match=HEALTHY[head]) as caught:
        decode_image(head + b"\0" * 100)
    assert "damaged" not in str(caught.value)
    formats._register_heif.cache_clear()


def test_floats_are_stretched(odd: dict[str, Path]) -> None:
    expected = np.repeat((grey_16bit() / 0xFFFF * 255)[..., None], 3, axis=2)
    assert np.abs(pixels_of(odd["float.tiff"]) - expected).max() <= 0.51
    flat = np.asarray(decode_image(Image.new("F", (3, 2), 7.0)))
    assert flat.shape == (2, 3, 3)
    with_gaps = Image.fromarray(np.array([[np.nan, 0.0], [1.0, 2.0]], np.float32))
    np.testing.assert_array_equal(np.asarray(decode_image(with_gaps))[..., 0], [[0, 0], [128, 255]])


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
    assert worst(image, np.full((2, 2, 3), (255, 204, 204))) <= 1


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


@settings(max_examples=40, deadline=None)
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


# ---- decoding: what cannot be shown

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


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"]), share=st.floats(0, 0.98))
def test_a_file_cut_anywhere_is_refused(kind: str, share: float) -> None:
    whole = encoded(kind)
    with pytest.raises(ImageError):
        decode_image(whole[: int(len(whole) * share)])


@settings(max_examples=150, deadline=None)
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


def test_pillow_guards_against_bombs_still() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS >= images.MAX_PIXELS
    too_large_for_pillow = png_bytes(100_000, 10_000, 1, 0, b"")
    with pytest.raises(ImageError, match="too large"):
        decode_image(too_large_for_pillow, max_pixels=10**12)


# ---- the transform


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 64), st.sampled_from(VIEWS))
def test_crops_are_square_for_any_size(width: int, height: int, size: int, view: View) -> None:
    image = make_image(width, height)
    assert resize_image(image, size).size == (size, size)
    squares = view.startswith(("crop", "random"))
    whole = resize_in_proportion(image, round(size * 7 / 9) if view.startswith("small") else size)
    assert view_image(image, view, size).size == ((size, size) if squares else whole.size)
    assert random_view(image, size, [0.5] * 5).size == (size, size)


def test_resize_squeezes_the_whole_image() -> None:
    small = np.asarray(resize_image(make_image(640, 480), 224)).astype(float)
    assert worst(small[..., 0], np.tile((np.arange(224) + 0.5) / 224 * 255, (224, 1))) <= 2
    assert worst(small[..., 1], np.tile((np.arange(224) + 0.5) / 224 * 255, (224, 1)).T) <= 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2000), st.integers(1, 2000), st.sampled_from([64, 100, 224, 288]))
def test_proportions_are_nearly_kept(width: int, height: int, size: int) -> None:
    shown = resize_in_proportion(Image.new("RGB", (width, height)), size)
    assert abs(shown.width * shown.height / size**2 - 1) < 0.2
    wanted = min(max(width / height, 1 / 3), 3)
    assert abs(math.log(shown.width / shown.height / wanted)) < 0.19
    turned = resize_in_proportion(Image.new("RGB", (height, width)), size)
    assert turned.size == shown.size[::-1]


def test_proportions_of_usual_photos() -> None:
    for given_size, shown in {
        (224, 224): (224, 224),
        (30, 30): (224, 224),
        (640, 480): (256, 192),
        (480, 640): (192, 256),
        (3000, 2000): (288, 192),
        (1920, 1080): (288, 160),
        (5000, 100): (384, 128),
        (1, 900): (128, 384),
    }.items():
        assert resize_in_proportion(Image.new("RGB", given_size)).size == shown


def test_the_whole_image_stays_in_sight() -> None:
    small = np.asarray(resize_in_proportion(make_image(640, 480), 224)).astype(float)
    assert worst(small[..., 0], np.tile((np.arange(256) + 0.5) / 256 * 255, (192, 1))) <= 2
    assert worst(small[..., 1], np.tile((np.arange(192) + 0.5) / 192 * 255, (256, 1)).T) <= 2


def test_a_square_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(resize_in_proportion(make_image(224, 224)), make_image(224, 224))


def test_resize_antialiases() -> None:
    stripes = np.zeros((448, 1000, 3), np.uint8)
    stripes[:, ::2] = 255
    middle = np.asarray(resize_image(Image.fromarray(stripes), 100))[:, 5:-5]
    assert worst(middle, np.full_like(middle, 127)) <= 2


def test_an_image_of_the_right_size_is_unchanged() -> None:
    np.testing.assert_array_equal(resize_image(make_image(224, 224)), make_image(224, 224))


def test_views() -> None:
    image = make_image(500, 375)
    full, flip, crop, crop_flip = (np.asarray(view_image(image, view, 224)) for view in VIEWS[:4])
    np.testing.assert_array_equal(full, resize_in_proportion(image, 224))
    np.testing.assert_array_equal(flip, full[:, ::-1])
    np.testing.assert_array_equal(crop, np.asarray(resize_image(image, 256))[16:240, 16:240])
    np.testing.assert_array_equal(crop_flip, crop[:, ::-1])
    with pytest.raises(ValueError, match="unknown view 'left': choose one of full, flip, crop, crop-flip"):
        view_image(image, "left")


@pytest.mark.parametrize(("size", "small"), [(288, 224), (224, 174), (72, 56)])
def test_small_views_are_the_whole_image_at_seven_ninths_of_the_size(size: int, small: int) -> None:
    image = make_image(500, 375)
    shown, mirrored = (np.asarray(view_image(image, view, size)) for view in ("small", "small-flip"))
    np.testing.assert_array_equal(shown, resize_in_proportion(image, small))
    np.testing.assert_array_equal(mirrored, shown[:, ::-1])
    square = view_image(make_image(400, 400), "small", size)
    assert square.size == (small, small)


def part_of(view: Image.Image) -> tuple[float, float, float, float, bool]:
    """Left, top, right, bottom (in 0..1) and whether mirrored, read off the colours of `image`."""
    pixels = np.asarray(view).astype(float) / 255
    first, last = pixels[:, 0, 0].mean(), pixels[:, -1, 0].mean()
    half = abs(last - first) / (view.width - 1) / 2  # a pixel shows its middle
    top, bottom = pixels[0, :, 1].mean(), pixels[-1, :, 1].mean()
    return min(first, last) - half, top - half, max(first, last) + half, bottom + half, first > last


def test_random_views_are_large_parts_spread_evenly_half_of_them_mirrored() -> None:
    image, random, draws = make_image(400, 300), np.random.default_rng(0), 500
    parts = np.array([part_of(random_view(image, 56, random.random(5))) for _ in range(draws)])
    width, height = parts[:, 2] - parts[:, 0], parts[:, 3] - parts[:, 1]
    assert abs(parts[:, 4].mean() - 0.5) < 0.07
    uncut = (width < 0.98) & (height < 0.98)
    area, proportion = (width * height), width / height
    assert area.min() > 0.42
    assert area[uncut].max() < 1
    assert 0.78 < proportion.min() < 0.83
    assert 1.21 < proportion.max() < 1.28
    for low, high in ((0, 2), (1, 3)):
        margin = 1 - (parts[:, high] - parts[:, low])
        place = parts[margin > 0.1, low] / margin[margin > 0.1]
        assert abs(place.mean() - 0.5) < 0.05
        assert abs((place < 0.25).mean() - 0.25) < 0.07


def test_cached_random_views_differ_by_number_and_image_and_stay_the_same() -> None:
    other = make_image(400, 300).transpose(Image.Transpose.ROTATE_180)
    views: list[View] = ["random-1", "random-2"]
    shown = [view_image(p, view, 56).tobytes() for p in (make_image(400, 300), other) for view in views]
    parts = [part_of(view_image(p, view, 56))[:4] for p in (make_image(400, 300), other) for view in views]
    assert len({tuple(np.round(part, 3)) for part in parts}) == 4
    assert shown == [view_image(p, v, 56).tobytes() for p in (make_image(400, 300), other) for v in views]


def test_the_transform_has_one_path() -> None:
    transform = ImageTransform(size=48)
    pixels = transform.pixels(make_image(), "crop")
    np.testing.assert_array_equal(pixels, view_image(make_image(), "crop", 48))
    assert (pixels.dtype, pixels.flags.writeable) == (np.uint8, True)


def test_the_fingerprint_tells_transforms_apart() -> None:
    default = ImageTransform()
    others = [ImageTransform(size=256), ImageTransform(mean=(0.5, 0.5, 0.5)), ImageTransform(std=(1, 1, 1))]
    assert default.fingerprint() == ImageTransform().fingerprint()
    assert len({transform.fingerprint() for transform in (default, *others)}) == 4
    assert default == ImageTransform()


@pytest.mark.skipif(not COCO.is_dir(), reason="needs the photos of ../shared/data/coco-mini")
def test_coco_photos_are_not_changed_by_the_fast_path() -> None:
    for path in sorted(COCO.iterdir())[:6]:
        expected = view_image(decode_image(path))
        np.testing.assert_array_equal(ImageTransform().pixels(path), expected)


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
