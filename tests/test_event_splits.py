"""Each earthquake in one split, and a reason for each that is left out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy import UTCDateTime

from barnlib.data.earthquakes import region_name
from barnlib.data.event_splits import HELD_OUT, Event, Quota, Selection, Unusable, assign

NEPAL = (28.0, 84.5)
STATED = {"name": "n", "source": "s", "licence": "l", "citation": "c", "image_size": 96}


def selection(**changes) -> Selection:
    splits = {
        "train": {"start": "2015-01-01", "end": "2015-07-01"},
        "test": {"start": "2015-07-01", "end": "2016-01-01"},
    }
    return Selection.model_validate(STATED | {"splits": splits} | changes)


def event(name, time, latitude=0.0, longitude=0.0, depth=10.0, magnitude=6.0) -> Event:
    return Event(name, UTCDateTime(time), latitude, longitude, depth, magnitude, "mww")


def test_spans_hold_their_start_and_not_their_end():
    events = [
        event(name, time, longitude=10.0 * number)
        for number, (name, time) in enumerate(
            {
                "before": "2014-12-31T23:59:59",
                "first": "2015-01-01",
                "last": "2015-06-30T23:59:59",
                "next": "2015-07-01",
                "after": "2016-01-01",
            }.items()
        )
    ]
    splits, left_out = assign(events, selection())
    assert {name: {e.id for e in listed} for name, listed in splits.items()} == {
        "train": {"first", "last"},
        "test": {"next"},
    }
    assert {e.id: e.reason for e in left_out} == dict.fromkeys(("before", "after"), "in no split's span")


def test_a_region_that_is_held_out_is_in_no_other_split():
    assert region_name(*NEPAL) == "Nepal"
    events = [event("a", "2015-04-25", *NEPAL), event("b", "2015-08-01", *NEPAL), event("c", "2015-04-26")]
    splits, _ = assign(events, selection(held_out_regions=("Nepal",)))
    assert {e.id for e in splits[HELD_OUT]} == {"a", "b"}
    assert [e.id for e in splits["train"]] == ["c"] and not splits["test"]


def test_two_splits_that_share_an_earthquake_are_refused():
    shared = [event("usgs", "2015-06-30T23:59:55"), event("emsc", "2015-07-01T00:00:05", 0.3, 0.3)]
    with pytest.raises(
        ValueError, match=r"share earthquakes: usgs \(train\) and emsc \(test\) are within 16 s"
    ):
        assign(shared, selection())
    border = region_name(28.0, 84.5), region_name(27.0, 87.9)
    assert len(set(border)) == 1  # both in Nepal: one region, so no split is shared
    edge = next(
        longitude / 10
        for longitude in range(840, 900)
        if region_name(28.5, longitude / 10) == "Nepal" and region_name(28.5, longitude / 10 + 0.1) != "Nepal"
    )
    apart = [event("a", "2015-04-25", 28.5, edge), event("b", "2015-04-25T00:00:03", 28.5, edge + 0.1)]
    with pytest.raises(ValueError, match=r"a \(heldout\) and b \(train\)"):
        assign(apart, selection(held_out_regions=("Nepal",)))


def test_one_earthquake_under_two_names_is_taken_once_and_two_are_two():
    events = [
        event("first", "2015-02-01"),
        event("again", "2015-02-01T00:00:10", 0.5, 0.5),
        event("elsewhere", "2015-02-01T00:00:12", 20.0, 0.0),
        event("aftershock", "2015-02-01T00:01:00"),
    ]
    splits, left_out = assign(events, selection())
    assert {e.id for e in splits["train"]} == {"first", "elsewhere", "aftershock"}
    assert [(e.id, e.reason, e.detail) for e in left_out] == [
        ("again", "same earthquake as another entry", "first")
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magnitude": 3.9}, "magnitude out of range"),
        ({"depth": -1.0}, "depth out of range"),
        ({"depth": 701.0}, "depth out of range"),
        ({"latitude": -85.5}, "off the map"),
        ({"longitude": 190.0}, "off the map"),
    ],
)
def test_what_a_card_cannot_show_is_left_out(changes, reason):
    splits, (left_out,) = assign([event("x", "2015-02-01", **changes)], selection())
    assert not splits["train"] and left_out.reason == reason


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 400 * 24), st.integers(-80, 80), st.integers(-180, 180)), max_size=30),
    st.randoms(),
)
def test_each_event_is_in_one_place_whatever_the_order(drawn, chance):
    """Whole hours apart, so that no two are the same earthquake unless equal in time."""
    start = UTCDateTime("2015-01-01")
    events = [
        event(f"e{number}", start + 3600 * hours, float(latitude), float(longitude))
        for number, (hours, latitude, longitude) in enumerate(drawn)
    ]
    splits, left_out = assign(events, selection(held_out_regions=("Nepal",)))
    placed = [e.id for listed in splits.values() for e in listed] + [e.id for e in left_out]
    assert sorted(placed) == sorted(e.id for e in events)
    chance.shuffle(events)
    assert assign(events, selection(held_out_regions=("Nepal",)))[0] == splits


def test_a_class_is_full_in_its_own_split_only():
    quota, one = Quota(1), event("x", "2015-02-01")
    quota.take("train", one)
    with pytest.raises(Unusable, match="class is full: train strong shallow"):
        quota.require_room("train", one)
    quota.require_room("test", one)
    quota.require_room("train", event("y", "2015-02-01", depth=100.0))
    unbounded = Quota(None)
    unbounded.take("train", one)
    unbounded.require_room("train", one)
