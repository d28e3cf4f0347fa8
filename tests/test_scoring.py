"""Scores worked out by hand, at the edges of every tolerance."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.descriptions import FACTS, write_coordinates, write_description
from barnlib.data.records import TASKS
from barnlib.scoring import LADDER, RELATIVE_TOLERANCE, fact_is_right, normalise
from barnlib.tasks.registry import score

TRUTH = {
    "magnitude_class": "strong",
    "depth_class": "deep",
    "region": "Banda Sea",
    "distance_deg": 58,
    "p_time_s": 590,
    "s_minus_p_s": 480,
}
PLACE = {"latitude": -6.0, "longitude": 128.0}


def judge(task: str, answer: str, facts: dict, reference: str = ""):
    return score(task, answer, facts, reference, tolerance_km=1000.0)


@pytest.mark.parametrize(
    ("answer", "reference", "correct", "verbatim"),
    [
        ("red", "red", True, True),
        (" red\n", "red", True, True),
        ("Red.", "red", True, False),
        ("the red", "red", True, False),
        ("two", "2", True, False),
        ("none", "0", True, False),
        ("top-left", "top left", True, False),
        ("red circle", "red", False, False),
        ("redd", "red", False, False),
        ("", "red", False, False),
    ],
)
def test_scene_answers(answer: str, reference: str, correct: bool, verbatim: bool) -> None:
    result = judge("vqa_scene", answer, {}, reference)
    assert (result.correct, result.score, result.details["verbatim"]) == (correct, float(correct), verbatim)
    assert (result.parsed is None) == (answer == "")


@given(st.text(max_size=40))
@settings(deadline=None)
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize("seed", range(5))
def test_the_reference_description_is_perfect(seed: int) -> None:
    result = judge("seismic_description", write_description(TRUTH, np.random.default_rng(seed)), TRUTH)
    assert (result.score, result.correct, result.parsed) == (1.0, True, TRUTH)
    assert set(result.details["verdicts"].values()) == {"right"}


def test_description_by_hand() -> None:
    answer = (
        "A light deep earthquake in Banda Sea. It is 58 degrees away. P at 700 seconds, P at 710 seconds."
    )
    result = judge("seismic_description", answer, TRUTH)
    assert result.details["verdicts"] == {
        "magnitude_class": "wrong",
        "depth_class": "right",
        "region": "right",
        "distance_deg": "right",
        "p_time_s": "contradiction",
        "s_minus_p_s": "missing",
    }
    assert result.details["precision"] == pytest.approx(3 / 5)
    assert result.details["recall"] == pytest.approx(3 / 6)
    assert result.score == pytest.approx(2 * 0.6 * 0.5 / (0.6 + 0.5))
    assert not result.correct
    assert result.parsed is not None and result.parsed["p_time_s"] == [700, 710]


def test_nothing_read_scores_nothing() -> None:
    result = judge("seismic_description", "", TRUTH)
    assert (result.score, result.correct, result.parsed, result.details["precision"]) == (
        0.0,
        False,
        None,
        0.0,
    )


def test_naming_every_region_does_not_pay() -> None:
    assert judge("seismic_description", "Banda Sea Turkey Nepal Hawaii", TRUTH).score == 0


@pytest.mark.parametrize("region", ["Off Coast Of Costa Rica", "South Of Fiji Islands"])
def test_another_region_of_the_earth_is_wrong_not_missing_or_right(region: str) -> None:
    truth = {**TRUTH, "region": "Costa Rica"}
    answer = write_description({**truth, "region": region}, np.random.default_rng(0))
    result = judge("seismic_description", answer, truth)
    assert result.details["verdicts"]["region"] == "wrong"
    assert result.score == pytest.approx(2 * 5 / (6 + 6))


def test_a_region_outside_the_list_is_known_from_the_truth() -> None:
    truth = {**TRUTH, "region": "Near East Coast Of Honshu, Japan"}
    answer = write_description(truth, np.random.default_rng(0))
    assert judge("seismic_description", answer, truth).correct


@pytest.mark.parametrize(
    ("name", "value", "truth", "right"),
    [
        ("p_time_s", 649, 590, True),
        ("p_time_s", 650, 590, False),
        ("s_minus_p_s", 552, 480, True),
        ("s_minus_p_s", 553, 480, False),
        ("distance_deg", 63.8, 58, True),
        ("distance_deg", 52, 58, False),
        ("distance_deg", 5, 4, True),
        ("distance_deg", 5.1, 4, False),
        ("region", "Banda Sea", "Banda Sea", True),
        ("depth_class", "deep", "shallow", False),
    ],
)
def test_tolerances(name: str, value: object, truth: object, right: bool) -> None:
    assert fact_is_right(name, value, truth) == right
    assert set(RELATIVE_TOLERANCE) <= set(FACTS)


@pytest.mark.parametrize(
    ("answer", "stage", "correct"),
    [
        ("in the Banda Sea", "text", False),
        ("-6, 128", "text", False),
        ('{"latitude": -6.0}', "json", False),
        ('{"latitude": -6.0, "longitude": 328.0}', "schema", False),
        ('{"latitude": 6.0, "longitude": 128.0}', "range", False),
        ('{"latitude": -6.0, "longitude": 136.0}', "distance", True),
    ],
)
def test_coordinates(answer: str, stage: str, correct: bool) -> None:
    result = judge("seismic_coordinates", answer, PLACE)
    assert (result.details["stage"], result.correct, result.score) == (stage, correct, float(correct))
    assert stage in LADDER
    assert math.isnan(result.details["error_km"]) == (result.parsed is None)


def test_the_error_is_the_great_circle_and_lenient_reading_is_reported() -> None:
    result = judge("seismic_coordinates", '{"latitude": 4.0, "longitude": 128.0}', PLACE)
    assert result.details["error_km"] == pytest.approx(math.radians(10) * 6371)
    assert result.parsed == {"latitude": 4.0, "longitude": 128.0}
    loose = judge("seismic_coordinates", "4.0 and 128.0", PLACE)
    assert loose.details["lenient_error_km"] == pytest.approx(math.radians(10) * 6371)
    assert math.isnan(judge("seismic_coordinates", "nowhere", PLACE).details["lenient_error_km"])


def test_the_tolerance_is_the_study_s() -> None:
    answer = write_coordinates(-4.0, 128.0)  # 222 km off
    assert score("seismic_coordinates", answer, PLACE, "", tolerance_km=250).correct
    assert not score("seismic_coordinates", answer, PLACE, "", tolerance_km=200).correct


@pytest.mark.parametrize(
    ("answer", "agree", "worth", "correct"),
    [
        ("barn", 4, 1.0, True),
        ("A barn.", 4, 1.0, True),
        ("silo", 3, 0.9, True),
        ("shed", 2, 0.6, False),
        ("yard", 1, 0.3, False),
        ("", 0, 0.0, False),
    ],
)
def test_ten_people_are_asked_where_they_answered(
    answer: str, agree: int, worth: float, correct: bool
) -> None:
    """By hand: with n of ten who agree, n averages see n - 1 others and the rest n, each worth a third up to 1."""
    people = ["barn"] * 4 + ["silo"] * 3 + ["shed"] * 2 + ["yard"]
    result = judge("vqa_scene", answer, {"answers": people}, "barn")
    assert result.score == pytest.approx(worth) and result.correct is correct
    assert result.details == {"agree": agree}
    assert (result.parsed is None) == (not answer)


def test_the_reference_plays_no_part_beside_the_ten() -> None:
    assert judge("vqa_scene", "silo", {"answers": ["silo"] * 10}, "barn").score == 1.0
    assert judge("vqa_scene", "two", {"answers": ["2"] * 10}, "2").score == 0.0, "the official form, not ours"
    assert judge("vqa_scene", "two", {}, "2").score == 1.0


@given(st.sampled_from(TASKS), st.text(max_size=80))
@settings(deadline=None)
def test_any_answer_has_a_score_and_a_parse_that_json_can_hold(task: str, answer: str) -> None:
    result = judge(task, answer, {**TRUTH, **PLACE}, "red")
    assert 0 <= result.score <= 1
    assert result.correct <= (result.score == 1)
    json.dumps(result.parsed)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"no task 'vqa' in .*: there are vqa_scene"):
        judge("vqa", "", {})
    with pytest.raises(ValueError, match="the facts lack region"):
        judge("seismic_description", "", {name: TRUTH[name] for name in FACTS if name != "region"})
    with pytest.raises(ValueError, match="the facts are latitude"):
        judge("seismic_coordinates", "", {"latitude": 1.0})
