"""Scenes of coloured shapes: what VQA-Scene shows, drawn and described.

In: a `numpy.random.Generator`. Out: a `Scene` (what is where), its picture, its dense caption, and the phrase
and box of every thing. Next: `questions` asks about a scene, `build` writes pictures and items, and the text
corpus of the nano backbones uses the captions.

A scene lies on an unseen grid of three rows by three columns, with at most one thing in a cell. A thing's
centre is moved by up to `JITTER` from the middle of its cell, so neighbours may overlap by a little, yet every
centre stays nearest to its own cell: the position's name is never in doubt, and two things in different
columns, or in different rows, are always more than `MARGIN` apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from barnlib.data.phrases import Phrase

COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
SHAPES = ("circle", "square", "triangle", "cross")
SIZES = ("small", "large")
TEXTURES = ("solid", "striped")
ATTRIBUTES = {"size": SIZES, "texture": TEXTURES, "colour": COLOURS, "shape": SHAPES}
"""Attribute -> its values, in the order in which a phrase names them."""
POSITIONS = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
"""The nine cells in reading order: index = 3 * row + column."""
BACKGROUNDS = ("white", "grey", "sand")
HELD_OUT = frozenset({("red", "triangle"), ("green", "circle"), ("blue", "cross"), ("yellow", "square")})
"""Pairs of colour and shape that occur only in the test split."""

FEWEST, MOST = 3, 6
JITTER = 0.075
"""Greatest distance of a centre from the middle of its cell, along x or y, as a fraction of the image."""
MARGIN = 1 / 6
"""Centres in one column differ in x by at most 2 * JITTER < MARGIN, centres in two by more than MARGIN."""
RADIUS = {"small": 0.080, "large": 0.138}
CLOSEST = 0.78
"""Two centres are at least this fraction of the sum of the radii apart: both things stay visible."""
ODD_SHARE = 0.5
"""Share of scenes made so that all things but one agree in a randomly chosen attribute."""

Colour = tuple[int, int, int]
_RGB: dict[str, Colour] = {
    "red": (214, 32, 38),
    "green": (28, 150, 58),
    "blue": (30, 84, 214),
    "yellow": (240, 190, 0),
    "purple": (150, 40, 176),
    "black": (24, 24, 24),
}
_BACKGROUND_RGB: dict[str, Colour] = {
    "white": (250, 250, 250),
    "grey": (218, 220, 224),
    "sand": (238, 228, 206),
}
_STRIPE_RGB: Colour = (255, 255, 255)
_STRIPE_PERIOD = 0.054
"""Height of one coloured and one white stripe together, as a fraction of the image: 5.2 px at 96 px."""
_RIM = 0.012
_CROSS = 0.34
"""Half the width of the arms of a cross whose arms reach to 1."""
_SUPERSAMPLING = 4


@dataclass(frozen=True)
class Thing:
    """One thing in a scene.

    Attributes:
        colour, shape, size, texture: a value of `ATTRIBUTES` each.
        x, y: centre as fractions of the image, from the left and from the top.
        radius: half the side of the box that the thing fills, as a fraction of the image.
        position: the cell's name, one of `POSITIONS`.
    """

    colour: str
    shape: str
    size: str
    texture: str
    x: float
    y: float
    radius: float
    position: str


@dataclass(frozen=True)
class Scene:
    """Things in the order in which they are drawn (the last on top), on a plain background."""

    things: tuple[Thing, ...]
    background: str


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    return values[int(rng.integers(len(values)))]


def _sample_attributes(rng: np.random.Generator, count: int, held_out: bool) -> list[dict[str, str]]:
    """Attributes of `count` things, with pairs in `HELD_OUT` only where `held_out`. Colours and shapes come
    from a palette of the scene, so that there is something to count; in some scenes one thing is the odd one
    out."""
    odd = tuple(ATTRIBUTES)[int(rng.integers(len(ATTRIBUTES)))] if rng.random() < ODD_SHARE else None
    palettes = {}
    for name, values in ATTRIBUTES.items():
        kinds = 2 if len(values) == 2 or name == odd else int(rng.integers(2, len(values) + 1))
        palettes[name] = tuple(values[int(i)] for i in rng.permutation(len(values))[:kinds])
    shares = {name: (0.25, 0.5, 0.75)[int(rng.integers(3))] for name in ("size", "texture")}
    things: list[dict[str, str]] = []
    for index in range(count):
        thing: dict[str, str] = {}
        for name in ("shape", "colour") if odd == "shape" else ("colour", "shape"):
            palette = palettes[name]
            if name == odd:
                thing[name] = palette[0 if index == 0 else 1]
            else:
                allowed = [value for value in palette if held_out or not _held_out({**thing, name: value})]
                thing[name] = _pick(rng, allowed)
        for name, share in shares.items():
            palette = palettes[name]
            thing[name] = palette[(0 if index == 0 else 1) if name == odd else int(rng.random() < share)]
        things.append(thing)
    return things


def _held_out(thing: dict[str, str]) -> bool:
    return (thing.get("colour"), thing.get("shape")) in HELD_OUT


def _sample_centres(rng: np.random.Generator, radii: list[float]) -> list[tuple[int, float, float]]:
    """(cell, x, y) for each radius: distinct cells, inside the image, overlapping by a little at most."""
    while True:
        cells = rng.permutation(len(POSITIONS))[: len(radii)]
        jitters = rng.uniform(-JITTER, JITTER, size=(len(radii), 2))
        centres = []
        for cell, radius, (dx, dy) in zip(cells, radii, jitters, strict=True):
            row, column = divmod(int(cell), 3)
            low, high = radius + 0.01, 1 - radius - 0.01
            x = min(max((column + 0.5) / 3 + dx, low), high)
            y = min(max((row + 0.5) / 3 + dy, low), high)
            centres.append((int(cell), round(float(x), 4), round(float(y), 4)))
        apart = all(
            (xa - xb) ** 2 + (ya - yb) ** 2 >= (CLOSEST * (radii[i] + radii[j])) ** 2
            for i, (_, xa, ya) in enumerate(centres)
            for j, (_, xb, yb) in enumerate(centres[:i])
        )
        if apart:
            return centres


def sample_scene(rng: np.random.Generator, *, held_out: bool = False) -> Scene:
    """A random scene of 3 to 6 things, no two of them alike in all four attributes.

    Args:
        rng: the only source of randomness.
        held_out: False: no pair of colour and shape is in `HELD_OUT`; True: at least one is.
    """
    count = int(rng.integers(FEWEST, MOST + 1))
    while True:
        attributes = _sample_attributes(rng, count, held_out)
        alike = len({tuple(thing[name] for name in ATTRIBUTES) for thing in attributes}) < count
        if not alike and any(map(_held_out, attributes)) == held_out:
            break
    radii = [round(RADIUS[thing["size"]] * float(rng.uniform(0.95, 1.05)), 4) for thing in attributes]
    centres = _sample_centres(rng, radii)
    things = [
        Thing(**thing, x=x, y=y, radius=radius, position=POSITIONS[cell])
        for thing, radius, (cell, x, y) in zip(attributes, radii, centres, strict=True)
    ]
    order = rng.permutation(count)
    return Scene(tuple(things[int(i)] for i in order), _pick(rng, BACKGROUNDS))


def _outline(shape: str) -> list[tuple[float, float]] | None:
    """Corners in a box from -1 to 1 (y down); None for a circle, which fills it."""
    if shape == "circle":
        return None
    if shape == "square":
        return [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
    if shape == "triangle":
        return [(0.0, -1.0), (1.0, 0.9), (-1.0, 0.9)]
    if shape == "cross":
        quarter = [(-_CROSS, -1.0), (_CROSS, -1.0), (_CROSS, -_CROSS)]
        corners = list(quarter)
        for _ in range(3):
            quarter = [(-y, x) for x, y in quarter]
            corners += quarter
        return corners
    raise ValueError(f"shape is {shape!r}: one of {', '.join(SHAPES)}")


def _draw_outline(canvas: ImageDraw.ImageDraw, thing: Thing, side: int, colour: Colour, width: float) -> None:
    """A line of this width, in pixels, along the thing's edge."""
    x, y, r = thing.x * side, thing.y * side, thing.radius * side
    unit = _outline(thing.shape)
    if unit is None:
        w = width / 2
        canvas.ellipse((x - r - w, y - r - w, x + r + w, y + r + w), outline=colour, width=round(width))
    else:
        corners = [(x + u * r, y + v * r) for u, v in (*unit, *unit[:2])]
        canvas.line(corners, fill=colour, width=round(width), joint="curve")


