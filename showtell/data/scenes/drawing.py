"""Scenes as images: shaded, outlined shapes with a soft shadow, on light backgrounds, anti-aliased.

Corners are rounded to whole (supersampled) pixels before Pillow draws and blends them in integers, and chance
comes from `random.Random`: so a seed draws the same image on every machine that has the same Pillow.
(Between Pillow 11 and 13, single pixels on the edges of triangles differ, by 16 of 255 at most.)
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw, ImageFilter

from showtell.data.scenes.scene import Colour, Scene, SceneObject, Shape, Size

SIDE = 224
"""Width and height of a image, in pixels: what ResNet50 takes as it is."""
RGB: dict[Colour, tuple[int, int, int]] = {
    "red": (217, 32, 38),
    "orange": (252, 134, 16),
    "yellow": (252, 220, 40),
    "green": (34, 150, 60),
    "blue": (32, 84, 214),
    "purple": (138, 44, 170),
    "black": (34, 34, 38),
}
"""The fill of each colour, before shading."""
DIAMETERS: dict[Size, tuple[float, float]] = {"small": (46, 60), "large": (80, 96)}
"""Pixels across (the longer side of the bounding box), at least and at most."""

_SUPERSAMPLING = 4
_PADDING = 5  # pixels around an object's mask: room for the blur of its shadow
_MARGIN = 8.0  # pixels between an object and the image's edge
_GAP = (12.0, 48.0)  # pixels between the two objects along their relation
_WOBBLE = 14.0  # pixels that an object may stray across the relation
_TILT = 9.0  # degrees that an object may be rotated
_TINTS = (
    (255, 255, 255), (250, 243, 228), (228, 240, 250), (230, 247, 234),
    (243, 232, 249), (252, 232, 230), (232, 234, 238), (214, 224, 228),
)  # fmt: skip

Point = tuple[float, float]


def _circular(radii: tuple[float, ...], corners: int, start: float = -90.0) -> list[Point]:
    """Corners at equal angles, their distances from the centre cycling through `radii`."""
    angles = [math.radians(start + 360.0 * i / corners) for i in range(corners)]
    return [
        (radii[i % len(radii)] * math.cos(t), radii[i % len(radii)] * math.sin(t))
        for i, t in enumerate(angles)
    ]


def _heart() -> list[Point]:
    turns = [2 * math.pi * i / 90 for i in range(90)]
    return [
        (
            16 * math.sin(t) ** 3,
            5 * math.cos(2 * t) + 2 * math.cos(3 * t) + math.cos(4 * t) - 13 * math.cos(t),
        )
        for t in turns
    ]


_CROSS: list[Point] = [
    (-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1),
    (1, 3), (-1, 3), (-1, 1), (-3, 1), (-3, -1), (-1, -1),
]  # fmt: skip

_OUTLINES: dict[Shape, list[Point]] = {
    "circle": _circular((1.0,), 90),
    "square": _circular((1.0,), 4, start=-45.0),
    "triangle": _circular((1.0,), 3),
    "star": _circular((1.0, 0.42), 10),
    "heart": _heart(),
    "cross": _CROSS,
}


def _mask(shape: Shape, diameter: float, tilt: float) -> Image.Image:
    """The shape's coverage as an `L` image whose centre is the centre of the shape's bounding box."""
    cos, sin = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    points = [(x * cos - y * sin, x * sin + y * cos) for x, y in _OUTLINES[shape]]
    left, right = min(x for x, _ in points), max(x for x, _ in points)
    top, bottom = min(y for _, y in points), max(y for _, y in points)
    scale = _SUPERSAMPLING * diameter / max(right - left, bottom - top)
    side = _SUPERSAMPLING * (math.ceil(diameter) + 2 * _PADDING)
    corners = [
        (
            round(side / 2 + scale * (x - (left + right) / 2)),
            round(side / 2 + scale * (y - (top + bottom) / 2)),
        )
        for x, y in points
    ]
    mask = Image.new("L", (side, side))
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return mask.reduce(_SUPERSAMPLING)


def _mixed(colour: tuple[int, int, int], other: int, percent: int) -> tuple[int, int, int]:
    """The colour moved towards a grey level."""
    red, green, blue = ((value * (100 - percent) + other * percent) // 100 for value in colour)
    return red, green, blue


def _paint(image: Image.Image, thing: SceneObject, mask: Image.Image, centre: tuple[int, int]) -> None:
    """Put an object on the image: its shadow, a dark rim, then a fill that is lighter at the top."""
    corner = (centre[0] - mask.width // 2, centre[1] - mask.height // 2)
    colour = RGB[thing.colour]
    shadow = mask.point(lambda value: value * 2 // 5).filter(ImageFilter.BoxBlur(3))
    image.paste(_mixed(colour, 60, 70), (corner[0] + 3, corner[1] + 4), shadow)
    image.paste(_mixed(colour, 0, 40), corner, mask)
    light, dark = (Image.new("RGB", mask.size, _mixed(colour, level, 14)) for level in (255, 0))
    fill = Image.composite(dark, light, Image.linear_gradient("L").resize(mask.size))
    image.paste(fill, corner, mask.filter(ImageFilter.MinFilter(3)))


def _gradient(rng: random.Random) -> Image.Image:
    return Image.linear_gradient("L").rotate(90 * rng.randrange(4)).resize((SIDE, SIDE))


def _glow(_: random.Random) -> Image.Image:
    return Image.radial_gradient("L").resize((SIDE, SIDE))


def _clouds(rng: random.Random) -> Image.Image:
    cells = rng.randrange(4, 9)
    noise = Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells))
    return noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def _plain(_: random.Random) -> Image.Image:
    return Image.new("L", (SIDE, SIDE))


def _stripes(rng: random.Random) -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE))
    draw, step = ImageDraw.Draw(mask), rng.randrange(10, 24)
    for x in range(0, 2 * SIDE, 2 * step):
        draw.line((x, 0, x - SIDE, SIDE), fill=140, width=step // 2)
    return mask.filter(ImageFilter.BoxBlur(1))


def _dots(rng: random.Random) -> Image.Image:
    mask = Image.new("L", (SIDE, SIDE))
    draw, step = ImageDraw.Draw(mask), rng.randrange(14, 26)
    for row, y in enumerate(range(0, SIDE + step, step)):
        for x in range((row % 2) * step // 2, SIDE + step, step):
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=170)
    return mask.filter(ImageFilter.BoxBlur(0.5))


_BACKGROUNDS: tuple[Callable[[random.Random], Image.Image], ...] = (
    _plain, _gradient, _glow, _clouds, _stripes, _dots,
)  # fmt: skip


def _background(rng: random.Random) -> Image.Image:
    """Two light tints, mixed by a pattern."""
    one, other = (Image.new("RGB", (SIDE, SIDE), tint) for tint in rng.sample(_TINTS, 2))
    return Image.composite(other, one, rng.choice(_BACKGROUNDS)(rng))


def _places(scene: Scene, diameters: tuple[float, float], rng: random.Random) -> list[tuple[int, int]]:
    """Centres of the two objects, clearly apart along the relation and nearly level across it."""
    before, after = diameters if scene.relation in ("left", "above") else diameters[::-1]
    room = SIDE - 2 * _MARGIN - before - after
    gap = rng.uniform(_GAP[0], min(_GAP[1], room))
    start = _MARGIN + rng.uniform(0, room - gap)
    along = [start + before / 2, start + before + gap + after / 2]
    if scene.relation in ("right", "below"):
        along.reverse()

    reach = SIDE / 2 - _MARGIN - max(diameters) / 2
    level = rng.uniform(-reach, reach)
    across = [SIDE / 2 + max(-reach, min(reach, level + rng.uniform(-_WOBBLE, _WOBBLE))) for _ in diameters]
    points = zip(along, across, strict=True)
    if scene.relation in ("above", "below"):
        points = zip(across, along, strict=True)
    return [(round(x), round(y)) for x, y in points]


def draw_scene(scene: Scene, rng: random.Random) -> Image.Image:
    """Draw a scene.

    Args:
        scene: what to draw.
        rng: decides the background, the exact sizes, places and tilts.

    Returns:
        An RGB image of 224 x 224 pixels.
    """
    image = _background(rng)
    things = (scene.first, scene.second)
    diameters = (rng.uniform(*DIAMETERS[scene.first.size]), rng.uniform(*DIAMETERS[scene.second.size]))
    places = _places(scene, diameters, rng)
    for thing, diameter, place in zip(things, diameters, places, strict=True):
        _paint(image, thing, _mask(thing.shape, diameter, rng.uniform(-_TILT, _TILT)), place)
    return image
