"""Event cards: what a reader who measures pixels gets back from the picture."""

import time
from dataclasses import replace

import numpy as np
import pytest

from barnlib.data.cards import (
    BAND_COLOURS,
    LABELLED_FROM,
    card_phrases,
    depth_colour,
    draw_card,
    layout,
    marker_radius,
)
from barnlib.data.earthquakes import Earthquake, locate, sample_earthquake
from barnlib.data.maps import WORLD
from barnlib.data.seismograms import DURATION_S, SAMPLING_RATE_HZ, synthesise

RATE = SAMPLING_RATE_HZ
SILENT = np.random.default_rng(0).standard_normal((3, 6400)).astype(np.float32)


@pytest.fixture(scope="module")
def cards() -> list[tuple[Earthquake, np.ndarray]]:
    rng = np.random.default_rng(8)
    drawn = []
    for _ in range(60):
        earthquake = sample_earthquake(rng)
        image = draw_card(earthquake, synthesise(earthquake, rng), RATE, 96)
        drawn.append((earthquake, np.asarray(image, float)))
    return drawn


def colourful(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel is from grey: the disc stands out from land, sea and triangle."""
    return np.maximum(pixels.max(axis=-1) - pixels.min(axis=-1) - 45.0, 0.0)


def place_of_disc(pixels: np.ndarray) -> tuple[float, float]:
    """Latitude and longitude of the colourful pixels' centroid on the map of a 96-pixel card."""
    weight = colourful(pixels[:48])
    y, x = ((weight * grid).sum() / weight.sum() + 0.5 for grid in np.mgrid[:48, :96])
    return 85.0 - y / 48 * 170.0, (x / 96 * 360.0 - 30.0 + 180.0) % 360.0 - 180.0


def test_layout_at_96_fills_a_grid_of_16_pixel_patches():
    parts = layout(96)
    assert parts.world == (0, 0, 96, 48)
    assert parts.panels == ((0, 48, 96, 64), (0, 64, 96, 80), (0, 80, 96, 96))
    assert parts.region is None


@pytest.mark.parametrize("image_size", [48, 64, 96, 112, 223, 224, 336, 672])
def test_sizes(image_size):
    earthquake = locate(10.0, 100.0, 50.0, 6.0, 40.0, 60.0)
    image = draw_card(earthquake, SILENT, RATE, image_size)
    assert image.size == (image_size, image_size) and image.mode == "RGB"
    assert (layout(image_size).region is not None) == (image_size >= LABELLED_FROM)


def test_what_cannot_be_drawn_is_refused():
    earthquake = locate(10.0, 100.0, 50.0, 6.0, 40.0, 60.0)
    with pytest.raises(ValueError, match="image size 32: a card needs at least 48 pixels"):
        draw_card(earthquake, SILENT, RATE, 32)
    with pytest.raises(ValueError, match=r"shape \(1, 6400\)"):
        draw_card(earthquake, SILENT[:1], RATE, 96)


def test_same_input_same_picture_and_inputs_untouched():
    earthquake = locate(10.0, 100.0, 50.0, 6.0, 40.0, 60.0)
    before = SILENT.copy()
    assert (
        draw_card(earthquake, SILENT, RATE, 96).tobytes() == draw_card(earthquake, SILENT, RATE, 96).tobytes()
    )
    assert np.array_equal(SILENT, before)


def test_place_can_be_read_from_the_disc(cards):
    """Median below 0.6 degrees at 3.75 degrees a pixel; what the triangle or the map's edge cuts may be worse."""
    errors = []
    for earthquake, pixels in cards:
        latitude, longitude = place_of_disc(pixels)
        turn = (longitude - earthquake.longitude_deg + 180.0) % 360.0 - 180.0
        errors.append((abs(latitude - earthquake.latitude_deg), abs(turn)))
    assert np.median(errors, axis=0).max() < 0.6
    assert (np.array(errors) < 2.0).all(axis=1).mean() > 0.85


def test_magnitude_can_be_read_from_the_disc():
    areas = []
    for magnitude in np.arange(4.0, 8.0, 0.5):
        earthquake = locate(-20.0, 80.0, 400.0, float(magnitude), 40.0, 60.0)
        pixels = np.asarray(draw_card(earthquake, SILENT, RATE, 96), float)
        areas.append((colourful(pixels[:48]) > 30).sum())
    assert (np.diff(areas) > 0).all()
    assert areas[-1] == pytest.approx(np.pi * marker_radius(7.5) ** 2, rel=0.25)


def test_depth_classes_have_their_own_colours():
    """Between 60 and 80 km and between 290 and 310 km the colour changes faster than anywhere within a class."""

    def steepness(top_km: float, bottom_km: float) -> float:
        return float(np.abs(depth_colour(bottom_km) - depth_colour(top_km)).sum()) / (bottom_km - top_km)

    inside = max(steepness(*pair) for pair in ((5, 60), (80, 200), (200, 290), (310, 650)))
    assert steepness(60, 80) > 2 * inside and steepness(290, 310) > 2 * inside
    assert [int(np.argmax(depth_colour(depth))) for depth in (10, 60, 100, 280, 320, 640)] == [
        0,
        0,
        1,
        1,
        2,
        2,
    ]


@pytest.mark.parametrize("magnitude", [4.0, 5.5, 7.9])
@pytest.mark.parametrize("station", [(10.5, 100.0), (0.0, 110.5), (-10.5, 100.0), (0.0, 89.5)])
def test_neither_marker_hides_the_other_at_10_degrees(magnitude, station):
    earthquake = locate(0.0, 100.0, 10.0, magnitude, *station)
    pixels = np.asarray(draw_card(earthquake, SILENT, RATE, 96), float)[:48]
    assert (pixels.max(axis=-1) < 60).sum() >= 6  # black enough for a triangle
    assert (colourful(pixels) > 60).sum() >= 4


def test_a_disc_on_the_edge_of_the_map_is_on_both_sides():
    earthquake = locate(0.0, -30.0, 10.0, 7.0, 40.0, 10.0)
    weight = colourful(np.asarray(draw_card(earthquake, SILENT, RATE, 96), float)[:48])
    assert weight[:, :5].sum() > 500 and weight[:, -5:].sum() > 500
    assert weight[:, 10:-10].sum() == 0


def read_arrivals(pixels: np.ndarray) -> tuple[float, float]:
    """P and S in seconds from the picture alone: steps of dark columns, blue ink absorbing red, orange blue."""
    panels = pixels[48:] / 255.0
    long_period, short_period = (panels[..., 0] < 0.6).sum(axis=0), (panels[..., 2] < 0.55).sum(axis=0)
    onsets = (short_period[1:] > short_period[:6].max() + 4) & (np.diff(short_period) > 3)
    p = int(onsets.argmax()) + 1
    step = long_period[2:] - np.minimum(long_period[1:-1], long_period[:-2])
    first, last = round(1.5 * p), round(1.95 * p) + 2  # S takes 1.7 to 1.9 times as long as P
    s = first + int(step[first:last].argmax()) + 2
    return (p + 0.5) / 96 * DURATION_S, (s + 0.5) / 96 * DURATION_S


def test_arrivals_can_be_read_from_the_traces(cards):
    """A threshold on 96 columns finds P within 10 % on every card and S on nine of ten."""
    read = np.array([read_arrivals(pixels) for _, pixels in cards])
    truth = np.array([(earthquake.p_time_s, earthquake.s_time_s) for earthquake, _ in cards])
    near = np.abs(read - truth) / truth < 0.1
    assert near[:, 0].mean() >= 0.98
    assert near[:, 1].mean() >= 0.9


def test_missing_data_leave_paper():
    earthquake = locate(10.0, 100.0, 50.0, 6.0, 40.0, 60.0)
    traces = SILENT.copy()
    traces[1] = np.nan
    pixels = np.asarray(draw_card(earthquake, traces, RATE, 96))
    north = pixels[65:80]  # below the rule at the top of the panel
    assert (north >= 225).all() and (pixels[49:64] < 200).any()


def test_phrases_name_what_is_in_their_boxes():
    earthquake = replace(locate(-12.4, 143.9, 400.0, 6.2, 36.5, 138.2), p_time_s=433.0, s_time_s=778.0)
    phrases = card_phrases(earthquake)
    assert [phrase.text for phrase in phrases] == [
        "strong deep earthquake at latitude -12 longitude 144",
        "station at latitude 36 longitude 138",
        "P arrival at 430 s",
        "S arrival at 780 s",
    ]
    x0, y0, x1, y1 = phrases[0].box
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(((143.9 + 30) / 360, (85 + 12.4) / 170 / 2))
    assert x1 - x0 == pytest.approx(2 * marker_radius(6.2) / 96)
    assert phrases[2].box == pytest.approx((433 / 1600, 0.5, 433 / 1600 + 0.05, 1.0))


@pytest.mark.parametrize("image_size", [96, 336])
def test_boxes_lie_in_the_picture_and_on_the_ink(image_size):
    rng = np.random.default_rng(5)
    for _ in range(15):
        earthquake = sample_earthquake(rng)
        pixels = np.asarray(draw_card(earthquake, synthesise(earthquake, rng), RATE, image_size), float)
        event, station, p, s = (phrase.box for phrase in card_phrases(earthquake, image_size))
        for x0, y0, x1, y1 in (event, station, p, s):
            assert 0.0 <= x0 < x1 <= 1.0 and 0.0 <= y0 < y1 <= 1.0
        assert colourful(inside(pixels, event)).max() > 60
        assert inside(pixels, station).max(axis=-1).min() < 90
        assert (inside(pixels, p)[..., 2] < 130).mean() > 0.03  # orange ink


def inside(pixels: np.ndarray, box: tuple[float, float, float, float]) -> np.ndarray:
    size = len(pixels)
    x0, y0, x1, y1 = (int(np.floor(edge * size)) for edge in box)
    return pixels[y0 : y1 + 1, x0 : x1 + 1]


def test_regional_map_and_labels_from_224_pixels_on():
    earthquake = locate(-12.4, 143.9, 10.0, 6.2, 36.5, 138.2)
    pixels = np.asarray(draw_card(earthquake, SILENT, RATE, 336), float)
    region = layout(336).region
    assert region is not None
    x0, y0, x1, y1 = region
    part = pixels[y0:y1, x0:x1]
    weight = colourful(part)
    y, x = ((weight * grid).sum() / weight.sum() + 0.5 for grid in np.mgrid[: y1 - y0, : x1 - x0])
    assert weight.sum() > 1000
    assert abs(x / (x1 - x0) - 0.5) > 0.1 and abs(y / (y1 - y0) - 0.5) > 0.08  # off the centre
    assert (part.max(axis=-1) < 60).sum() > 40  # labels and scale bar
    legend = pixels[layout(336).panels[-1][3] + 12 :, : x0 - 2]
    assert all((np.abs(legend - colour).max(axis=-1) < 40).any() for colour in BAND_COLOURS)


def test_world_map_frame_does_not_depend_on_the_size():
    earthquake = locate(-12.4, 143.9, 10.0, 6.2, 36.5, 138.2)
    for image_size in (96, 336):
        pixels = np.asarray(draw_card(earthquake, SILENT, RATE, image_size), float)[: image_size // 2]
        weight = colourful(pixels)
        grids = np.mgrid[: image_size // 2, :image_size]
        y, x = ((weight * grid).sum() / weight.sum() + 0.5 for grid in grids)
        expected_x, expected_y = WORLD.position(-12.4, 143.9)
        assert (x / image_size, y / image_size * 2) == pytest.approx((expected_x, expected_y), abs=0.004)


def test_a_card_takes_milliseconds():
    """About 8 ms of CPU with its waveform; the bound leaves room for a slow machine."""
    rng = np.random.default_rng(0)
    earthquake = sample_earthquake(rng)
    draw_card(earthquake, synthesise(earthquake, rng), RATE, 96)
    taken = []
    for _ in range(8):
        start = time.process_time()
        draw_card(earthquake, synthesise(earthquake, rng), RATE, 96)
        taken.append(time.process_time() - start)
    assert min(taken) < 0.04
