"""How measures, estimates and conditions are written: units, signs, and every form of a condition."""

import pytest

from barnlib.analyses.evidence import CLAIMS, Evidence
from barnlib.analyses.measures import MEASURES, TOGETHER, estimate_text, joint, measure_words, worded
from barnlib.data.records import TASKS
from barnlib.parameters import load_study
from barnlib.study import Condition

STUDY = load_study("nano")


def estimate(measure: str, value: float | None, half: float = 0.0, note: str = "") -> Evidence:
    ends = (None, None) if value is None else (value - half, value + half)
    return Evidence(
        claim="C1",
        measure=measure,
        a="a",
        b="b",
        estimate=value,
        low=ends[0],
        high=ends[1],
        test="made up",
        n=9,
        seeds=3,
        note=note,
    )


def condition(measure: str, of: str, which: str = "every", **more: object) -> str:
    plain = {"side": "above", "threshold": 0.0, "tasks": ()}
    return worded(Condition(**{**plain, "measure": measure, "of": of, "which": which, **more}))


def test_every_rule_names_a_measure_that_has_words() -> None:
    for claim in CLAIMS:
        for one in getattr(STUDY.verdicts, claim):
            assert one.measure in MEASURES
            assert set(one.tasks) <= set(TASKS)
            assert worded(one).count("lies") == 1
    assert set(MEASURES) >= TOGETHER


def test_a_measure_without_words_is_called_by_its_name() -> None:
    assert measure_words("gain_vqa_scene") == "gain in scene questions"
    assert measure_words("not_known_here") == "not known here"


def test_what_two_backbones_share_is_no_difference() -> None:
    assert joint("phi_stratified") == "and" and joint("accuracy_difference") == "→"
    told = condition("phi_stratified", "newest_less_older", tasks=("vqa_scene",))
    assert "between the newest backbone and each older one, on VQA-Scene," in told and "less" not in told


@pytest.mark.parametrize(
    ("measure", "value", "half", "expected"),
    [
        ("accuracy_difference", 0.04, 0.028, "+4.0 points (+1.2 to +6.8)"),
        ("coordinate_accuracy", 0.765, 0.02, "76.5 % (74.5 to 78.5)"),
        ("phi_stratified", -0.1234, 0.1, "−0.12 (−0.22 to −0.02)"),
        ("accuracy_difference", -0.0001, 0.01, "0.0 points (−1.0 to +1.0)"),
        ("displacement_noise", -0.004, 0.003, "−0.004 (−0.007 to −0.001)"),
        ("not_known_here", 0.5, 0.1, "+0.50 (+0.40 to +0.60)"),
    ],
)
def test_numbers_are_written_as_their_measure_asks(
    measure: str, value: float, half: float, expected: str
) -> None:
    assert estimate_text(estimate(measure, value, half)) == expected


def test_an_estimate_that_does_not_exist_says_why() -> None:
    assert estimate_text(estimate("phi_pooled", None, note="all right")) == "no estimate (all right)"


@pytest.mark.parametrize(
    ("measure", "of", "which", "more", "expected"),
    [
        (
            "accuracy_difference",
            "every_pair",
            "every",
            {"threshold": 0.02},
            "every difference in score, a newer backbone less an older one, lies above 2 points",
        ),
        (
            "accuracy_difference",
            "every_pair",
            "some",
            {"side": "below", "threshold": -0.005},
            "at least one difference in score, a newer backbone less an older one, lies below -0.5 points",
        ),
        (
            "coordinate_accuracy",
            "older",
            "every",
            {"threshold": 0.5, "side": "below"},
            "the share of coordinates within tolerance, of each older backbone, lies below 50 %",
        ),
        (
            "coordinate_accuracy",
            "older",
            "some",
            {"threshold": 0.5},
            "at least one share of coordinates within tolerance, of each older backbone, lies above 50 %",
        ),
        (
            "coordinate_accuracy",
            "newest",
            "every",
            {"threshold": 0.5},
            "the share of coordinates within tolerance, of the newest backbone, lies above 50 %",
        ),
        (
            "gain_description",
            "newest_less_oldest",
            "every",
            {"tasks": TASKS[:2]},
            "every gain in descriptions, the newest backbone less the oldest, on VQA-Scene or "
            "Seismic text description, lies above 0 points",
        ),
        (
            "drift_difference",
            "newest_less_older",
            "every",
            {"threshold": 0.25},
            "every difference in drift by finetuning, the newest backbone less each older one, lies above 0.25",
        ),
        (
            "phi_pooled",
            "every_pair",
            "every",
            {"side": "below", "tasks": TASKS[:1]},
            "every correlation (phi) of right answers, pooled, between two backbones, on VQA-Scene, lies below 0",
        ),
        (
            "phi_pooled",
            "newest_less_oldest",
            "some",
            {},
            "the correlation (phi) of right answers, pooled, between the newest backbone and the oldest, lies above 0",
        ),
    ],
)
def test_conditions_in_words(measure: str, of: str, which: str, more: dict, expected: str) -> None:
    assert condition(measure, of, which, **more) == expected
