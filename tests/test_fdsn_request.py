"""What ``earthquakes.yaml`` may ask for, what stands where it says nothing, and how each fault is named."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime
from obspy.clients.fdsn.header import URL_MAPPINGS

from barnlib.data.fdsn_request import EventRequest, Request, StationRequest
from barnlib.strict import parse
from tests.fdsn_example import example

FILE = Path("march/earthquakes.yaml")


def read(**changes) -> Request:
    return parse(Request, FILE, example(**changes))


def spans(**days) -> dict:
    """Splits from (start, end)."""
    return {name: dict(zip(("start", "end"), span, strict=True)) for name, span in days.items()}


def test_the_pages_example_is_read_as_it_says():
    request = read()
    assert request.events == EventRequest(data_centre="USGS", min_magnitude=6.0)
    assert request.stations == StationRequest(data_centre="EARTHSCOPE", networks=("IU", "II"))
    assert {name: (span.begins, span.ends) for name, span in request.splits.items()} == {
        "train": (UTCDateTime(2011, 3, 1), UTCDateTime(2011, 3, 18)),
        "validation": (UTCDateTime(2011, 3, 18), UTCDateTime(2011, 3, 21)),
        "test": (UTCDateTime(2011, 3, 21), UTCDateTime(2011, 4, 1)),
    }
    assert request.held_out_regions == ("Near Coast Of Northern Chile",)
    assert (request.image_size, request.most_per_class, request.contact) == (96, 100, "you@example.org")


def test_its_data_centres_are_ones_that_obspy_knows():
    request = read()
    assert {request.events.data_centre, request.stations.data_centre} <= URL_MAPPINGS.keys()


def test_what_is_not_said_is_polite_and_open():
    """A second between answers; three tries; metres, as QuakeML has them."""
    request = read(contact=None, most_per_class=None, held_out_regions=None)
    assert (request.pause_s, request.contact) == (1.0, "")
    assert request.events.depth_unit == "m" and request.events.max_magnitude is None
    wanted = request.stations
    assert (wanted.stations, wanted.leave_out, wanted.tries) == (("*",), (), 3)
    assert (wanted.locations, wanted.bands) == (("00", "10", ""), ("BH", "HH"))
    assert wanted.components == "ZNE"
    assert request.most_per_class is None and request.held_out_regions == ()


@settings(deadline=None)
@given(
    st.permutations(["train", "validation", "test"]), st.lists(st.integers(0, 9999), min_size=6, unique=True)
)
def test_it_begins_with_the_first_split_and_ends_with_the_last_in_whatever_order_they_stand(names, days):
    """Spans from neighbouring pairs of sorted days do not overlap."""
    first = UTCDateTime("1990-01-01")
    bounds = [first + 86400 * day for day in sorted(days)[:6]]
    pairs = zip(bounds[::2], bounds[1::2], strict=True)
    splits = {name: {"start": str(a), "end": str(b)} for name, (a, b) in zip(names, pairs, strict=True)}
    request = read(splits=dict(sorted(splits.items())))
    assert (request.begins, request.ends) == (bounds[0], bounds[5])


@pytest.mark.parametrize(
    "changes",
    [
        {"pause_s": 0.0},
        {"events__min_magnitude": 4.0, "events__max_magnitude": 9.9},
        {"events__depth_unit": "km"},
        {"stations__networks": ["I?", "*", "A-B"], "stations__stations": ["ANMO", "T*"]},
        {"stations__components": "Z", "stations__locations": [""], "stations__bands": ["LH"]},
        {"stations__tries": 1, "stations__leave_out": ["IU.ANMO"]},
        {"splits": spans(test=("2011-03-11T05:46:24", "2011-03-11T05:46:25"))},
    ],
)
def test_what_may_be_asked_for_is_kept_as_it_stands(changes):
    written = read(**changes).model_dump(mode="json")
    for key, value in changes.items():
        outer, _, inner = key.rpartition("__")
        assert (written[outer] if outer else written)[inner] == value


MISSING = [
    *("name", "source", "licence", "citation", "image_size", "splits", "events", "stations"),
    *("events__data_centre", "events__min_magnitude", "stations__data_centre", "stations__networks"),
]


@pytest.mark.parametrize("key", MISSING)
def test_a_missing_key_is_named_with_its_file(key):
    with pytest.raises(ValueError, match=f"^{FILE}: key '{key.replace('__', '.')}' is missing$"):
        read(**{key: None})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"licence": ""}, "key 'licence': .*at least 1 character; found ''"),
        ({"events__data_centre": ""}, r"key 'events\.data_centre': .*at least 1 character; found ''"),
        ({"stations__data_centre": ""}, r"key 'stations\.data_centre': .*at least 1 character; found ''"),
        ({"stations__network": ["IU"]}, r"unknown key 'stations\.network'; did you mean 'networks'"),
        ({"image_size": 47}, "key 'image_size': .*greater than or equal to 48; found 47"),
        ({"most_per_class": 0}, "key 'most_per_class': .*greater than or equal to 1; found 0"),
        ({"pause_s": -0.5}, "key 'pause_s': .*greater than or equal to 0; found -0.5"),
        ({"events__min_magnitude": 3.9}, r"key 'events\.min_magnitude': .*than or equal to 4; found 3\.9"),
        ({"events__min_magnitude": 10}, r"key 'events\.min_magnitude': .*less than 10; found 10"),
        ({"events__min_magnitude": "6"}, r"key 'events\.min_magnitude': .*valid number; found '6'"),
        ({"events__max_magnitude": 3.9}, r"key 'events\.max_magnitude': .*than or equal to 4; found 3\.9"),
        ({"events__max_magnitude": 10.0}, r"key 'events\.max_magnitude': .*less than 10; found 10\.0"),
        (
            {"events__min_magnitude": 7.0, "events__max_magnitude": 6.0},
            r"events.*max_magnitude 6\.0 is below min_magnitude 7\.0",
        ),
        ({"events__depth_unit": "cm"}, r"key 'events\.depth_unit': .*'m' or 'km'; found 'cm'"),
        ({"stations__networks": []}, r"key 'stations\.networks': .*at least 1 item"),
        ({"stations__networks": "IU"}, r"key 'stations\.networks': .*found 'IU'"),
        ({"stations__networks": ["IU", "I U;"]}, r"key 'stations\.networks\.1': .*; found 'I U;'"),
        ({"stations__stations": []}, r"key 'stations\.stations': .*at least 1 item"),
        ({"stations__stations": ["TLY", "ANMO,TLY"]}, r"key 'stations\.stations\.1': .*; found 'ANMO,TLY'"),
        (
            {"stations__stations": ["TLY", "LONGERTHAN8"]},
            r"key 'stations\.stations\.1': .*; found 'LONGERTHAN8'",
        ),
        ({"stations__locations": []}, r"key 'stations\.locations': .*at least 1 item"),
        ({"stations__bands": []}, r"key 'stations\.bands': .*at least 1 item"),
        ({"stations__bands": ["BH", "BHZ"]}, r"key 'stations\.bands\.1': .*; found 'BHZ'"),
        ({"stations__bands": ["BH", "bh"]}, r"key 'stations\.bands\.1': .*; found 'bh'"),
        ({"stations__components": "ZN"}, r"key 'stations\.components': .*'ZNE' or 'Z'; found 'ZN'"),
        ({"stations__tries": 0}, r"key 'stations\.tries': .*greater than or equal to 1; found 0"),
        ({"held_out_regions": ["Nepal", "Atlantis"]}, "'Atlantis' is no Flinn-Engdahl region"),
        ({"held_out_regions": ["NEPAL"]}, "'NEPAL' is no Flinn-Engdahl region as ObsPy writes it, in title"),
        ({"splits": {}}, "expected splits among train, validation, test, found none"),
        (
            {"splits": spans(heldout=("2011-01-01", "2012-01-01"))},
            "found 'heldout'; heldout is filled from held_out_regions",
        ),
        (
            {"splits": spans(test=("soon", "2012-01-01"))},
            r"key 'splits\.test\.start': .*expected a date, or a",
        ),
        (
            {"splits": spans(test=("2012-01-01", "2011-01-01"))},
            "end 2011-01-01 is not after start 2012-01-01",
        ),
        (
            {"splits": spans(test=("2012-01-01", "2012-01-01"))},
            "end 2012-01-01 is not after start 2012-01-01",
        ),
        (
            {"splits": spans(train=("2011-03-01", "2011-03-21"), test=("2011-03-20T12:00:00", "2011-04-01"))},
            "train ends at 2011-03-21, after test has begun at 2011-03-20T12:00:00: an earthquake between",
        ),
    ],
)
def test_a_fault_is_named_with_its_file_its_key_and_what_was_found(changes, message):
    with pytest.raises(ValueError, match=rf"^{FILE}: .*{message}") as raised:
        read(**changes)
    assert len(str(raised.value).splitlines()) == 1
