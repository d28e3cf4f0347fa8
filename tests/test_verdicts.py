"""Verdicts: every rule of the study on made-up evidence on both sides and in the middle; what is missing or tied."""

from itertools import product

import numpy as np
import pytest
import yaml
from scipy import stats
from statsmodels.stats.multitest import multipletests

from barnlib.analyses import verdicts
from barnlib.analyses.evidence import CLAIMS, Evidence
from barnlib.data.records import TASKS
from barnlib.parameters import study_names
from barnlib.paths import ROOT
from barnlib.study import Condition
from tests.small_evidence import MIDDLE, NEW, OLD, STUDY, evidence, row

PAIRS = [(OLD, MIDDLE), (OLD, NEW), (MIDDLE, NEW)]
REPRODUCED, NOT, UNDECIDED = "reproduced", "not reproduced", "undecided at this scale"
C4 = ("noise", "blur", "occlusion", "paraphrase")
TITLES = dict(zip(STUDY.backbones, ("old", "middle", "new"), strict=True))


def answer(claim: str, rows: list[dict], study=STUDY) -> str:
    return verdicts._verdict(study, claim, [Evidence(**one) for one in rows], TITLES).answer


def scores(values: dict[tuple[str, str, str], float], half: float = 0.01) -> list[dict]:
    """Differences in score for every task and pair; zero where no value is given, with a wide interval."""
    return [
        row(
            "accuracy_difference",
            values.get((task, a, b), 0.0),
            half if (task, a, b) in values else 0.2,
            task=task,
            a=a,
            b=b,
        )
        for task, (a, b) in product(TASKS, PAIRS)
    ]


ALL_GAIN = {(task, *pair): 0.2 for task in TASKS for pair in PAIRS}
LOSS = {("seismic_description", OLD, NEW): -0.2}


@pytest.mark.parametrize(
    ("values", "half", "expected"),
    [
        (ALL_GAIN | LOSS, 0.01, REPRODUCED),
        ({("vqa_scene", OLD, NEW): 0.2} | LOSS, 0.01, REPRODUCED),  # the others are open
        (ALL_GAIN, 0.01, NOT),
        (dict.fromkeys(ALL_GAIN, -0.2), 0.01, NOT),
        ({}, 0.2, UNDECIDED),
        ({("vqa_scene", OLD, NEW): 0.2}, 0.01, UNDECIDED),
    ],
)
def test_gains_that_depend_on_the_task(values, half, expected):
    assert answer("C1", scores(values, half)) == expected


def instances(score: float, phi: float, half: float = 0.02) -> list[dict]:
    rows = []
    for a in (OLD, MIDDLE):
        rows.append(row("accuracy_difference", score, half, task="vqa_scene", a=a, b=NEW))
        rows.append(row("phi_stratified", phi, half, task="vqa_scene", a=a, b=NEW, claim="C2"))
    return rows


@pytest.mark.parametrize(
    ("score", "phi", "half", "expected"),
    [
        (0.1, -0.2, 0.02, REPRODUCED),
        (0.1, 0.4, 0.02, NOT),
        (-0.1, -0.2, 0.02, NOT),
        (0.1, -0.01, 0.1, UNDECIDED),
        (0.0, -0.2, 0.02, UNDECIDED),
    ],
)
def test_different_questions(score, phi, half, expected):
    assert answer("C2", instances(score, phi, half)) == expected


def differences(measures: dict[str, float], half: float = 0.01, task: str | None = None) -> list[dict]:
    return [
        row(measure, value, half, a=a, b=NEW, task=task)
        for measure, value in measures.items()
        for a in (OLD, MIDDLE)
    ]


@pytest.mark.parametrize(("value", "expected"), [(-0.1, REPRODUCED), (0.1, NOT), (0.001, UNDECIDED)])
def test_calibration(value, expected):
    assert answer("C3", differences({"ece_difference": value}, task="vqa_scene")) == expected


