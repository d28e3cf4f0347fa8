"""Seismic coordinate prediction: the epicentre as JSON, its form, and a tolerance in kilometres."""

import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.answers import coordinate_stage
from barnlib.data.descriptions import write_coordinates
from barnlib.data.pictures import generator
from barnlib.tasks.seismic_coordinates import FORM, TASK
from tests.small_card import FACTS

TENTHS = {"latitude": st.integers(-900, 900), "longitude": st.integers(-1800, 1800)}


def rng() -> np.random.Generator:
    return generator("test of coordinates")


@settings(deadline=None)
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_answer_that_is_written_has_the_form(latitude, longitude):
    text = write_coordinates(latitude, longitude)
    assert re.fullmatch(FORM, text) and coordinate_stage(text)[0] == "range"


@settings(deadline=None)
@given(**TENTHS)
def test_the_form_holds_every_tenth_of_a_degree_on_earth(latitude, longitude):
    text = f'{{"latitude": {latitude / 10:.1f}, "longitude": {longitude / 10:.1f}}}'
    assert re.fullmatch(FORM, text)


@settings(deadline=None)
@given(st.from_regex(FORM, fullmatch=True))
def test_whatever_has_the_form_is_a_place_on_earth(text):
    place = json.loads(text)
    assert list(place) == ["latitude", "longitude"]
    assert abs(place["latitude"]) <= 90 and abs(place["longitude"]) <= 180
    assert coordinate_stage(text)[0] == "range"


@pytest.mark.parametrize(
    "text",
    [
        '{"latitude": 90.1, "longitude": 5.5}',
        '{"latitude": 5.5, "longitude": 180.1}',
        '{"latitude": 9.5, "longitude": -180.5}',
        '{"latitude": 05.5, "longitude": 5.5}',
        '{"latitude": 5.5, "longitude": 005.5}',
        '{"latitude": 5, "longitude": 5.5}',
        '{"latitude": 5.55, "longitude": 5.5}',
        '{"latitude": +5.5, "longitude": 5.5}',
        '{"longitude": 5.5, "latitude": 5.5}',
        '{"latitude":5.5,"longitude":5.5}',
        '{"latitude": 5.5, "longitude": 5.5} ',
        "in Fiji",
        "",
    ],
)
def test_anything_else_has_not(text):
    assert not re.fullmatch(FORM, text)


def test_one_question_asks_for_the_place():
    question = TASK.ask(FACTS, rng(), 1)["coordinates"]
    assert (question.question_type, question.difficulty, question.choices) == ("coordinates", "hard", ())
    assert question.answer == '{"latitude": 28.2, "longitude": 84.7}'
    assert question.facts == {"latitude": 28.23, "longitude": 84.73}, (
        "scored against the place, not its rounding"
    )


def test_wordings_are_all_used_and_ask_for_json():
    drawn = rng()
    questions = {TASK.ask(FACTS, drawn, 1)["coordinates"].question for _ in range(60)}
    assert questions == set(TASK.wordings(FACTS)) and len(questions) == 4
    assert all("JSON" in question for question in questions)


@pytest.mark.parametrize(("tolerance_km", "right"), [(111.0, False), (111.4, True)])
def test_an_answer_is_right_within_the_tolerance(tolerance_km, right):
    """One degree along a meridian of a sphere of 6,371 km is 111.19 km."""
    facts = {"latitude": 28.0, "longitude": 84.7}
    found = TASK.score('{"latitude": 29.0, "longitude": 84.7}', facts, "not looked at", tolerance_km)
    assert (found.correct, found.score) == (right, float(right))
    assert found.details["error_km"] == pytest.approx(np.pi * 6371 / 180)


def test_facts_without_a_place_are_refused():
    with pytest.raises(
        ValueError, match="coordinates are scored with latitude and longitude; the facts are depth"
    ):
        TASK.score("", {"depth": 1.0}, "", 1.0)


def test_a_form_is_asked_of_a_card():
    assert (TASK.kind, TASK.form) == ("card", FORM)
