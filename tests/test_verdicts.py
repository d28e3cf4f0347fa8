"""Verdicts: every rule of the study on made-up evidence on both sides and in the middle; what is missing or tied."""

from itertools import product

import numpy as np
import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests

from barnlib.analyses import verdicts
from barnlib.analyses.evidence import CLAIMS, Evidence
from barnlib.analyses.intervals import proportion_interval, student_interval
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
    assert answer("C3", differences({"calibration_difference": value}, task="vqa_scene")) == expected


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
    rows = differences({"calibration_difference": -0.1}, task="vqa_scene")
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
    rows = differences({"calibration_difference": -0.1}, task="vqa_scene")
    with pytest.raises(ValueError, match=r"2 estimates of 'calibration_difference' for task vqa_scene"):
        verdicts.verdicts(STUDY, evidence([*rows, rows[0]]))


def test_an_interval_that_touches_the_threshold_is_open():
    exact = [
        row("calibration_difference", -0.01, 0.01, a=a, b=NEW, task="vqa_scene", p=0.04)
        for a in (OLD, MIDDLE)
    ]
    assert answer("C3", exact) == UNDECIDED
    tied = [row("calibration_difference", 0.0, 0.0, a=a, b=NEW, task="vqa_scene") for a in (OLD, MIDDLE)]
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
def test_without_standard_errors_a_p_value_comes_from_the_interval(seeds):
    """At the end of the interval it is exactly one in twenty, farther out smaller, on the other side one."""
    for threshold, expected in ((0.09, 0.05), (0.11, 1.0)):
        one = Evidence(**row("accuracy_difference", 0.10, 0.01, seeds=seeds))
        assert verdicts._p_values(one, threshold)[0] == pytest.approx(expected, abs=1e-9)
    far = verdicts._p_values(one, 0.05)[0]
    exact = stats.t(2) if seeds == 3 else stats.norm
    assert far == pytest.approx(2 * exact.sf(5 * exact.ppf(0.975)))


def of_errors(
    estimate: float, se: float, se_runs: float | None, images: int, seeds: int, bounds: tuple[float, float]
) -> Evidence:
    """Evidence with the interval that is made of its standard errors."""
    by_run = 0.0 if se_runs is None else se_runs**2
    interval = student_interval(estimate, se**2, by_run, by_run, images, seeds, bounds=bounds)
    found = {**vars(interval), "se_runs": se_runs}
    return Evidence(
        **row(
            "accuracy_difference", p=None, n=8 * images, images=images, seeds=seeds, value=estimate, **found
        )
    )


ANY = (-np.inf, np.inf)


def test_a_p_value_is_students_with_the_degrees_of_its_errors():
    """-3.4 points on 150 pictures against 2 points: what pictures owe has 149 degrees of freedom and not 2."""
    pictures = of_errors(-0.034, 0.0146, 0.0004, 150, 3, ANY)
    above, below = verdicts._p_values(pictures, 0.02)
    assert above == 1.0 and below == pytest.approx(2 * stats.t(149).cdf(-0.054 / 0.0146)) and below < 4e-4
    runs = of_errors(-0.034, 0.0146, 0.01, 150, 3, ANY)
    assert verdicts._p_values(runs, 0.02)[1] == pytest.approx(2 * stats.t(2).cdf(-5.4))
    assert verdicts._p_values(pictures.model_copy(update={"se": None, "se_runs": None}), 0.02)[1] > 0.01


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_p_value_over_runs_or_pictures_is_that_of_a_t_test(seeds):
    """Against SciPy: runs that differ and pictures that do not, or one run on pictures that differ."""
    values = np.random.default_rng(5).normal(0.3, 0.4, 3 if seeds == 3 else 40)
    error = float(stats.sem(values))
    one = of_errors(
        float(values.mean()),
        1e-6 if seeds == 3 else error,
        error if seeds == 3 else None,
        1000 if seeds == 3 else len(values),
        seeds,
        ANY,
    )
    expected = stats.ttest_1samp(values, 0.1).pvalue
    side = 0 if values.mean() > 0.1 else 1
    assert verdicts._p_values(one, 0.1)[side] == pytest.approx(expected)