STEADY = {f"displacement_{kind}": -0.1 for kind in C4} | {
    "drift_difference": -0.1,
    "seed_agreement_difference": 0.1,
}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, REPRODUCED),
        ({"drift_difference": 0.1}, NOT),
        ({"seed_agreement_difference": -0.1}, NOT),
        ({"displacement_blur": 0.0}, UNDECIDED),
    ],
)
def test_stability_needs_every_measure(change, expected):
    assert answer("C4", differences(STEADY | change)) == expected


def test_an_estimate_over_all_tasks_stands_for_them():
    opposed = differences({name: -value for name, value in STEADY.items()}, task="vqa_scene")
    assert answer("C4", differences(STEADY) + opposed) == REPRODUCED


def test_stability_by_task_needs_every_task():
    rows = differences(STEADY, task="vqa_scene") + differences(STEADY, task="seismic_description")
    assert answer("C4", rows) == REPRODUCED
    assert answer("C4", [*rows[:-1], rows[-1] | {"estimate": -0.1, "low": -0.2, "high": -0.05}]) == NOT


@pytest.mark.parametrize(
    ("newest", "older", "expected"),
    [(0.765, 0.0, REPRODUCED), (0.2, 0.0, NOT), (0.8, 0.6, NOT), (0.5, 0.0, UNDECIDED)],
)
def test_a_new_capability(newest, older, expected):
    rows = [
        row("coordinate_accuracy", value, 0.02 if value else 0.0, task="seismic_coordinates", a=a, b=None)
        for a, value in ((OLD, older), (MIDDLE, older), (NEW, newest))
    ]
    assert answer("C5", rows) == expected


@pytest.mark.parametrize(
    ("gain", "difference", "expected"),
    [(0.0, -0.2, REPRODUCED), (0.3, -0.2, NOT), (0.0, 0.2, NOT), (0.0, 0.0, UNDECIDED)],
)
def test_tasks_bound_by_perception(gain, difference, expected):
    assert (
        answer("C6", [row("gain_description", gain, 0.005), row("gain_difference", difference)]) == expected
    )


def test_without_evidence_everything_is_undecided_and_says_why():
    found = verdicts.verdicts(STUDY, evidence([]))
    assert [one.answer for one in found] == [UNDECIDED] * len(CLAIMS)
    assert all("no analysis has estimated it" in one.reason for one in found)


def test_an_estimate_that_does_not_exist_decides_nothing():
    rows = differences({"ece_difference": -0.1}, task="vqa_scene")
    rows[0] |= {"estimate": None, "low": None, "high": None, "p": None, "note": "every answer was right"}
    found = verdicts.verdicts(STUDY, evidence(rows))[2]
    assert found.answer == UNDECIDED
    assert "every answer was right" in found.reason


def test_one_backbone_and_a_study_without_rules_are_answered():
    alone = STUDY.model_copy(update={"backbones": (NEW,)})
    found = verdicts.verdicts(alone, evidence([]))
    assert {one.answer for one in found} == {UNDECIDED}
    assert "the study has one backbone" in found[0].reason
    bare = verdicts.verdicts(STUDY.model_copy(update={"verdicts": None}), evidence([]))
    assert "has no rule for this claim" in bare[0].reason


def test_two_estimates_of_one_thing_are_refused():
    rows = differences({"ece_difference": -0.1}, task="vqa_scene")
    with pytest.raises(ValueError, match=r"2 estimates of 'ece_difference' for task vqa_scene"):
        verdicts.verdicts(STUDY, evidence([*rows, rows[0]]))


def test_an_interval_that_touches_the_threshold_is_open():
    exact = [row("ece_difference", -0.01, 0.01, a=a, b=NEW, task="vqa_scene", p=0.04) for a in (OLD, MIDDLE)]
    assert answer("C3", exact) == UNDECIDED
    tied = [row("ece_difference", 0.0, 0.0, a=a, b=NEW, task="vqa_scene") for a in (OLD, MIDDLE)]
    assert answer("C3", tied) == UNDECIDED


def condition(which: str, measure: str = "accuracy_difference") -> Condition:
    return Condition(measure=measure, tasks=TASKS, of="every_pair", which=which, side="above", threshold=0.0)


def study_with(*conditions: Condition):
    rules = STUDY.verdicts.model_copy(update={"C1": conditions})
    return STUDY.model_copy(update={"verdicts": rules})


