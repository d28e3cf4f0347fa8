"""Event cards: one square picture with a map of epicentre and station and the three-component seismogram.

In: an `Earthquake` and the traces of its station, synthetic or recorded. Out: a Pillow image, and phrases
with the boxes of what they name. Next: `pictures` joins them to a caption, and the encoder is trained on
them.

The upper half is a world map in a fixed frame (30 W eastward to 330 E, 85 S to 85 N), so that a pixel's
place gives its coordinates without reading text. The epicentre is a disc, the larger the greater the
magnitude, and coloured by depth from red (shallow) over green to blue (deep). The station is a black
triangle. Below are the Z, N and E traces over 0 to 1,600 s from origin time in two bands, one upon the
other: long period in blue, short period in orange, heights in logarithms of amplitude above noise
(`seismograms.display_traces`). At 96 pixels the map is 96 x 48 (3.75 degrees a pixel) and each trace 16 high
(16.7 s a pixel), so that traces fill rows of a grid of 16-pixel patches. From `LABELLED_FROM` pixels on
there are labels, graticules and scales, and the traces make room for a regional map.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from barnlib.data.earthquakes import Earthquake, depth_class, magnitude_class
from barnlib.data.maps import INK, WORLD, Box, draw_graticule, draw_land, draw_scale_bar, region_around
from barnlib.data.phrases import Phrase
from barnlib.data.seismograms import BANDS_HZ, COMPONENTS, DURATION_S, display_traces

SMALLEST = 48  # image size in pixels below which nothing can be seen
LABELLED_FROM = 224  # image size in pixels from which text can be read
REFERENCE_SIZE = 96  # sizes of markers are given in pixels of this image
STATION_HALF_WIDTH = 2.7  # of the triangle, in those pixels

PAPER, RULE = (255, 255, 255), (225, 225, 225)
BAND_COLOURS = ((20, 60, 170), (240, 110, 0))  # long period, short period
DEPTH_COLOURS = {  # km: red, green, blue; steep where the depth class changes
    0.0: (215, 15, 25),
    60.0: (235, 95, 0),
    80.0: (170, 180, 0),
    200.0: (0, 150, 40),
    290.0: (0, 160, 120),
    310.0: (0, 110, 215),
    700.0: (70, 0, 160),
}
Colour = np.ndarray | tuple[int, ...]
Fractions = tuple[float, float, float, float]
Inside = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (dx, dy) -> distance to the edge, positive within


@dataclass(frozen=True)
class Layout:
    """Where the parts of a card lie: the world map, the Z, N and E panels, and the regional map if there is one."""

    world: Box
    panels: tuple[Box, ...]
    region: Box | None


def layout(image_size: int) -> Layout:
    """The layout of a card of that size in pixels. ValueError below `SMALLEST`."""
    if image_size < SMALLEST:
        raise ValueError(f"image size {image_size}: a card needs at least {SMALLEST} pixels")
    half, right, bottom = image_size // 2, image_size, image_size
    if image_size >= LABELLED_FROM:
        right, bottom = round(0.62 * image_size), image_size - round(3.3 * _font_size(image_size))
    edges = [half + round((bottom - half) * part / 3) for part in range(4)]
    panels = tuple((0, top, right, below) for top, below in pairwise(edges))
    region = (right + 1, half + 1, image_size, image_size) if image_size >= LABELLED_FROM else None
    return Layout((0, 0, image_size, half), panels, region)


def _font_size(image_size: int) -> int:
    return max(8, image_size // 32)


def depth_colour(depth_km: float) -> np.ndarray:
    """The epicentre disc's colour, float64[3] within 0 to 255."""
    depths, channels = list(DEPTH_COLOURS), zip(*DEPTH_COLOURS.values(), strict=True)
    return np.array([np.interp(depth_km, depths, channel) for channel in channels])


def marker_radius(magnitude: float) -> float:
    """The epicentre disc's radius in pixels of an image of `REFERENCE_SIZE`; no larger above magnitude 9."""
    return 1.4 + 0.8 * (min(magnitude, 9.0) - 4.0)


def draw_card(
    earthquake: Earthquake, traces: np.ndarray, sampling_rate_hz: float, image_size: int
) -> Image.Image:
    """Draw the card, an RGB image of `image_size` squared.

    traces: float[3, N], Z, N, E from origin time over `DURATION_S`, any unit of velocity, NaN where data are
    missing. ValueError where an image that small, traces of that shape, or no data at all cannot be drawn.
    """
    parts = layout(image_size)
    canvas = _background(image_size).copy()
    scale = image_size / REFERENCE_SIZE
    _draw_places(canvas, parts.world, earthquake, scale)
    left, _, right, _ = parts.panels[0]
    shown, full_scales = display_traces(traces, sampling_rate_hz, right - left)
    for band, colour in zip(shown, BAND_COLOURS, strict=True):
        for trace, panel in zip(band, parts.panels, strict=True):
            _draw_trace(canvas, panel, trace, colour, max(1.0, scale / 2.0))
    if parts.region is not None:
        _draw_region(canvas, parts.region, earthquake, scale)
    image = Image.fromarray(np.clip(canvas + 0.5, 0, 255).astype(np.uint8))
    if parts.region is not None:
        _label_traces(image, parts, full_scales)
    return image


