"""Sampled earthquakes: names, ranges, balance, distances."""

import json
from dataclasses import replace

import numpy as np
import pytest
from obspy.geodetics import FlinnEngdahl
from scipy.stats import chi2_contingency, chisquare

from barnlib.data.earthquakes import (
    DEPTH_CLASSES,
    HELD_OUT_REGIONS,
    MAGNITUDE_CLASSES,
    MAXIMUM_DISTANCE_DEG,
    MINIMUM_DISTANCE_DEG,
    REGIONS,
    STATIONS,
    Earthquake,
    depth_class,
    earthquake_facts,
    locate,
    magnitude_class,
    region_name,
    sample_earthquake,
)


@pytest.fixture(scope="module")
def sample() -> list[Earthquake]:
    rng = np.random.default_rng(2)
    return [sample_earthquake(rng) for _ in range(1200)]


@pytest.fixture(scope="module")
def held_out_sample() -> list[Earthquake]:
    rng = np.random.default_rng(3)
    return [sample_earthquake(rng, held_out=True) for _ in range(300)]


def great_circle_deg(earthquake: Earthquake) -> float:
    """Haversine on a sphere, written apart from the code under test."""
    a, b = np.radians([earthquake.latitude_deg, earthquake.station_latitude_deg])
    turn = np.radians(earthquake.longitude_deg - earthquake.station_longitude_deg)
    half = np.sin((a - b) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin(turn / 2) ** 2
    return float(np.degrees(2 * np.arcsin(np.sqrt(half))))


@pytest.mark.parametrize(
    ("magnitude", "expected"),
    [(4.0, "light"), (4.9, "light"), (5.0, "moderate"), (6.9, "strong"), (7.0, "major"), (9.1, "major")],
)
def test_magnitude_classes(magnitude, expected):
    assert magnitude_class(magnitude) == expected


@pytest.mark.parametrize(
    ("depth_km", "expected"),
    [
        (0, "shallow"),
        (69.9, "shallow"),
        (70, "intermediate"),
        (299, "intermediate"),
        (300, "deep"),
        (700, "deep"),
    ],
)
def test_depth_classes(depth_km, expected):
    assert depth_class(depth_km) == expected


def test_what_has_no_class_is_refused():
    with pytest.raises(ValueError, match=r"magnitude 3\.9: classes are defined from 4\.0"):
        magnitude_class(3.9)
    with pytest.raises(ValueError, match=r"depth 29000\.0 km: .*QuakeML gives metres"):
        depth_class(29000.0)
    with pytest.raises(ValueError, match="latitude 95"):
        region_name(95.0, 0.0)


def test_regions_are_forty_flinn_engdahl_names():
    assert len(REGIONS) == len(set(REGIONS)) == 40
    assert len(HELD_OUT_REGIONS) == 8 and set(HELD_OUT_REGIONS) <= set(REGIONS)
    assert set(REGIONS) <= {name.title() for name in FlinnEngdahl().names}


def test_epicentres_lie_in_their_regions(sample, held_out_sample):
    names = FlinnEngdahl()
    for earthquake in sample[:200] + held_out_sample[:100]:
        assert (
            names.get_region(earthquake.longitude_deg, earthquake.latitude_deg).title() == earthquake.region
        )


def test_held_out_regions_are_kept_apart(sample, held_out_sample):
    assert {earthquake.region for earthquake in sample} == set(REGIONS) - set(HELD_OUT_REGIONS)
    assert {earthquake.region for earthquake in held_out_sample} == set(HELD_OUT_REGIONS)


def test_held_out_regions_are_spread_over_the_globe(held_out_sample):
    longitudes = np.array([earthquake.longitude_deg for earthquake in held_out_sample])
    latitudes = np.array([earthquake.latitude_deg for earthquake in held_out_sample])
    assert len(set((longitudes // 60).tolist())) >= 5
    assert latitudes.min() < -15 and latitudes.max() > 50


def test_classes_are_balanced_and_independent(sample):
    table = np.zeros((len(MAGNITUDE_CLASSES), len(DEPTH_CLASSES)))
    for earthquake in sample:
        row = MAGNITUDE_CLASSES.index(magnitude_class(earthquake.magnitude))
        table[row, DEPTH_CLASSES.index(depth_class(earthquake.depth_km))] += 1
    assert chisquare(table.sum(axis=0)).pvalue > 1e-3
    assert chisquare(table.sum(axis=1)).pvalue > 1e-3
    assert chi2_contingency(table).pvalue > 1e-3
    assert chisquare([sum(e.region == name for e in sample) for name in REGIONS[:-8]]).pvalue > 1e-3


def test_distances_are_in_range_and_spread(sample):
    distances = np.array([earthquake.distance_deg for earthquake in sample])
    assert distances.min() >= MINIMUM_DISTANCE_DEG and distances.max() <= MAXIMUM_DISTANCE_DEG
    shares = np.histogram(distances, 8, (10.0, 90.0))[0] / len(distances)
    assert shares.min() > 0.06 and shares.max() < 0.2
    assert distances == pytest.approx([great_circle_deg(earthquake) for earthquake in sample], abs=0.4)


def test_every_station_is_used_and_known(sample, held_out_sample):
    used = {(e.station_latitude_deg, e.station_longitude_deg) for e in sample + held_out_sample}
    assert used == set(STATIONS.values())


def test_values_have_the_stated_digits(sample):
    for earthquake in sample[:200]:
        assert round(earthquake.latitude_deg, 2) == earthquake.latitude_deg
        assert round(earthquake.magnitude, 1) == earthquake.magnitude
        assert earthquake.depth_km == int(earthquake.depth_km)


def test_same_seed_same_earthquakes(sample):
    rng = np.random.default_rng(2)
    assert [sample_earthquake(rng) for _ in range(20)] == sample[:20]


def test_locate_against_hand_values():
    """A quarter of the way up a meridian, 30 degrees: 3,320.11 km on WGS84, 29.858 degrees of 111.195 km."""
    north = locate(0.0, 20.0, 100.0, 5.0, 30.0, 20.0)
    assert north.distance_deg == pytest.approx(3320.113 / 111.19493, abs=1e-4)
    assert north.back_azimuth_deg == pytest.approx(180.0)
    east = locate(0.0, 0.0, 100.0, 5.0, 0.0, 40.0)
    assert east.back_azimuth_deg == pytest.approx(270.0)
    assert replace(north, station_latitude_deg=1.0) != north


def test_locate_refuses_what_a_card_cannot_show():
    with pytest.raises(ValueError, match="travel-time table covers 5 to 95 degrees"):
        locate(0.0, 0.0, 10.0, 5.0, 0.0, 1.0)
    with pytest.raises(ValueError, match="depth 900"):
        locate(0.0, 0.0, 900.0, 5.0, 0.0, 40.0)
    with pytest.raises(ValueError, match=r"magnitude 2\.0"):
        locate(0.0, 0.0, 10.0, 2.0, 0.0, 40.0)


def test_facts_survive_json(sample):
    for earthquake in sample[:20]:
        assert Earthquake(**json.loads(json.dumps(earthquake_facts(earthquake)))) == earthquake
