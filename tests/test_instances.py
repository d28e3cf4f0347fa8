"""Gained, lost and kept by hand; McNemar against the binomial test; the level of the test in simulation."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers, by_hand
from scipy.stats import binomtest

from barnlib.analyses.instances import change_table, changes, exchange_over_runs, majority, solved

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def small() -> pd.DataFrame:
    return by_hand(
        {("a", 0): "111000", ("a", 1): "110000", ("a", 2): "100100", ("b", 0): "101110", ("b", 1): "001110"}
        | {("b", 2): "001011"},
        "xxxyyy",
    )


def test_solved_and_majority(small: pd.DataFrame) -> None:
    found = solved(small.sample(frac=1, random_state=0).sort_values(["backbone", "seed", "item"]))
    assert found.shape == (6, 6) and found.dtypes.eq(bool).all()
    most = majority(found)
    assert most["a"].tolist() == [True, True, False, False, False, False]
    assert most["b"].tolist() == [False, False, True, True, True, False]


def test_half_of_an_even_number_of_seeds_is_no_majority() -> None:
    assert majority(solved(by_hand({("a", 0): "10", ("a", 1): "11"}, "xx")))["a"].tolist() == [True, False]


def test_outcomes(small: pd.DataFrame) -> None:
    found = changes(small)
    assert len(found) == 6 * (1 + 9 + 2 * 3)
    most = found[found["view"] == "majority"]
    assert most["outcome"].tolist() == ["lost", "lost", "gained", "gained", "gained", "neither"]
    first = found[(found["view"] == "runs") & (found["seed_a"] == 0) & (found["seed_b"] == 0)]
    assert first["outcome"].tolist() == ["kept", "lost", "kept", "gained", "gained", "neither"]
    floor = found[(found["kind"] == "seeds") & (found["a"] == "a") & (found["seed_b"] == 1)]
    assert floor["outcome"].tolist() == ["kept", "kept", "lost", "neither", "neither", "neither"]


def test_shares_by_type(small: pd.DataFrame) -> None:
    found = change_table(small, ["question_type"], rng=RNG(0), resamples=50)
    row = found[(found["view"] == "majority") & (found["question_type"] == "x")].iloc[0]
    assert row[["gained", "lost", "kept", "neither"]].tolist() == pytest.approx([1 / 3, 2 / 3, 0, 0])
    assert (row["discordant"], row["items"], row["net"]) == (3, 3, pytest.approx(-1 / 3))
    assert row["p"] == pytest.approx(binomtest(1, 3).pvalue)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    rows = answers({"a": 0.4, "b": 0.55}, seeds=2, images=30, questions=2)
    found = change_table(rows, (), rng=RNG(0), resamples=50)
    for _, row in found.iterrows():
        gained = round(row["gained"] * row["items"])
        assert row["p"] == pytest.approx(binomtest(gained, row["discordant"]).pvalue)
    shares = found[["gained", "lost", "kept", "neither"]].sum(axis=1)
    assert shares.tolist() == pytest.approx([1.0] * len(found))
    assert ((found["low"] <= found["net"]) & (found["net"] <= found["high"])).all()


def test_nothing_changed_has_p_one() -> None:
    found = change_table(by_hand({("a", 0): "1111", ("b", 0): "1111"}, "xxxx"), rng=RNG(0), resamples=50)
    assert found["p"].tolist() == [1.0, 1.0]
    assert found["kept"].tolist() == [1.0, 1.0]


def test_the_floor_takes_different_seeds_on_both_sides(small: pd.DataFrame) -> None:
    found = exchange_over_runs(change_table(small, (), rng=RNG(0), resamples=50), ())
    assert found[["kind", "a", "b", "run_pairs"]].values.tolist() == [
        ["backbones", "a", "b", 6],
        ["seeds", "a", "a", 3],
        ["seeds", "b", "b", 3],
    ]
    marks = np.array([list("111000"), list("110000"), list("100100")])  # of the seeds of a
    expected = np.mean([np.mean(marks[i] != marks[j]) for i, j in [(0, 1), (0, 2), (1, 2)]])
    assert found["exchanged"].iloc[1] == pytest.approx(expected)
    assert found["exchanged"].tolist() == pytest.approx((found["gained"] + found["lost"]).tolist())


def test_one_backbone_and_one_seed_still_answer() -> None:
    alone = by_hand({("a", 0): "10"}, "xx")
    assert changes(alone).empty and change_table(alone, rng=RNG(0)).empty
    assert exchange_over_runs(change_table(alone, rng=RNG(0))).empty
    two = by_hand({("a", 0): "10", ("b", 0): "01"}, "xx")
    assert exchange_over_runs(change_table(two, rng=RNG(0)))["exchanged"].tolist() == [1.0]


def test_bad_tables_are_named(small: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="lack the columns correct"):
        solved(small.drop(columns="correct"))
    with pytest.raises(ValueError, match="'split' mixes test, heldout"):
        solved(pd.concat([small, small.assign(split="heldout")]))
    with pytest.raises(ValueError, match="answers an item twice"):
        solved(pd.concat([small, small]))
    with pytest.raises(ValueError, match="a seed 0 has not answered 1 of 6 items"):
        solved(small.iloc[1:])


@pytest.mark.slow
def test_mcnemar_holds_its_level() -> None:
    rng = RNG(0)
    p = []
    for trial in range(300):
        rows = answers({"a": 0.5, "b": 0.5}, seeds=1, images=80, questions=1, seed=trial)
        p.append(change_table(rows, (), rng=rng, resamples=20)["p"].iloc[0])
    assert np.mean(np.array(p) < 0.05) <= 0.08