@lru_cache(maxsize=4)
def _background(image_size: int) -> np.ndarray:
    """What all cards of a size share: the world map, and empty panels with a line every 200 s; float32[s, s,
    3]."""
    parts = layout(image_size)
    image = Image.new("RGB", (image_size, image_size), PAPER)
    world = draw_land(WORLD, parts.world[2:], finer=4)
    if image_size >= LABELLED_FROM:
        draw_graticule(world, WORLD, (60, 30), _font_size(image_size))
    image.paste(world, parts.world[:2])
    draw = ImageDraw.Draw(image)
    for left, top, right, bottom in parts.panels:
        for seconds in range(200, int(DURATION_S), 200):
            x = left + round(seconds / DURATION_S * (right - left))
            draw.line((x, top, x, bottom - 1), fill=RULE)
        draw.line((left, top, right - 1, top), fill=RULE)
    return np.asarray(image, np.float32)


def _draw_places(canvas: np.ndarray, frame: Box, earthquake: Earthquake, scale: float) -> None:
    """Disc and triangle, the larger first, so that neither hides the other; twice at the edge of the
    world."""
    epicentre = WORLD.position(earthquake.latitude_deg, earthquake.longitude_deg)
    station = WORLD.position(earthquake.station_latitude_deg, earthquake.station_longitude_deg)
    radius, half_width = marker_radius(earthquake.magnitude) * scale, STATION_HALF_WIDTH * scale
    x0, y0, x1, y1 = frame
    marks: list[tuple[float, tuple[float, float], Inside, Colour]] = [
        (radius, epicentre, _disc(radius), depth_colour(earthquake.depth_km)),
        (0.75 * half_width, station, _triangle(half_width), INK),  # 0.75: a disc of about the triangle's area
    ]
    for size, (x, y), inside, colour in sorted(marks, key=lambda mark: -mark[0]):
        for turn in (-1, 0, 1):
            centre = (x0 + (x + turn) * (x1 - x0), y0 + y * (y1 - y0))
            _draw_mark(canvas, frame, centre, 1.5 * size + 2.0, inside, colour)


def _disc(radius: float) -> Inside:
    return lambda dx, dy: radius - np.hypot(dx, dy)


def _triangle(half_width: float) -> Inside:
    """A triangle on its base about its centroid, as high as it is wide."""

    def inside(dx: np.ndarray, dy: np.ndarray) -> np.ndarray:
        slanted = (4.0 / 3.0 * half_width + dy - 2.0 * np.abs(dx)) / np.sqrt(5.0)
        return np.minimum(slanted, 2.0 / 3.0 * half_width - dy)

    return inside


def _draw_mark(
    canvas: np.ndarray, frame: Box, centre: tuple[float, float], reach: float, inside: Inside, colour: Colour
) -> None:
    """Blend an antialiased shape around a centre, in pixels, into the part of the frame within reach."""
    (x, y), (x0, y0, x1, y1) = centre, frame
    left, right = max(x0, int(x - reach)), min(x1, int(x + reach) + 1)
    top, bottom = max(y0, int(y - reach)), min(y1, int(y + reach) + 1)
    if left < right and top < bottom:
        dy, dx = np.ogrid[top + 0.5 - y : bottom - y, left + 0.5 - x : right - x]
        coverage = np.clip(inside(dx, dy) + 0.5, 0.0, 1.0)[..., None]
        part = canvas[top:bottom, left:right]
        part += coverage * (np.asarray(colour, np.float32) - part)


def _draw_trace(canvas: np.ndarray, panel: Box, trace: np.ndarray, colour: Colour, line: float) -> None:
    """Blend a trace, float[columns, 2], each column filled from least to greatest value; inks multiply."""
    x0, y0, x1, y1 = panel
    middle, half_height = (y0 + y1) / 2.0, (y1 - y0) / 2.0 - 0.5
    upper = middle - trace[:, 1] * half_height - line / 2.0
    lower = middle - trace[:, 0] * half_height + line / 2.0
    rows = np.arange(y0, y1)[:, None]
    coverage = np.clip(np.minimum(rows + 1, lower) - np.maximum(rows, upper), 0.0, 1.0)
    ink = 1.0 - np.asarray(colour, np.float32) / 255.0
    canvas[y0:y1, x0:x1] *= 1.0 - np.nan_to_num(coverage)[..., None] * ink


