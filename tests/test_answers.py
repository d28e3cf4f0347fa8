"""Reading facts and coordinates from paraphrases, malformed text, noise; distances against the geodesic."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from obspy.geodetics import gps2dist_azimuth

from barnlib.data.answers import (
    contradictions,
    coordinate_stage,
    extract_facts,
    find_coordinates,
    find_facts,
    great_circle_km,
    parse_coordinates,
    stated_facts,
)
from barnlib.data.descriptions import write_description
from barnlib.data.earthquakes import REGIONS

FIJI = ("Fiji Islands", "Fiji Islands Region", "South Of Fiji Islands", "Andreanof Islands, Aleutian Is.")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("P at 590 s; S-P = 480 s", {"p_time_s": 590, "s_minus_p_s": 480}),
        ("The P-wave onset is at roughly 590 sec and S−P is 480 sec", {"p_time_s": 590, "s_minus_p_s": 480}),
        ("The first p wave came after 590.5 seconds.", {"p_time_s": 590.5}),
        (
            "590s after origin the P wave arrived, and the S wave 480s later",
            {"p_time_s": 590, "s_minus_p_s": 480},
        ),
        ("P precedes S by 480 seconds", {"s_minus_p_s": 480}),
        ("P comes 480 seconds before S", {"s_minus_p_s": 480}),
        ("S lags 480 seconds behind P, which arrives at 590 seconds", {"p_time_s": 590, "s_minus_p_s": 480}),
        ("The delay between P and S is 480 seconds.", {"s_minus_p_s": 480}),
        ("the s-p time was 480 seconds", {"s_minus_p_s": 480}),
        ("P at 590 s, S at 1,070 s", {"p_time_s": 590, "s_minus_p_s": 480}),
        ("S at 1070 seconds", {}),
        ("It lasted 590 seconds.", {}),
        ("P at minus -590 seconds", {}),
        ("an M6.4 event", {"magnitude_class": "strong"}),
        ("Mw 4.9, magnitude of 4.9", {"magnitude_class": "light"}),
        ("magnitude 2.1", {}),
        ("A STRONG and Shallow quake", {"magnitude_class": "strong", "depth_class": "shallow"}),
        ("not a strong but a major event", {"magnitude_class": "major"}),
        ("neither deep nor shallow, so intermediate", {"depth_class": "intermediate"}),
        ("at a depth of 410 km", {"depth_class": "deep"}),
        ("It was 30 km deep.", {"depth_class": "shallow"}),
        ("strongly majority deepest", {}),
        ("58° from the station", {"distance_deg": 58}),
        ("latitude 12 degrees, longitude of 40 degrees, distance 58 degrees", {"distance_deg": 58}),
        ("back azimuth is 200 degrees", {}),
        ("12 degrees south", {}),
        ("between 10-20 degrees", {}),
        ("Fiji's S wave", {}),
    ],
)
def test_paraphrases(text: str, expected: dict) -> None:
    assert extract_facts(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("in the region Fiji Islands Region.", ("Fiji Islands Region",)),
        ("in the Fiji Islands region", ("Fiji Islands",)),
        ("South of Fiji Islands", ("South Of Fiji Islands",)),
        ("SOUTH OF\n FIJI  ISLANDS", ("South Of Fiji Islands",)),
        ("Fiji Islandsx", ()),
        ("xFiji Islands", ()),
        ("region Andreanof Islands, Aleutian Is.", ("Andreanof Islands, Aleutian Is.",)),
        ("Andreanof Islands, Aleutian Is, there", ("Andreanof Islands, Aleutian Is.",)),
        ("Fiji Islands and South Of Fiji Islands", ("Fiji Islands", "South Of Fiji Islands")),
    ],
)
def test_regions(text: str, expected: tuple[str, ...]) -> None:
    assert find_facts(text, FIJI).get("region", ()) == expected


def test_a_name_that_exists_only_as_a_region_keeps_its_last_word() -> None:
    assert extract_facts("the Taiwan region", ("Taiwan Region",)) == {"region": "Taiwan Region"}
    assert extract_facts("Taiwan Region", ()) == {}


@pytest.mark.parametrize("name", REGIONS)
def test_every_region_is_found_in_a_sentence(name: str) -> None:
    assert extract_facts(f"in the region {name}, which shook") == {"region": name}


def test_a_contradiction_is_not_a_fact() -> None:
    text = "A strong deep earthquake, or a light one. P at 590 seconds. P at 600 seconds. P at 590 seconds."
    assert extract_facts(text) == {"depth_class": "deep"}
    assert contradictions(text) == {"magnitude_class": ("strong", "light"), "p_time_s": (590, 600)}


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_text_raises(text: str) -> None:
    assert isinstance(extract_facts(text), dict)
    stage, read = coordinate_stage(text)
    assert (stage == "range") == (read is not None)
    find_coordinates(text)


@pytest.mark.parametrize(
    "text", ["", "9" * 5000 + " seconds", "P at " * 3000, "1," * 3000 + " degrees", "[" * 10**5]
)
def test_long_and_odd_texts_are_quick(text: str) -> None:
    assert extract_facts(text) == {}
    assert parse_coordinates(text) is None
    assert find_coordinates(text) in (None, (1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("around Fiji", "text"),
        ('{"latitude": -12.4, "longitude": 143.9', "text"),
        ('{"latitude": -12.4, "longitude": 143.9} there', "text"),
        ("{'latitude': -12.4, 'longitude': 143.9}", "text"),
        ('{"latitude": NaN, "longitude": 143.9}', "text"),
        ('{"latitude": 012, "longitude": 143.9}', "text"),
        ("12.4", "json"),
        ("[]", "json"),
        ("{}", "json"),
        ('[["latitude", 1], ["longitude", 2]]', "json"),
        ('{"latitude": -12.4}', "json"),
        ('{"latitude": "-12.4", "longitude": 143.9}', "json"),
        ('{"latitude": true, "longitude": 143.9}', "json"),
        ('{"latitude": 1, "latitude": 2, "longitude": 3}', "json"),
        ('{"latitude": -12.4, "longitude": 143.9, "depth": 3}', "json"),
        ('{"Latitude": -12.4, "longitude": 143.9}', "json"),
        ('{"latitude": -92.4, "longitude": 143.9}', "schema"),
        ('{"latitude": -12.4, "longitude": 200.0}', "schema"),
        ('{"latitude": 1e400, "longitude": 1}', "schema"),
        (' {"longitude": 143.9,\n "latitude": -12.4}\n', "range"),
    ],
)
def test_the_ladder(text: str, stage: str) -> None:
    found, read = coordinate_stage(text)
    assert found == stage
    assert read == ((-12.4, 143.9) if stage == "range" else None) == parse_coordinates(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("latitude -12.4, longitude 143.9", (-12.4, 143.9)),
        ("12.4 S, 143.9 E", (-12.4, 143.9)),
        ("12.4°S 16.1°W", (-12.4, -16.1)),
        ("−12.4 and 200", (-12.4, -160.0)),
        ('{"latitude": -12.4, "longitude": 143.9', (-12.4, 143.9)),
        ("100, 20", None),
        ("12.4", None),
    ],
)
def test_lenient_coordinates(text: str, expected: tuple[float, float] | None) -> None:
    assert find_coordinates(text) == expected


def test_great_circle_agrees_with_the_geodesic() -> None:
    rng = np.random.default_rng(0)
    lat1, lat2 = rng.uniform(-89, 89, (2, 200))
    lon1, lon2 = rng.uniform(-180, 180, (2, 200))
    expected = [gps2dist_azimuth(*place)[0] / 1000 for place in zip(lat1, lon1, lat2, lon2, strict=True)]
    np.testing.assert_allclose(great_circle_km(lat1, lon1, lat2, lon2), expected, rtol=0.006)


def test_great_circle_by_hand() -> None:
    assert great_circle_km(0, 0, 0, 90) == pytest.approx(np.pi / 2 * 6371)
    assert great_circle_km(0, 179, 0, -179) == pytest.approx(np.radians(2) * 6371)
    assert great_circle_km(10, 20, 10, 20) == 0
    assert great_circle_km(90, 0, -90, 123) == pytest.approx(np.pi * 6371)
    assert np.isnan(great_circle_km(np.nan, 0, 0, [0, 1])).all()


@pytest.mark.parametrize(
    "region", ["East Central Pacific Ocean", "Near Coast Of Northern Chile", "Fiji Islands Region"]
)
def test_a_reference_states_its_facts_wherever_the_earthquake_was(region: str) -> None:
    """A recorded earthquake may lie in a region that no made one does, or whose name holds another's."""
    facts = {
        "magnitude_class": "strong",
        "depth_class": "deep",
        "region": region,
        "distance_deg": 27,
        "p_time_s": 340,
        "s_minus_p_s": 280,
    }
    for seed in range(5):
        assert stated_facts(write_description(facts, np.random.default_rng(seed))) == facts


def test_a_reference_that_does_not_state_every_fact_is_refused() -> None:
    with pytest.raises(ValueError, match="does not state depth_class, distance_deg, p_time_s, s_minus_p_s"):
        stated_facts("A strong earthquake in the Banda Sea.")