def test_at_least_one_is_holms_first_step():
    """Against statsmodels: some estimate is above zero exactly where Holm's method rejects one of them."""
    rng = np.random.default_rng(3)
    study = study_with(condition("some"))
    for _ in range(40):
        values = rng.normal(0, 0.012, 9)
        rows = [
            row("accuracy_difference", float(value), 0.01, task=task, a=a, b=b)
            for value, (task, (a, b)) in zip(values, product(TASKS, PAIRS), strict=True)
        ]
        one_sided = [one["p"] if one["estimate"] > 0 else 1.0 for one in rows]
        rejected = multipletests(one_sided, alpha=verdicts.ALPHA, method="holm")[0].any()
        assert (answer("C1", rows, study) == REPRODUCED) == rejected


@pytest.mark.parametrize("which", ["some", "every"])
def test_no_effect_is_seldom_taken_for_one(which):
    """Under no effect at all, either verdict is reached in at most five of a hundred studies."""
    rng = np.random.default_rng(8)
    study, decided, studies = study_with(condition(which), condition("every")), 0, 200
    for _ in range(studies):
        rows = [
            row("accuracy_difference", float(rng.normal(0, 0.01 / 1.96)), 0.01, task=task, a=a, b=b)
            for task, (a, b) in product(TASKS, PAIRS)
        ]
        decided += answer("C1", rows, study) != UNDECIDED
    assert decided / studies < verdicts.ALPHA + 2 * np.sqrt(verdicts.ALPHA * 0.95 / studies)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_p_value_from_an_interval_agrees_with_it(seeds):
    """At the end of the interval it is exactly one in twenty, farther out smaller, on the other side one."""
    for threshold, expected in ((0.09, 0.05), (0.11, 1.0)):
        one = Evidence(**row("accuracy_difference", 0.10, 0.01, seeds=seeds))
        assert verdicts._p_values(one, threshold)[0] == pytest.approx(expected, abs=1e-9)
    far = verdicts._p_values(one, 0.05)[0]
    exact = stats.t(2) if seeds == 3 else stats.norm
    assert far == pytest.approx(2 * exact.sf(5 * exact.ppf(0.975)))


@pytest.mark.parametrize(("items", "distance"), [(16, 0.02), (150, 0.05), (150, 0.02), (1200, 1.0)])
def test_an_interval_without_width_is_no_certainty(items, distance):
    """All items agree: the chance that none of a sample is among the share that would move the estimate so far."""
    one = Evidence(**row("accuracy_difference", 0.0, 0.0, n=items, p=None))
    above, below = verdicts._p_values(one, distance)
    assert above == 1.0
    assert below == pytest.approx(min(1.0, 2 * stats.binom(items, distance / 2).pmf(0)))


def test_two_that_are_always_wrong_gain_less_than_two_points_only_if_there_are_many_items():
    def always_wrong(items: int) -> str:
        none = [
            row("accuracy_difference", 0.0, 0.0, task=task, a=a, b=b, n=items, p=None)
            for task, (a, b) in product(TASKS, PAIRS)
        ]
        found = verdicts._verdict(STUDY, "C1", [Evidence(**one) for one in none], TITLES)
        return found.conditions[1].state

    assert always_wrong(16) == "open" and always_wrong(2000) == "holds"


def test_what_two_backbones_share_is_no_difference():
    """A correlation lies between two backbones; its estimate does not speak of a difference."""
    found = verdicts._verdict(STUDY, "C2", [Evidence(**one) for one in instances(0.1, -0.1)], TITLES)
    assert "old and new" in found.conditions[1].findings[0].text
    assert "old → new" in found.conditions[0].findings[0].text


def test_studies_that_reach_verdicts_have_the_same_rules():
    """What decides may not depend on the scale; a study without rules reaches no verdict."""
    files = [yaml.safe_load((ROOT / f"params/studies/{name}.yaml").read_text()) for name in study_names()]
    rules = [file["verdicts"] for file in files if "verdicts" in file]
    assert len(rules) >= 2 and all(one == rules[0] for one in rules)