def _draw_region(canvas: np.ndarray, frame: Box, earthquake: Earthquake, scale: float) -> None:
    """The regional map with graticule, scale bar and epicentre."""
    x0, y0, x1, y1 = frame
    width, height = x1 - x0, y1 - y0
    extent = region_around(earthquake.latitude_deg, earthquake.longitude_deg, width / height)
    image = draw_land(extent, (width, height), finer=2)
    font_size = _font_size(canvas.shape[1])
    draw_graticule(image, extent, (5, 5), font_size)
    draw_scale_bar(image, extent, 500, font_size)
    canvas[y0:y1, x0:x1] = np.asarray(image, np.float32)
    x, y = extent.position(earthquake.latitude_deg, earthquake.longitude_deg)
    centre = (x0 + x * width, y0 + y * height)
    radius = 0.8 * marker_radius(earthquake.magnitude) * scale
    _draw_mark(canvas, frame, centre, radius + 2.0, _disc(radius), depth_colour(earthquake.depth_km))
    _draw_mark(canvas, frame, centre, scale + 2.0, _disc(0.5 * scale), INK)


def _label_traces(image: Image.Image, parts: Layout, full_scales: np.ndarray) -> None:
    """Component names, time axis and a legend of bands and amplitude scales."""
    draw = ImageDraw.Draw(image)
    size = _font_size(image.width)
    font = ImageFont.load_default(size)
    for name, (left, top, _, _) in zip(COMPONENTS, parts.panels, strict=True):
        draw.text((left + 2, top + 1), name, INK, font)
    left, _, right, bottom = parts.panels[-1]
    for seconds in range(400, int(DURATION_S), 400):
        x = left + seconds / DURATION_S * (right - left)
        draw.text((x, bottom + 1), f"{seconds} s", INK, font, anchor="mt")
    (slow, fast), (low, high) = BANDS_HZ
    names = (f"{1 / fast:.0f}-{1 / slow:.0f} s", f"{low}-{high} Hz")
    for row, (name, colour, full_scale) in enumerate(zip(names, BAND_COLOURS, full_scales, strict=True)):
        scale = f"log scale to {full_scale:,.0f} x noise" if np.isfinite(full_scale) else "no data"
        draw.text((left + 2, bottom + 1 + (row + 1) * size), f"{name}, {scale}", colour, font)


def card_phrases(earthquake: Earthquake, image_size: int = REFERENCE_SIZE) -> tuple[Phrase, ...]:
    """What the parts of a card of that size show: the earthquake, the station, P and S.

    Boxes are fractions of the image; all sizes below `LABELLED_FROM` share them. Boxes of arrivals begin at
    the arrival and span all three panels; a marker that crosses the map's edge is boxed on the side of its
    centre. Places are given in whole degrees, times in tens of seconds: what can be seen.
    """
    parts = layout(image_size)
    latitude, longitude = earthquake.latitude_deg, earthquake.longitude_deg
    station = (earthquake.station_latitude_deg, earthquake.station_longitude_deg)
    classes = f"{magnitude_class(earthquake.magnitude)} {depth_class(earthquake.depth_km)}"
    return (
        Phrase(
            f"{classes} earthquake at latitude {round(latitude)} longitude {round(longitude)}",
            _place_box(latitude, longitude, marker_radius(earthquake.magnitude)),
        ),
        Phrase(
            f"station at latitude {round(station[0])} longitude {round(station[1])}",
            _place_box(*station, STATION_HALF_WIDTH),
        ),
        Phrase(
            f"P arrival at {round(earthquake.p_time_s, -1):.0f} s", _arrival_box(parts, earthquake.p_time_s)
        ),
        Phrase(
            f"S arrival at {round(earthquake.s_time_s, -1):.0f} s", _arrival_box(parts, earthquake.s_time_s)
        ),
    )


def _place_box(latitude_deg: float, longitude_deg: float, radius: float) -> Fractions:
    """Around a marker on the world map, which fills the upper half of the card."""
    x, y = WORLD.position(latitude_deg, longitude_deg)
    reach = radius / REFERENCE_SIZE
    return max(0.0, x - reach), max(0.0, y / 2 - reach), min(1.0, x + reach), min(0.5, y / 2 + reach)


def _arrival_box(parts: Layout, time_s: float) -> Fractions:
    """From an arrival on for a twentieth of the panels' width, as high as all three."""
    size = parts.world[2]
    left, top, right, _ = parts.panels[0]
    x = (left + time_s / DURATION_S * (right - left)) / size
    return x, top / size, min(right / size, x + 0.05 * (right - left) / size), parts.panels[-1][3] / size
