"""Maps: places, land and sea, labels."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data import maps
from barnlib.data.maps import LAND, OCEAN, WORLD, draw_graticule, draw_land, draw_scale_bar, region_around


@pytest.fixture(scope="module")
def world():
    return draw_land(WORLD, (720, 340), finer=1)


def test_positions_by_hand():
    assert WORLD.position(85.0, -30.0) == (0.0, 0.0)
    assert WORLD.position(0.0, 150.0) == (0.5, 0.5)
    assert WORLD.position(-85.0, -120.0) == (0.75, 1.0)


@pytest.mark.parametrize(
    ("place", "latitude", "longitude", "colour"),
    [
        ("Sahara", 23, 10, LAND),
        ("Siberia", 65, 120, LAND),
        ("Chukotka, beyond the date line", 66.5, -178, LAND),
        ("Brazil", -10, -50, LAND),
        ("Greenland", 72, -40, LAND),
        ("Antarctica at the frame's left", -80, -20, LAND),
        ("Antarctica beyond the date line", -80, -110, LAND),
        ("Caspian Sea", 41.5, 50.8, OCEAN),
        ("Pacific", 0, -150, OCEAN),
        ("Atlantic at the frame's left", 0, -25, OCEAN),
        ("Indian Ocean", -30, 80, OCEAN),
    ],
)
def test_land_and_sea(world, place, latitude, longitude, colour):
    x, y = WORLD.position(latitude, longitude)
    assert world.getpixel((int(x * 720), int(y * 340))) == colour, place


def test_a_third_of_the_globe_is_land(world):
    pixels = np.asarray(world, int)
    latitudes = 85 - (np.arange(340) + 0.5) / 2
    weights = np.repeat(np.cos(np.radians(latitudes))[:, None], 720, axis=1)
    is_sea = (pixels == OCEAN).all(axis=-1)
    assert (weights * ~is_sea).sum() / weights.sum() == pytest.approx(0.30, abs=0.03)


def test_coastline_is_small():
    assert Path(maps.__file__).with_name("coastline.npz").stat().st_size < 25_000


@settings(max_examples=50, deadline=None)
@given(st.floats(-65.0, 75.0), st.floats(-180.0, 180.0), st.floats(0.5, 2.0))
def test_regional_map_holds_its_place_off_centre(latitude, longitude, aspect):
    extent = region_around(latitude, longitude, aspect)
    x, y = extent.position(latitude, longitude)
    middle_latitude, middle_longitude = (extent.north + extent.south) / 2, (extent.east + extent.west) / 2
    assert 0.0 <= x <= 1.0 and 0.0 <= y <= 1.0
    assert 1.99 <= abs(latitude - middle_latitude) <= 5.01
    assert 1.99 <= abs(longitude - middle_longitude) <= 5.01
    assert extent.north - extent.south == pytest.approx(20.0)


def test_labels():
    assert [maps.longitude_label(value) for value in (0, 60, 180, 240, -170)] == [
        "0",
        "60E",
        "180",
        "120W",
        "170W",
    ]
    assert [maps.latitude_label(value) for value in (0, 30, -60)] == ["0", "30N", "60S"]


def test_graticule_and_scale_bar_are_drawn_where_they_belong():
    extent = maps.Extent(west=0.0, north=10.0, east=20.0, south=-10.0)
    image = draw_land(extent, (200, 200), finer=1)
    before = np.asarray(image).copy()
    draw_graticule(image, extent, (5, 5), 10)
    changed = (np.asarray(image) != before).any(axis=-1)
    assert changed[:, 50].mean() > 0.9 and changed[:, 100].mean() > 0.9 and changed[50].mean() > 0.9
    assert changed[:, 35].mean() < 0.2
    draw_scale_bar(image, extent, 500, 10)
    bar = (np.asarray(image)[6] == maps.INK).all(axis=-1).sum()
    assert bar == pytest.approx(500 / 111.19 * 10, abs=1.5)  # at the equator, 10 pixels a degree
