"""Maps: land and sea in plate carree, with a labelled graticule.

In: an extent in degrees and a size in pixels. Out: where a place lies, and a picture of the land. Next:
`cards` puts epicentre and station on it.

`coastline.npz` holds the land polygons of Natural Earth 1:110m (public domain), made from world-110m.json of
vega-datasets (commit cad85578): its arcs joined to rings, Antarctica closed along 90 degrees south,
longitude and latitude in hundredths of a degree (`points_cdeg`, int16[n, 2]), the first vertex of each ring
(`starts`, with the end of the last), and whether a ring is land (`is_land`, false only for the Caspian Sea).
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

OCEAN, LAND, SHORE, GRATICULE = (222, 235, 245), (232, 224, 203), (170, 160, 140), (195, 205, 212)
INK = (20, 20, 20)
Box = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels


@dataclass(frozen=True)
class Extent:
    """What a map shows, in degrees; east is greater than west and may exceed 180."""

    west: float
    north: float
    east: float
    south: float

    def position(self, latitude_deg: float, longitude_deg: float) -> tuple[float, float]:
        """Where a place lies: x and y as fractions of width and height, from the upper left; x at least 0."""
        x = (longitude_deg - self.west) % 360.0 / (self.east - self.west)
        return x, (self.north - latitude_deg) / (self.north - self.south)


WORLD = Extent(west=-30.0, north=85.0, east=330.0, south=-85.0)


def region_around(latitude_deg: float, longitude_deg: float, aspect: float) -> Extent:
    """A regional map, 20 degrees high and `aspect` times as wide (in degrees).

    Its centre lies 2 to 5 degrees off the place in latitude and in longitude, so that the middle of the
    picture is never the answer.
    """
    centres = []
    for value in (latitude_deg, longitude_deg):
        centre = 5.0 * round(value / 5.0)
        centres.append(
            centre if abs(value - centre) >= 2.0 else centre - float(np.copysign(3.0, value - centre))
        )
    latitude, longitude = centres
    return Extent(longitude - 10.0 * aspect, latitude + 10.0, longitude + 10.0 * aspect, latitude - 10.0)


@lru_cache(maxsize=1)
def _rings() -> tuple[tuple[np.ndarray, bool], ...]:
    """Rings of longitude and latitude, float64[n, 2], and whether each is land."""
    with np.load(Path(__file__).with_name("coastline.npz")) as stored:
        points, starts, is_land = stored["points_cdeg"] / 100.0, stored["starts"], stored["is_land"]
    return tuple(
        (points[first:end], bool(land))
        for first, end, land in zip(starts[:-1], starts[1:], is_land, strict=True)
    )


def draw_land(extent: Extent, size: tuple[int, int], finer: int) -> Image.Image:
    """The map as an RGB image of that width and height, drawn `finer` times larger and then reduced."""
    width, height = size[0] * finer, size[1] * finer
    image = Image.new("RGB", (width, height), OCEAN)
    draw = ImageDraw.Draw(image)
    scale = np.array([width / (extent.east - extent.west), height / (extent.south - extent.north)])
    for points, land in _rings():
        for turn in (-360.0, 0.0, 360.0):
            turned = points + np.array([turn, 0.0])
            (west, south), (east, north) = turned.min(axis=0), turned.max(axis=0)
            if west < extent.east and east > extent.west and south < extent.north and north > extent.south:
                pixels = (turned - np.array([extent.west, extent.north])) * scale
                draw.polygon([(x, y) for x, y in pixels], fill=LAND if land else OCEAN, outline=SHORE)
    return image.resize(size, Image.Resampling.BOX)


def draw_graticule(image: Image.Image, extent: Extent, step_deg: tuple[int, int], font_size: int) -> None:
    """Draw meridians and parallels, so many degrees apart, on a map that fills the image, and label them."""
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(font_size)
    width, height = image.size
    for longitude in _multiples(extent.west, extent.east, step_deg[0]):
        x = (longitude - extent.west) / (extent.east - extent.west) * width
        draw.line((x, 0, x, height - 1), fill=GRATICULE)
        if x < width - 2.5 * font_size:
            draw.text((x + 1, height - 1), longitude_label(longitude), INK, font, anchor="ld")
    for latitude in _multiples(extent.south, extent.north, step_deg[1]):
        y = (extent.north - latitude) / (extent.north - extent.south) * height
        draw.line((0, y, width - 1, y), fill=GRATICULE)
        if font_size < y < height - 1.5 * font_size:
            draw.text((1, y), latitude_label(latitude), INK, font, anchor="ld")


def draw_scale_bar(image: Image.Image, extent: Extent, length_km: int, font_size: int) -> None:
    """Draw a bar of that length, true at the map's middle latitude, into the upper right corner of the
    image."""
    middle = np.radians((extent.north + extent.south) / 2.0)
    degrees = length_km / (111.19 * np.cos(middle))
    pixels = degrees / (extent.east - extent.west) * image.width
    right = image.width - 4
    draw = ImageDraw.Draw(image)
    draw.line((right - pixels, 6, right, 6), fill=INK, width=2)
    draw.text((right, 8), f"{length_km} km", INK, ImageFont.load_default(font_size), anchor="ra")


def _multiples(low: float, high: float, step: int) -> range:
    return range(int(np.ceil(low / step)) * step, int(np.floor(high)) + 1, step)


def longitude_label(longitude_deg: float) -> str:
    """Such as 120E, 60W, 0 or 180, for any turn of the globe."""
    value = (longitude_deg + 180.0) % 360.0 - 180.0
    return f"{abs(value):.0f}" + ("" if value in (0.0, -180.0) else "E" if value > 0 else "W")


def latitude_label(latitude_deg: float) -> str:
    """Such as 30N, 60S or 0."""
    return f"{abs(latitude_deg):.0f}" + ("N" if latitude_deg > 0 else "S" if latitude_deg < 0 else "")
