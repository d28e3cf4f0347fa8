"""Catalogue entries that lack something, and depths in the wrong unit."""

import obspy
import pytest
from obspy import Catalog
from obspy.core.event import Magnitude, Origin

from barnlib.data.quakeml import read_catalogue, require_plausible
from barnlib.data.recorded import TOHOKU_EVENT
from tests.fdsn_server import quake


def test_depth_becomes_kilometres():
    (event,), left_out = read_catalogue(Catalog([quake("2011-03-05", 15.0, -92.0, 60e3, 6.8, "one")]), "m")
    assert (event.depth_km, event.magnitude_type, event.id) == (60.0, "mww", "quakeml:tests/one")
    assert not left_out


def test_the_preferred_origin_and_magnitude_are_taken():
    entry = quake("2011-03-05", 15.0, -92.0, 60e3, 6.8, "one")
    entry.origins.append(Origin(time=entry.origins[0].time, latitude=16.0, longitude=-93.0, depth=50e3))
    entry.magnitudes.append(Magnitude(mag=7.0))
    entry.preferred_origin_id = entry.origins[1].resource_id
    entry.preferred_magnitude_id = entry.magnitudes[1].resource_id
    ((event,), _) = read_catalogue(Catalog([entry]), "m")
    assert (event.latitude_deg, event.depth_km, event.magnitude, event.magnitude_type) == (
        16.0,
        50.0,
        7.0,
        "not stated",
    )


def test_what_is_missing_is_named():
    whole = quake("2011-03-05", 15.0, -92.0, 60e3, 6.8, "whole")
    without_origin = quake("2011-03-05", 15.0, -92.0, 60e3, 6.8, "origin")
    without_origin.origins = []
    catalog = Catalog(
        [
            whole,
            without_origin,
            quake("2011-03-05", 15.0, -92.0, None, 6.8, "depth"),
            quake("2011-03-05", 15.0, -92.0, 60e3, None, "magnitude"),
            quake("2011-03-05", 15.0, -92.0, 33.0, 6.8, "doubt"),
            quake("2011-03-05", 15.0, -92.0, 0.0, 5.6, "explosion"),
        ]
    )
    events, left_out = read_catalogue(catalog, "m")
    assert [event.id.split("/")[1] for event in events] == ["whole", "explosion"]
    assert {event.id.split("/")[1]: event.reason for event in left_out} == {
        "origin": "no origin",
        "depth": "no depth",
        "magnitude": "no magnitude",
        "doubt": "unit of depth in doubt",
    }
    assert read_catalogue(Catalog(), "m") == ((), ())


def test_obspys_own_catalogue_gives_kilometres():
    catalog = obspy.read_events(str(TOHOKU_EVENT))
    with pytest.raises(ValueError, match=r"run from 9 to 29, their median is 19: in metres.*depth_unit: km"):
        read_catalogue(catalog, "m")
    events, _ = read_catalogue(catalog, "km")
    assert sorted(event.depth_km for event in events) == [9.0, 29.0]


@pytest.mark.parametrize(
    ("depths", "unit"),
    [([10e3, 35e3, 600e3], "m"), ([10.0, 35.0, 600.0], "km"), ([], "m"), ([0.0, 0.0], "m"), ([0.0], "km")],
)
def test_plausible_depths_pass(depths, unit):
    require_plausible(depths, unit)


def test_metres_are_not_taken_for_kilometres():
    with pytest.raises(ValueError, match=r"deeper than any known; expected depth_unit: m$"):
        require_plausible([10e3, 35e3], "km")
