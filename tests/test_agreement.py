"""Agreement against scikit-learn, residuals, formulas written out, and simulations with a known truth."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tables import answers, table
from scipy.stats import binomtest, chi2
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

from barnlib.agreement import (
    COEFFICIENTS,
    MEASURES,
    against_floor,
    agreement_table,
    bounds,
    coefficients,
    compare_runs,
    ensembles,
    pair_tests,
    solved_by,
)
from barnlib.metrics import accuracy_table

RNG = np.random.default_rng
# Two question types, in each of which a and b are independent: a is good at one, b at the other.
APART = np.array([[14.0, 42, 2, 6, 0], [6, 2, 42, 14, 0]])  # accuracies 7/8 and 1/4, 1/8 and 3/4


def counted(before, after, strata) -> np.ndarray:
    """float64[1, strata, 5] by hand."""
    cells = [
        [
            sum(a == x and b == y for a, b, s in zip(before, after, strata, strict=True) if s == name)
            for x, y in ((1, 1), (1, 0), (0, 1), (0, 0))
        ]
        + [0]
        for name in sorted(set(strata))
    ]
    return np.array(cells, dtype=float)[None]


def by_hand(right: dict[tuple[str, int], str], types: str, **more: object) -> pd.DataFrame:
    rows = [
        {"backbone": name, "seed": seed, "item": f"i{k}", "question_type": types[k], "score": float(mark)}
        for (name, seed), marks in right.items()
        for k, mark in enumerate(marks)
    ]
    return table([{**row, **more} for row in rows])


def test_types_alone_make_a_negative_correlation() -> None:
    found = {name: float(value[0]) for name, value in coefficients(APART[None]).items()}
    assert found["phi_pooled"] == pytest.approx(-0.375)
    assert found["phi_stratified"] == pytest.approx(0, abs=1e-12)
    assert found["kappa_stratified"] == pytest.approx(0, abs=1e-12)
    assert found["phi_between"] == pytest.approx(-0.375)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 10_000), st.integers(4, 120))
def test_coefficients_are_those_of_scikit_learn_and_of_residuals(seed: int, count: int) -> None:
    rng = RNG(seed)
    strata = rng.integers(0, 4, count)
    before, after = (rng.random(count) < rng.random(4)[strata] for _ in range(2))
    found = {name: float(v[0]) for name, v in coefficients(counted(before, after, strata)).items()}
    constant = len(set(before)) == 1 or len(set(after)) == 1
    assert np.isnan(found["phi_pooled"]) == constant
    if not constant:
        assert found["phi_pooled"] == pytest.approx(matthews_corrcoef(before, after))
        assert found["kappa_pooled"] == pytest.approx(cohen_kappa_score(before, after))
        assert found["phi_within"] + found["phi_between"] == pytest.approx(found["phi_pooled"])
    rest = pd.DataFrame({"a": before * 1.0, "b": after * 1.0})
    rest = rest - rest.groupby(strata).transform("mean")
    if (rest.abs().max() > 1e-9).all():
        assert found["phi_stratified"] == pytest.approx(np.corrcoef(rest["a"], rest["b"])[0, 1])
    else:
        assert np.isnan(found["phi_stratified"])
    assert found["oracle_gain"] == pytest.approx((before | after).mean() - max(before.mean(), after.mean()))


@settings(deadline=None, max_examples=40)
@given(st.integers(2, 14), st.data())
def test_bounds_hold_every_table_of_these_accuracies_and_are_reached(count: int, data) -> None:
    a, b = data.draw(st.integers(1, count - 1)), data.draw(st.integers(1, count - 1))
    first = np.arange(count) < a
    seen = {name: [] for name in ("phi_pooled", "kappa_pooled")}
    for both in range(max(0, a + b - count), min(a, b) + 1):
        second = np.r_[np.arange(a) < both, np.arange(count - a) < b - both]
        found = coefficients(counted(first, second, [0] * count))
        for name, values in seen.items():
            values.append(float(found[name][0]))
    limits = bounds(counted(first, np.arange(count) < b, [0] * count)[0])
    for name, values in seen.items():
        assert limits[name] == pytest.approx((min(values), max(values)))
        assert limits[name.replace("pooled", "stratified")] == pytest.approx(limits[name])


def test_bounds_of_error_consistency_are_those_of_the_paper() -> None:
    """Geirhos et al. (2020), section 2: the observed agreement lies in |p + q - 1| to 1 - |p - q|."""
    p, q = 0.7, 0.6
    cells = np.array([[42.0, 28, 18, 12, 0]])
    expected = p * q + (1 - p) * (1 - q)
    low, high = ((seen - expected) / (1 - expected) for seen in (abs(p + q - 1), 1 - abs(p - q)))
    assert bounds(cells)["kappa_pooled"] == pytest.approx((low, high))


def test_only_different_seeds_are_paired() -> None:
    rows = answers({"a": 0.5, "b": 0.6, "c": 0.4}, seeds=3, images=20, questions=2)
    compared = compare_runs(rows, rng=RNG(0), resamples=20)
    found = {(one.labels["kind"], one.labels["a"], one.labels["b"]): one for one in compared}
    assert len(found) == 3 + 3
    assert found["backbones", "a", "c"].seeds == ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
    assert found["seeds", "b", "b"].seeds == ((0, 1), (0, 2), (1, 2))
    means = agreement_table(compared).set_index(["kind", "a", "b", "measure"])["estimate"]
    wide = rows.pivot(index="item", columns=["backbone", "seed"], values="correct")
    each = [matthews_corrcoef(wide["a", s], wide["b", t]) for s, t in itertools.permutations(range(3), 2)]
    assert means["backbones", "a", "b", "phi_pooled"] == pytest.approx(np.mean(each))


def test_intervals_and_bounds_hold_the_estimate() -> None:
    rows = answers({"a": 0.3, "b": 0.7}, seeds=3, images=30, questions=4)
    found = agreement_table(compare_runs(rows, ("question_type",), rng=RNG(0), resamples=200))
    assert set(found["measure"]) == set(MEASURES) and len(found) == 2 * 3 * len(MEASURES)
    known = found[found["measure"] != "surer_gain"]
    assert ((known["low"] <= known["estimate"]) & (known["estimate"] <= known["high"])).all()
    bounded = found[found["measure"].isin(COEFFICIENTS)]
    assert (
        (bounded["bound_low"] <= bounded["estimate"]) & (bounded["estimate"] <= bounded["bound_high"])
    ).all()
    assert (
        found.loc[found["measure"] == "surer_gain", "estimate"].isna().all()
    )  # no confidences in this table


def test_the_surer_of_two_answers_is_taken() -> None:
    rows = by_hand({("a", 0): "1100", ("b", 0): "0110"}, "xxxx").assign(
        logprob=[-1, -3, -1, -1, -2, -2, -2, -0.5]
    )
    found = agreement_table(compare_runs(rows, rng=RNG(0), resamples=5)).set_index("measure")["estimate"]
    # taken: a (right), b (right), a (wrong), b (wrong); either alone has two right
    assert found["surer_gain"] == pytest.approx(0)
    assert found["oracle_gain"] == pytest.approx(0.25)


def test_two_backbones_with_the_same_difficulty_lie_on_the_floor() -> None:
    same = answers({"a": 0.5, "b": 0.5}, seeds=3, images=300, questions=2)
    found = against_floor(compare_runs(same, rng=RNG(0), resamples=200)).iloc[0]
    assert found["measure"] == "phi_stratified_less_floor"
    assert found["low"] < 0 < found["high"] and abs(found["estimate"]) < 0.05
    rng = RNG(1)
    ease = {name: rng.random(600) < 0.5 for name in "ab"}  # each solves its own half, whatever the seed
    apart = table(
        [
            {"backbone": name, "seed": seed, "item": f"i{k}", "score": float(rng.random() < 0.1 + 0.8 * easy)}
            for name, items in ease.items()
            for seed in range(3)
            for k, easy in enumerate(items)
        ]
    )
    found = against_floor(compare_runs(apart, rng=RNG(0), resamples=200)).iloc[0]
    assert found["high"] < -0.4
    alone = answers({"a": 0.5, "b": 0.5}, seeds=1, images=30, questions=2)
    assert np.isnan(against_floor(compare_runs(alone, rng=RNG(0), resamples=20))["estimate"]).all()


def test_tests_by_hand() -> None:
    cells = APART.astype(int)[:, :4]
    marks: dict[str, list[str]] = {"a": [], "b": [], "types": []}
    for kind, counts in zip("xy", cells, strict=True):
        for (a, b), count in zip(("11", "10", "01", "00"), counts, strict=True):
            marks["a"] += [a] * count
            marks["b"] += [b] * count
            marks["types"] += [kind] * count
    rows = by_hand({(name, 0): "".join(marks[name]) for name in "ab"}, "".join(marks["types"]))
    found = pair_tests(rows).iloc[0]
    assert found["phi"] == pytest.approx(-0.375) and found["p_phi"] < 1e-4
    assert found["odds_ratio"] == pytest.approx(1) and found["p_cmh"] == pytest.approx(1)
    assert (found["gained"], found["lost"], found["items"]) == (44, 44, 128)
    assert found["p_mcnemar"] == pytest.approx(binomtest(44, 88).pvalue) == found["p_holm"]


def test_cochran_mantel_haenszel_by_its_formula() -> None:
    rows = answers({"a": 0.4, "b": 0.6}, seeds=1, images=60, questions=4)
    wide = rows.pivot(index=["question_type", "item"], columns="backbone", values="correct")
    over, odds = np.zeros(2), np.zeros(2)
    for _, part in wide.groupby(level=0):
        (a, b), n = (part["a"], part["b"]), len(part)
        over += [
            (a & b).sum() - a.sum() * b.sum() / n,
            a.sum() * b.sum() * (~a).sum() * (~b).sum() / (n**2 * (n - 1)),
        ]
        odds += [(a & b).sum() * (~a & ~b).sum() / n, (a & ~b).sum() * (~a & b).sum() / n]
    found = pair_tests(rows).iloc[0]
    assert found["p_cmh"] == pytest.approx(chi2.sf(over[0] ** 2 / over[1], 1))
    assert found["odds_ratio"] == pytest.approx(odds[0] / odds[1])


def test_holm_is_over_all_pairs_of_backbones_and_no_seeds() -> None:
    rows = answers({"a": 0.3, "b": 0.5, "c": 0.7}, seeds=2, images=60, questions=2)
    found = pair_tests(rows, ("question_type",))
    between = found[found["kind"] == "backbones"]
    assert len(between) == 6 and found.loc[found["kind"] == "seeds", "p_holm"].isna().all()
    ordered = between.sort_values("p_mcnemar")
    expected = np.minimum(1, np.maximum.accumulate(ordered["p_mcnemar"] * np.arange(6, 0, -1)))
    assert ordered["p_holm"].tolist() == pytest.approx(expected.tolist())


def test_sets_of_backbones() -> None:
    found = solved_by(by_hand({("a", 0): "111100", ("b", 0): "111010"}, "xxxxxx"))
    assert found[["a", "b", "items"]].values.tolist() == [
        [True, True, 3],
        [True, False, 1],
        [False, True, 1],
        [False, False, 1],
    ]
    assert found["share"].sum() == pytest.approx(1) and found["expected"].sum() == pytest.approx(1)
    assert found["expected"].iloc[0] == pytest.approx(4 / 9)


def test_a_vote_takes_the_answer_with_most_probability() -> None:
    rows = pd.DataFrame(
        [
            ("a", 0, "red", -1.0, 1),
            ("b", 0, "Red.", -1.2, 1),
            ("c", 0, "blue", -0.5, 0),
            ("a", 1, "blue", -0.1, 0),
            ("b", 1, "red", -2.0, 1),
            ("c", 1, "green", -2.0, 0),
        ],
        columns=["backbone", "seed", "answer", "logprob", "score"],
    )
    made = table([{"item": "i", **row} for row in rows.to_dict("records")])
    found = ensembles(made).set_index(["backbone", "seed", "rule"])
    assert found.loc[("all backbones", 0, "vote"), ["answer", "score"]].tolist() == ["red", 1.0]
    assert found.loc[("all backbones", 1, "vote"), "score"] == 0.0
    assert found.loc[("all backbones", 1, "oracle"), "score"] == 1.0
    assert found.loc[("seeds of c", 0, "vote"), "answer"] == "blue"
    shown = accuracy_table(ensembles(made), ["backbone", "rule"], rng=RNG(0), resamples=10)
    assert shown.set_index(["backbone", "rule"])["estimate"]["all backbones", "vote"] == 0.5


def test_one_backbone_one_seed_all_right_and_nothing() -> None:
    alone = by_hand({("a", 0): "10"}, "xx")
    assert compare_runs(alone, rng=RNG(0), resamples=5) == []
    assert agreement_table([]).empty and against_floor([]).empty and pair_tests(alone).empty
    assert ensembles(alone).empty and solved_by(alone)["items"].tolist() == [1, 1]
    perfect = by_hand({("a", 0): "1111", ("b", 0): "1111"}, "xxyy")
    found = agreement_table(compare_runs(perfect, rng=RNG(0), resamples=20)).set_index("measure")
    assert (
        found.loc[list(COEFFICIENTS), "estimate"].isna().all() and found.loc["oracle_gain", "estimate"] == 0
    )
    told = pair_tests(perfect).iloc[0]
    assert told["p_mcnemar"] == 1 and np.isnan(told["p_cmh"])
    nothing = perfect.iloc[:0]
    assert compare_runs(nothing, rng=RNG(0), resamples=5) == [] and solved_by(nothing).empty
    assert pair_tests(nothing).empty


@pytest.mark.slow
def test_intervals_of_phi_cover_the_truth() -> None:
    """Items easy (0.8) or hard (0.2) for a run: phi of two runs is the variance of that chance over p (1 - p)."""
    truth, covered = 0.09 / 0.25, []
    for trial in range(120):
        rng = RNG(trial)
        ease = rng.random(200) < 0.5
        rows = table(
            [
                {
                    "backbone": name,
                    "seed": seed,
                    "item": f"i{k}",
                    "score": float(rng.random() < 0.2 + 0.6 * easy),
                }
                for name in "ab"
                for seed in range(3)
                for k, easy in enumerate(ease)
            ]
        )
        found = agreement_table(compare_runs(rows, rng=rng, resamples=80))
        row = found[(found["kind"] == "backbones") & (found["measure"] == "phi_pooled")].iloc[0]
        covered.append(row["low"] <= truth <= row["high"])
    assert np.mean(covered) >= 0.92