def _draw_thing(image: Image.Image, thing: Thing, background: Colour) -> None:
    side = image.width
    canvas = ImageDraw.Draw(image)
    _draw_outline(canvas, thing, side, background, 2 * _RIM * side)
    left, top = int((thing.x - thing.radius) * side), int((thing.y - thing.radius) * side)
    x, y, r = thing.x * side - left, thing.y * side - top, thing.radius * side
    size = (int(2 * r) + 2, int(2 * r) + 2)
    mask = Image.new("1", size)
    unit = _outline(thing.shape)
    if unit is None:
        ImageDraw.Draw(mask).ellipse((x - r, y - r, x + r, y + r), fill=1)
    else:
        ImageDraw.Draw(mask).polygon([(x + u * r, y + v * r) for u, v in unit], fill=1)
    fill = Image.new("RGB", size, _RGB[thing.colour])
    if thing.texture == "striped":
        stripes = ImageDraw.Draw(fill)
        period = _STRIPE_PERIOD * side
        for k in range(-4, 5):
            middle = y + k * period
            stripes.rectangle((0, middle - period / 4, size[0], middle + period / 4), fill=_STRIPE_RGB)
    image.paste(fill, (left, top), mask)
    if thing.texture == "striped":
        _draw_outline(canvas, thing, side, _RGB[thing.colour], _RIM * side)


