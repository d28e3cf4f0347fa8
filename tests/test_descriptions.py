"""Texts of the seismic tasks: every fact once, closed words, one number format, round trips."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data import descriptions
from barnlib.data.answers import extract_facts, find_facts, parse_coordinates
from barnlib.data.descriptions import (
    FACTS,
    card_caption,
    coarse_place,
    coordinate_questions,
    description_facts,
    description_questions,
    write_coordinates,
    write_description,
)
from barnlib.data.earthquakes import DEPTH_CLASSES, MAGNITUDE_CLASSES, REGIONS, Earthquake

TOHOKU = Earthquake(
    latitude_deg=38.3,
    longitude_deg=142.4,
    depth_km=29.0,
    magnitude=6.1,
    station_latitude_deg=51.68,
    station_longitude_deg=103.64,
    region="Near East Coast Of Honshu, Japan",
    distance_deg=30.1,
    back_azimuth_deg=100.0,
    p_time_s=366.6,
    s_time_s=661.0,
)

facts_strategy = st.fixed_dictionaries(
    {
        "magnitude_class": st.sampled_from(MAGNITUDE_CLASSES),
        "depth_class": st.sampled_from(DEPTH_CLASSES),
        "region": st.sampled_from(REGIONS),
        "distance_deg": st.integers(10, 90),
        "p_time_s": st.integers(10, 160).map(lambda tens: 10 * tens),
        "s_minus_p_s": st.integers(8, 130).map(lambda tens: 10 * tens),
    }
)
seeds = st.integers(0, 2**32 - 1)


def test_facts_are_rounded_as_they_are_written() -> None:
    assert description_facts(TOHOKU) == {
        "magnitude_class": "strong",
        "depth_class": "shallow",
        "region": "Near East Coast Of Honshu, Japan",
        "distance_deg": 30,
        "p_time_s": 370,
        "s_minus_p_s": 290,
    }


@given(facts_strategy, seeds)
@settings(max_examples=300, deadline=None)
def test_a_description_reads_back_as_its_facts(facts: dict, seed: int) -> None:
    text = write_description(facts, np.random.default_rng(seed))
    assert extract_facts(text) == facts
    assert set(find_facts(text)) == set(FACTS)
    assert 25 <= len(text.split()) <= 45
    assert not re.search(r"\ba [aeio]", text)
    assert text.count(facts["region"].rstrip(".")) == 1
    assert sorted(re.findall(r"\d+", text)) == sorted(str(facts[name]) for name in FACTS[3:])


@given(facts_strategy, seeds)
@settings(max_examples=100, deadline=None)
def test_every_number_of_a_description_has_its_unit(facts: dict, seed: int) -> None:
    text = write_description(facts, np.random.default_rng(seed))
    assert len(re.findall(r"\d+ (?:degrees|seconds)\b", text)) == 3
    assert ".." not in text and "{" not in text


def test_the_wording_varies_and_the_vocabulary_is_small() -> None:
    rng = np.random.default_rng(0)
    facts = description_facts(TOHOKU)
    texts = {write_description(facts, rng) for _ in range(2000)}
    assert len(texts) > 600  # of 720
    words = {word.strip(".,") for text in texts for word in text.split()} - {
        str(value) for value in facts.values()
    }
    assert len(words) < 70
    patterns = [descriptions.SOURCE_SENTENCES, descriptions.DISTANCE_SENTENCES, descriptions.TIME_SENTENCES]
    assert sum(map(len, patterns)) >= 12
    assert len({description_questions(rng) for _ in range(200)}) >= 4
    assert len({coordinate_questions(rng) for _ in range(200)}) >= 4


def test_the_same_seed_writes_the_same_text() -> None:
    facts = description_facts(TOHOKU)
    first, second = (write_description(facts, np.random.default_rng(5)) for _ in range(2))
    assert first == second
    first, second = (card_caption(TOHOKU, np.random.default_rng(5)) for _ in range(2))
    assert first == second


def test_a_missing_fact_is_named() -> None:
    facts = description_facts(TOHOKU)
    del facts["region"]
    with pytest.raises(ValueError, match="missing: region"):
        write_description(facts, np.random.default_rng(0))


def test_coordinates_have_one_decimal_and_no_minus_zero() -> None:
    assert write_coordinates(-12.44, 143.86) == '{"latitude": -12.4, "longitude": 143.9}'
    assert write_coordinates(-0.04, 359.97) == '{"latitude": 0.0, "longitude": 0.0}'
    assert write_coordinates(90, 180) == '{"latitude": 90.0, "longitude": 180.0}'
    assert write_coordinates(1, 330) == '{"latitude": 1.0, "longitude": -30.0}'


@given(st.floats(-90, 90), st.floats(-180, 330))
@settings(max_examples=200, deadline=None)
def test_coordinates_read_back_within_their_rounding(latitude: float, longitude: float) -> None:
    text = write_coordinates(latitude, longitude)
    read = parse_coordinates(text)
    assert read is not None and list(json.loads(text)) == ["latitude", "longitude"]
    assert abs(read[0] - latitude) <= 0.0501
    assert abs((read[1] - longitude + 180) % 360 - 180) <= 0.0501


def test_impossible_coordinates_are_refused() -> None:
    with pytest.raises(ValueError, match=r"-90 to 90 degrees, not 91"):
        write_coordinates(91, 0)
    with pytest.raises(ValueError, match="-90 to 90"):
        write_coordinates(float("nan"), 0)
    with pytest.raises(ValueError, match="finite number of degrees, not inf"):
        write_coordinates(0, float("inf"))


@pytest.mark.parametrize(
    ("latitude", "longitude", "expected"),
    [
        (60, -150, ("far north", "east", "top right")),
        (38.3, 142.4, ("north", "middle", "top")),
        (0, 0, ("middle", "far west", "left")),
        (-20, 165, ("south", "middle", "centre")),
        (-60, -27, ("far south", "far west", "bottom left")),
        (-60, -31, ("far south", "far east", "bottom right")),
        (0, 180, ("middle", "middle", "centre")),
        (0, -180, ("middle", "middle", "centre")),
        (90, 329.9, ("far north", "far east", "top right")),
    ],
)
def test_coarse_words_follow_the_map(
    latitude: float, longitude: float, expected: tuple[str, str, str]
) -> None:
    assert tuple(coarse_place(latitude, longitude).values()) == expected


@given(seeds, st.sampled_from(REGIONS), st.floats(-84, 84), st.floats(-180, 180))
@settings(max_examples=200, deadline=None)
def test_a_caption_agrees_with_the_earthquake(
    seed: int, region: str, latitude: float, longitude: float
) -> None:
    fields = {**vars(TOHOKU), "region": region, "latitude_deg": latitude, "longitude_deg": longitude}
    earthquake = Earthquake(**fields)
    text = card_caption(earthquake, np.random.default_rng(seed))
    assert 35 <= len(text.split()) <= 46
    truth = description_facts(earthquake)
    read = extract_facts(text)
    assert read.items() <= truth.items()
    assert set(FACTS) - {"distance_deg"} <= set(read)
    written = json.loads(write_coordinates(latitude, longitude))
    assert f"latitude {written['latitude']:.1f}, longitude {written['longitude']:.1f}" in text
    assert all(word in text for word in coarse_place(latitude, longitude).values())