@given(
    estimate=st.floats(-0.99, 0.99),
    se=st.floats(1e-4, 0.5),
    se_runs=st.one_of(st.none(), st.floats(1e-4, 0.5)),
    images=st.integers(2, 400),
    seeds=st.integers(2, 5),
    threshold=st.floats(-0.9, 0.9),
)
def test_a_p_value_agrees_with_the_interval_of_a_difference(estimate, se, se_runs, images, seeds, threshold):
    one = of_errors(estimate, se, se_runs, images, 1 if se_runs is None else seeds, (-1.0, 1.0))
    agrees(one, threshold)


@settings(deadline=None)
@given(
    right=st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=1, max_size=4),
    threshold=st.floats(0.01, 0.99),
)
@example(right=[[0] * 6] * 3, threshold=0.5)
@example(right=[[4] * 6] * 3, threshold=0.5)
@example(right=[[2] * 6] * 3, threshold=0.3)
def test_a_p_value_agrees_with_the_interval_of_a_share(right, threshold):
    """Korn and Graubard's, which is wider towards the middle; at 0 and 1 Clopper and Pearson's."""
    interval = proportion_interval(right, np.full_like(right, 4), 1, resamples=60)
    runs = None if np.isnan(interval.se_runs) else interval.se_runs
    found = {**vars(interval), "se_runs": runs, "images": 6, "seeds": len(right), "n": 24, "p": None}
    agrees(Evidence(**row("coordinate_accuracy", interval.estimate, **found)), threshold)


def agrees(one: Evidence, threshold: float) -> None:
    """A p value below one in twenty where the interval lies wholly on a side, and only there."""
    assume(min(abs(threshold - one.low), abs(threshold - one.high)) > 1e-9)
    above, below = verdicts._p_values(one, threshold)
    assert (above < verdicts.ALPHA) == (one.low > threshold)
    assert (below < verdicts.ALPHA) == (one.high < threshold)
    assert max(above, below) == 1.0


def test_farther_off_is_surer():
    errors = {"se": 0.011, "se_runs": 0.002, "images": 150, "p": None}
    share = Evidence(**row("coordinate_accuracy", 0.02, low=0.004, high=0.06, **errors))
    found = [verdicts._p_values(share, threshold)[1] for threshold in (0.03, 0.05, 0.07, 0.1, 0.2)]
    assert found == sorted(found, reverse=True) and found[2] < 0.05 < found[1] and found[-1] > 0


@pytest.mark.parametrize(("pictures", "distance"), [(16, 0.02), (150, 0.05), (150, 0.02), (1200, 1.0)])
@pytest.mark.parametrize("counted", [True, False])
def test_an_interval_without_width_is_no_certainty(pictures, distance, counted):
    """All pictures agree: the chance that none of a sample is among the share that would move the estimate so far."""
    seen = {"n": 8 * pictures, "images": pictures} if counted else {"n": pictures}
    one = Evidence(**row("accuracy_difference", 0.0, 0.0, se=0.0, se_runs=0.0, p=0.0, **seen))
    above, below = verdicts._p_values(one, distance)
    assert above == 1.0
    expected = min(1.0, 2 * stats.binom(pictures, distance / 2).pmf(0))
    assert below == pytest.approx(expected)
    certain = one.model_copy(update={name: -distance for name in ("estimate", "low", "high")})
    assert verdicts._p_values(certain, 0.0)[1] == pytest.approx(expected), "a jackknife's p is 0 there"


@pytest.mark.parametrize(("share", "threshold"), [(0.0, 0.1), (1.0, 0.9)])
def test_a_share_of_none_or_all_is_tested_by_the_binomial(share, threshold):
    interval = proportion_interval(np.full((3, 150), 4 * share), np.full((3, 150), 4), 1)
    one = Evidence(**row("coordinate_accuracy", share, **vars(interval), images=150, n=600, p=None))
    found = min(verdicts._p_values(one, threshold))
    assert found == pytest.approx(2 * stats.binomtest(0, 150, 0.1, alternative="less").pvalue)


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
