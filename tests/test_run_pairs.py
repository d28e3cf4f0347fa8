"""Pairs of runs: which are paired, on what, and the same measures on resampled pictures by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers, by_hand
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef

from barnlib.analyses.agreement import MEASURES
from barnlib.analyses.replicates import image_draws
from barnlib.analyses.run_pairs import RunPairs, compare_runs

RNG = np.random.default_rng


def measure(pair: RunPairs, name: str) -> np.ndarray:
    """float64[run pairs]."""
    return pair.values[:, MEASURES.index(name)]


def test_only_different_seeds_are_paired() -> None:
    rows = answers({"a": 0.5, "b": 0.6, "c": 0.4}, seeds=3, images=20, questions=2)
    compared = compare_runs(rows, rng=RNG(0), resamples=20)
    found = {(one.labels["kind"], one.labels["a"], one.labels["b"]): one for one in compared}
    assert len(found) == 3 + 3
    assert found["backbones", "a", "c"].seeds == ((0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1))
    assert found["seeds", "b", "b"].seeds == ((0, 1), (0, 2), (1, 2))
    assert found["seeds", "b", "b"].counts == {"items": 40, "images": 20, "run_pairs": 3, "seeds": 3}


def test_of_a_single_seed_runs_of_that_seed_are_paired() -> None:
    (one,) = compare_runs(by_hand({("a", 4): "10", ("b", 4): "11"}, "xx"), rng=RNG(0), resamples=5)
    assert one.labels == {"kind": "backbones", "a": "a", "b": "b", "task": "vqa_scene"}
    assert one.seeds == ((4, 4),) and one.counts["seeds"] == 1


def test_every_pair_is_measured_as_scikit_learn_does_also_on_resampled_pictures() -> None:
    rows = answers({"a": 0.4, "b": 0.6}, seeds=2, images=15, questions=3)
    found = compare_runs(rows, (), rng=RNG(7), resamples=4)[0]
    wide = rows.pivot(index=["image", "item"], columns=["backbone", "seed"], values="correct")
    draws = image_draws(RNG(7), 4, 15)  # the same generator draws the same pictures
    of = pd.Index(rows["image"].unique()).get_indexer(wide.index.get_level_values("image"))
    for place, (first, second) in enumerate(found.seeds):
        a, b = wide["a", first].to_numpy(bool), wide["b", second].to_numpy(bool)
        assert measure(found, "phi_pooled")[place] == pytest.approx(matthews_corrcoef(a, b))
        for number, draw in enumerate(draws):
            drawn = dict(zip(MEASURES, found.draws[number, place], strict=True))
            assert drawn["phi_pooled"] == pytest.approx(matthews_corrcoef(a, b, sample_weight=draw[of]))
            assert drawn["kappa_pooled"] == pytest.approx(cohen_kappa_score(a, b, sample_weight=draw[of]))


def test_the_surer_of_two_answers_is_taken() -> None:
    rows = by_hand({("a", 0): "1100", ("b", 0): "0110"}, "xxxx").assign(
        logprob=[-1, -3, -2, -1, -2, -2, -1, -0.5]
    )
    (found,) = compare_runs(rows, rng=RNG(0), resamples=5)
    # taken: a (right), b (right), b (right), b (wrong); either alone has two right
    assert measure(found, "surer_gain") == pytest.approx(0.25)
    assert measure(found, "oracle_gain") == pytest.approx(0.25)
    (unsure,) = compare_runs(rows.assign(logprob=[*rows["logprob"][:7], np.nan]), rng=RNG(0), resamples=5)
    assert np.isnan(measure(unsure, "surer_gain")) and not np.isnan(measure(unsure, "oracle_gain"))


def test_strata_are_the_columns_that_are_named() -> None:
    rows = by_hand({("a", 0): "11110000", ("b", 0): "00001111"}, "xxxxyyyy", difficulty="hard")
    rows.loc[rows["item"].isin(["i0", "i4"]), "difficulty"] = "easy"
    (apart,) = compare_runs(rows, rng=RNG(0), resamples=5)
    (together,) = compare_runs(rows, rng=RNG(0), resamples=5, strata=("difficulty",))
    assert measure(apart, "phi_pooled") == measure(together, "phi_pooled") == pytest.approx(-1)
    assert np.isnan(measure(apart, "phi_stratified"))  # within a type each side is all right or all wrong
    assert measure(together, "phi_stratified") == pytest.approx(-1)


def test_bounds_are_the_mean_of_those_of_each_pair_of_runs() -> None:
    rows = by_hand({("a", 0): "1000", ("a", 1): "1100", ("b", 0): "1110", ("b", 1): "0011"}, "xxxx")
    found = next(one for one in compare_runs(rows, rng=RNG(0), resamples=5) if one.labels["b"] == "b")
    # seeds (0, 1): 1 and 2 of 4 right, so phi lies within -+1 / sqrt(3); (1, 0): 2 and 3 of 4, the same
    assert found.seeds == ((0, 1), (1, 0))
    assert found.limits["phi_pooled"] == pytest.approx((-1 / np.sqrt(3), 1 / np.sqrt(3)))
    assert set(found.limits) == {"phi_pooled", "phi_stratified", "kappa_pooled", "kappa_stratified"}


def test_groups_have_items_and_pictures_of_their_own() -> None:
    rows = answers({"a": 0.4, "b": 0.6}, seeds=1, images=12, questions=3)
    found = {
        one.labels["question_type"]: one
        for one in compare_runs(rows, ("question_type",), rng=RNG(0), resamples=5)
    }
    assert {name: one.counts["items"] for name, one in found.items()} == {"count": 24, "colour": 12}
    counted = rows[rows["question_type"] == "count"].pivot(index="item", columns="backbone", values="correct")
    expected = matthews_corrcoef(counted["a"], counted["b"])
    assert measure(found["count"], "phi_pooled") == pytest.approx(expected)


def test_where_there_is_no_pair_there_is_nothing_and_uneven_runs_are_refused() -> None:
    alone = by_hand({("a", 0): "10"}, "xx")
    assert compare_runs(alone, rng=RNG(0), resamples=5) == []
    rows = by_hand({("a", 0): "10", ("b", 0): "11"}, "xx")
    assert compare_runs(rows.iloc[:0], rng=RNG(0), resamples=5) == []
    with pytest.raises(ValueError, match="b seed 0 has not answered 1 of 2 items"):
        compare_runs(rows.iloc[:3], rng=RNG(0), resamples=5)
    with pytest.raises(ValueError, match="resamples must be 2 or more, not 1"):
        compare_runs(rows, rng=RNG(0), resamples=1)
