"""Tables of agreement: intervals by hand, the floor of seeds, and coverage where the truth is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers, by_hand, table
from scipy import stats
from sklearn.metrics import matthews_corrcoef

from barnlib.analyses.agreement import COEFFICIENTS, MEASURES
from barnlib.analyses.agreement_tables import against_floor, agreement_table
from barnlib.analyses.run_pairs import compare_runs

RNG = np.random.default_rng
PHI = MEASURES.index("phi_pooled")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return answers({"a": 0.5, "b": 0.6}, seeds=3, images=40, questions=2)


def phi(rows: pd.DataFrame, a: str, b: str) -> dict[tuple[int, int], float]:
    """Of runs of different seeds, by scikit-learn."""
    wide = rows.pivot(index="item", columns=["backbone", "seed"], values="correct")
    return {
        (s, t): matthews_corrcoef(wide[a, s], wide[b, t])
        for s, t in itertools.permutations(sorted(rows["seed"].unique()), 2)
    }


def test_the_estimate_is_the_mean_over_pairs_of_runs(rows: pd.DataFrame) -> None:
    found = agreement_table(compare_runs(rows, rng=RNG(0), resamples=20))
    means = found.set_index(["kind", "a", "b", "measure"])["estimate"]
    for kind, a, b in (("backbones", "a", "b"), ("seeds", "b", "b")):
        expected = np.mean(list(phi(rows, a, b).values()))
        assert means[kind, a, b, "phi_pooled"] == pytest.approx(expected)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_the_variance_over_seeds_is_that_of_the_jackknife(rows: pd.DataFrame, seeds: int) -> None:
    """Of three seeds or more; with fewer the interval is that of other pictures."""
    some = rows[rows["seed"] < seeds]
    pair = next(one for one in compare_runs(some, rng=RNG(0), resamples=300) if one.labels["b"] == "b")
    found = agreement_table([pair]).set_index("measure").loc["phi_pooled"]
    by_image = pair.draws[:, :, PHI].mean(1).var(ddof=1)
    half = stats.t.ppf(0.975, 39) * np.sqrt(by_image)
    if seeds == 3:
        each = phi(some, "a", "b")
        left = [np.mean([v for both, v in each.items() if seed not in both]) for seed in range(3)]
        by_seed = 2 / 3 * np.sum((left - np.mean(left)) ** 2)  # Efron & Tibshirani (1993), formula 11.5
        moved = [
            pair.draws[:, [seed not in both for both in pair.seeds], PHI].mean(1) - left[seed]
            for seed in range(3)
        ]
        of_images = np.mean([2 / 3 * np.sum((one - one.mean()) ** 2) for one in np.array(moved).T])
        together = stats.t.ppf(0.975, 39) * np.sqrt(by_image + by_seed - of_images)
        half = max(together, stats.t.ppf(0.975, 2) * np.sqrt(by_seed))
        assert 0 < of_images < by_seed
        assert found["se"] == pytest.approx(np.sqrt(by_image + by_seed - of_images))
        assert found["se_runs"] == pytest.approx(np.sqrt(by_seed))
    assert (found["low"], found["high"]) == pytest.approx(
        (max(found["estimate"] - half, -1), found["estimate"] + half)
    )


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


def test_the_floor_is_the_geometric_mean_of_both_sides(rows: pd.DataFrame) -> None:
    found = against_floor(compare_runs(rows, rng=RNG(0), resamples=50), "phi_pooled").iloc[0]
    between, a, b = (np.mean(list(phi(rows, *names).values())) for names in ("ab", "aa", "bb"))
    assert min(a, b) > 0
    assert found["estimate"] == pytest.approx(between - np.sqrt(a * b))
    assert found["measure"] == "phi_pooled_less_floor" and found["low"] <= found["estimate"] <= found["high"]
    assert np.isnan([found["bound_low"], found["bound_high"]]).all()


def test_seeds_that_go_apart_are_a_floor_of_zero() -> None:
    marks = {("a", 0): "1100", ("a", 1): "0011", ("b", 0): "1010", ("b", 1): "1000"}
    compared = compare_runs(by_hand(marks, "xxxx"), rng=RNG(0), resamples=20)
    means = agreement_table(compared).set_index(["a", "b", "measure"])["estimate"]
    assert means["a", "a", "phi_pooled"] == pytest.approx(-1)
    found = against_floor(compared, "phi_pooled").iloc[0]
    assert found["estimate"] == pytest.approx(means["a", "b", "phi_pooled"])


def test_every_group_has_a_floor_of_its_own(rows: pd.DataFrame) -> None:
    compared = compare_runs(rows, ("question_type",), rng=RNG(0), resamples=20)
    found = against_floor(compared, "phi_pooled").set_index("question_type")["estimate"]
    for name, part in rows.groupby("question_type"):
        between, a, b = (np.mean(list(phi(part, *names).values())) for names in ("ab", "aa", "bb"))
        assert found[name] == pytest.approx(between - np.sqrt(max(a, 0) * max(b, 0)))


def test_backbones_with_other_seeds_are_compared_without_the_chance_of_seeds(rows: pd.DataFrame) -> None:
    """Of two seeds of one backbone none remains to leave out: the interval is that of other pictures."""
    fewer = rows[(rows["backbone"] == "b") | (rows["seed"] < 2)]
    compared = compare_runs(fewer, rng=RNG(0), resamples=300)
    between, first, second = compared
    found = against_floor(compared, "phi_pooled").iloc[0]
    expected = [one.values[:, PHI].mean() for one in compared]
    assert found["estimate"] == pytest.approx(expected[0] - np.sqrt(expected[1] * expected[2]))
    drawn = [one.draws[:, :, PHI].mean(1) for one in (between, first, second)]
    floors = np.sqrt(np.maximum(drawn[1], 0) * np.maximum(drawn[2], 0))
    assert found["se"] == pytest.approx(np.std(drawn[0] - floors, ddof=1))


def test_all_right_and_nothing() -> None:
    assert agreement_table([]).empty and against_floor([]).empty
    perfect = by_hand({("a", 0): "1111", ("b", 0): "1111"}, "xxyy")
    found = agreement_table(compare_runs(perfect, rng=RNG(0), resamples=20)).set_index("measure")
    assert found.loc[list(COEFFICIENTS), ["estimate", "se", "low", "high"]].isna().all().all()
    assert found.loc["oracle_gain", "estimate"] == 0
    one_picture = by_hand({("a", 0): "1100", ("b", 0): "1010"}, "xxxx", image="one.png")
    single = agreement_table(compare_runs(one_picture, rng=RNG(0), resamples=20)).set_index("measure")
    assert single.loc["phi_pooled", "estimate"] == 0
    assert single.loc["phi_pooled", ["low", "high"]].isna().all()


@pytest.mark.slow
def test_the_standard_error_is_near_the_spread_where_seeds_do_not_differ() -> None:
    """Counting the images' chance with seeds again makes it twice as large."""
    found = []
    for number in range(40):
        same = answers({"a": 0.5, "b": 0.5}, seeds=3, images=80, questions=2, seed=number)
        compared = compare_runs(same, rng=RNG(number), resamples=200)
        phi_of = agreement_table(compared).query("a == 'a' and b == 'b' and measure == 'phi_stratified'")
        found.append(
            [*phi_of[["estimate", "se"]].iloc[0], *against_floor(compared).iloc[0][["estimate", "se"]]]
        )
    phi_real, floor_real = np.std(np.array(found, dtype=float)[:, [0, 2]], axis=0, ddof=1)
    phi_said, floor_said = np.mean(np.array(found, dtype=float)[:, [1, 3]], axis=0)
    assert 0.8 < phi_said / phi_real < 1.4
    assert 0.8 < floor_said / floor_real < 1.6


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