def draw_scene(scene: Scene, image_size: int) -> Image.Image:
    """RGB picture of the scene, `image_size` pixels square, antialiased by drawing at four times the size.

    A thing has a rim in the background's colour, so that things of one colour stay apart where they overlap.
    Stripes are horizontal, coloured and white, of one width everywhere. ValueError below 32 pixels.
    """
    if image_size < 32:
        raise ValueError(f"image_size is {image_size}: stripes need at least 32 pixels")
    background = _BACKGROUND_RGB[scene.background]
    image = Image.new("RGB", (image_size * _SUPERSAMPLING,) * 2, background)
    for thing in scene.things:
        _draw_thing(image, thing, background)
    return image.reduce(_SUPERSAMPLING)


def describe(thing: Thing) -> str:
    """Size, texture, colour, shape: "large striped red circle"."""
    return f"{thing.size} {thing.texture} {thing.colour} {thing.shape}"


def place(position: str) -> str:
    """The position in a sentence: "at the top left", "in the centre"."""
    return "in the centre" if position == "centre" else f"at the {position}"


def in_reading_order(scene: Scene) -> list[Thing]:
    """Things row by row from the top, each row from the left."""
    return sorted(scene.things, key=lambda thing: POSITIONS.index(thing.position))


def scene_caption(scene: Scene, rng: np.random.Generator) -> str:
    """Dense caption: every thing with all its attributes and its position, in reading order.

    Example: "a large striped red circle at the top left, a small solid blue square in the centre." What is
    drawn is the opening: none, "there is", or the number of things.
    """
    openings = ("", "there is ", f"{len(scene.things)} things: ")
    return f"{_pick(rng, openings)}{list_things(scene)}."


def list_things(scene: Scene) -> str:
    """Every thing with all its attributes and its position, in reading order, separated by commas."""
    return ", ".join(f"a {describe(thing)} {place(thing.position)}" for thing in in_reading_order(scene))


def scene_phrases(scene: Scene) -> tuple[Phrase, ...]:
    """One phrase for each thing and its position, in reading order, with the box that it fills."""
    return tuple(
        Phrase(
            f"{describe(thing)} {place(thing.position)}",
            (thing.x - thing.radius, thing.y - thing.radius, thing.x + thing.radius, thing.y + thing.radius),
        )
        for thing in in_reading_order(scene)
    )


def scene_facts(scene: Scene) -> dict[str, Any]:
    """The scene as JSON: {"things": [{...}, ...], "background": "grey"}; `scene_from_facts` reads it back."""
    return {"things": [asdict(thing) for thing in scene.things], "background": scene.background}


def scene_from_facts(facts: dict[str, Any]) -> Scene:
    """The scene that `scene_facts` wrote.

    Raises:
        ValueError: a key is missing or unknown, or a value is not one of its list, naming which.
    """
    if set(facts) != {"things", "background"}:
        raise ValueError(f"a scene has the keys things and background, not {sorted(facts)}")
    if facts["background"] not in BACKGROUNDS:
        raise ValueError(f"background is {facts['background']!r}: one of {', '.join(BACKGROUNDS)}")
    things = tuple(_thing_from_facts(index, thing) for index, thing in enumerate(facts["things"]))
    return Scene(things, facts["background"])


def _thing_from_facts(index: int, facts: dict[str, Any]) -> Thing:
    wanted = set(Thing.__dataclass_fields__)
    if set(facts) != wanted:
        missing, unknown = sorted(wanted - set(facts)), sorted(set(facts) - wanted)
        raise ValueError(f"thing {index} lacks {missing} and has the unknown keys {unknown}")
    for name, values in (*ATTRIBUTES.items(), ("position", POSITIONS)):
        if facts[name] not in values:
            raise ValueError(f"thing {index}: {name} is {facts[name]!r}: one of {', '.join(values)}")
    for name in ("x", "y", "radius"):
        if not isinstance(facts[name], int | float) or not 0 <= facts[name] <= 1:
            raise ValueError(f"thing {index}: {name} is {facts[name]!r}: a fraction of the image from 0 to 1")
    return Thing(**facts)
