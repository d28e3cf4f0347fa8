"""Tables of estimates against values by hand, pandas, scipy and statsmodels."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from prediction_tables import FACTS as TRUTH
from prediction_tables import answers, description, table

from barnlib.analyses.metrics import (
    ESTIMATE_COLUMNS,
    accuracy_table,
    fact_table,
    fact_verdicts,
    paired_differences,
    share_table,
)
from barnlib.data.descriptions import FACTS, write_description

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def predictions() -> pd.DataFrame:
    return answers({"a": 0.4, "b": 0.6}, seeds=3, images=40, questions=4)


def test_estimates_are_plain_means(predictions: pd.DataFrame) -> None:
    by = ["backbone", "question_type"]
    found = accuracy_table(predictions, by, rng=RNG(0), resamples=100)
    assert list(found) == [*by, *ESTIMATE_COLUMNS]
    expected = predictions.groupby(by)["score"].mean()
    assert found.set_index(by)["estimate"].to_dict() == pytest.approx(expected.to_dict())
    assert (found[["items", "images", "seeds"]] == [80, 40, 3]).all().all()
    assert ((found["low"] < found["estimate"]) & (found["estimate"] < found["high"])).all()


def test_one_seed_agrees_with_cluster_robust_errors(predictions: pd.DataFrame) -> None:
    one = predictions[(predictions["seed"] == 0) & (predictions["backbone"] == "a")]
    fit = smf.ols("score ~ 1", one).fit(
        cov_type="cluster", cov_kwds={"groups": pd.factorize(one["image"])[0]}
    )
    found = accuracy_table(one, ["task"], rng=RNG(0), resamples=8000).iloc[0]
    assert found["se"] == pytest.approx(fit.bse.iloc[0], rel=0.05)


def test_the_same_seed_gives_the_same_table(predictions: pd.DataFrame) -> None:
    first, second = (accuracy_table(predictions, rng=RNG(3), resamples=50) for _ in range(2))
    pd.testing.assert_frame_equal(first, second)


def test_any_share_can_be_averaged(predictions: pd.DataFrame) -> None:
    with_stop = predictions.assign(stopped=predictions["stop"] == "eos")
    assert (accuracy_table(with_stop, value="stopped", rng=RNG(0))["estimate"] == 1).all()
    everything = accuracy_table(predictions, (), rng=RNG(0), resamples=50)
    assert everything["estimate"].tolist() == [pytest.approx(predictions["score"].mean())]


def test_an_empty_table_gives_an_empty_table(predictions: pd.DataFrame) -> None:
    assert accuracy_table(predictions.iloc[:0], rng=RNG(0)).empty
    assert paired_differences(predictions.iloc[:0], rng=RNG(0)).empty
    assert fact_table(predictions, rng=RNG(0)).empty


def test_differences_are_paired(predictions: pd.DataFrame) -> None:
    found = paired_differences(predictions, rng=RNG(0), resamples=8000)
    assert found[["task", "a", "b"]].values.tolist() == [["vqa_scene", "a", "b"]]
    wide = predictions.pivot(
        index=["item", "image", "seed"], columns="backbone", values="score"
    ).reset_index()
    difference = wide["b"] - wide["a"]
    assert found["estimate"].iloc[0] == pytest.approx(difference.mean())
    assert found[["items", "images", "seeds"]].iloc[0].tolist() == [160, 40, 3]
    groups = np.column_stack([pd.factorize(wide["image"])[0], wide["seed"]])
    fit = smf.ols("d ~ 1", wide.assign(d=difference)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    by_image = smf.ols("d ~ 1", wide.assign(d=difference)).fit(
        cov_type="cluster", cov_kwds={"groups": groups[:, 0]}
    )
    # Ours takes the seeds' part as zero where its estimate is negative, so it is at least the images' part.
    assert found["se"].iloc[0] == pytest.approx(max(fit.bse.iloc[0], by_image.bse.iloc[0]), rel=0.1)


def test_turning_a_pair_turns_the_sign(predictions: pd.DataFrame) -> None:
    one = paired_differences(predictions, rng=RNG(0), pairs=[("b", "a")], resamples=100).iloc[0]
    other = paired_differences(predictions, rng=RNG(0), resamples=100).iloc[0]
    assert one["estimate"] == pytest.approx(-other["estimate"])
    assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]))


def test_a_single_seed_is_compared_with_every_seed(predictions: pd.DataFrame) -> None:
    b = predictions[predictions["backbone"] == "b"]
    guess = b[b["seed"] == 0].assign(backbone="guess", score=0.25)
    found = paired_differences(pd.concat([b, guess]), rng=RNG(0), pairs=[("guess", "b")], resamples=100).iloc[
        0
    ]
    assert found["estimate"] == pytest.approx(b["score"].mean() - 0.25)
    assert found["seeds"] == 3
    back = paired_differences(pd.concat([b, guess]), rng=RNG(0), resamples=100).iloc[0]
    assert (back["a"], back["estimate"]) == ("b", pytest.approx(0.25 - b["score"].mean()))


def test_conditions_can_be_compared(predictions: pd.DataFrame) -> None:
    both = pd.concat([predictions, predictions.assign(condition="blank", score=0.0)])
    by = ["backbone", "question_type"]
    found = paired_differences(
        both, by, between="condition", pairs=[("blank", "image")], rng=RNG(0), resamples=50
    )
    assert found.set_index(by)["estimate"].to_dict() == pytest.approx(
        predictions.groupby(by)["score"].mean().to_dict()
    )
    with pytest.raises(ValueError, match="several runs of one seed; group by backbone as well"):
        paired_differences(both, ["task"], between="condition", rng=RNG(0))


def test_bad_tables_are_named(predictions: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="lack the columns score"):
        accuracy_table(predictions.drop(columns="score"), rng=RNG(0))
    with pytest.raises(ValueError, match=r"column 'score' must lie in 0 to 1; 1 of 960 rows"):
        accuracy_table(predictions.assign(score=np.r_[np.nan, predictions["score"][1:]]), rng=RNG(0))
    with pytest.raises(ValueError, match="'condition' mixes image, blank; filter the table or group by it"):
        accuracy_table(pd.concat([predictions, predictions.assign(condition="blank")]), rng=RNG(0))
    with pytest.raises(ValueError, match=r"960 rows answer an item .* 'item-0-0'"):
        accuracy_table(pd.concat([predictions, predictions]), rng=RNG(0))
    other = predictions.copy()
    other.loc[other["backbone"] == "b", "seed"] += 10
    with pytest.raises(ValueError, match=r"a and b share no seed: \[0, 1, 2\] and \[10, 11, 12\]"):
        paired_differences(other, rng=RNG(0))
    fewer = predictions[(predictions["backbone"] == "a") | (predictions["item"] != "item-0-0")]
    with pytest.raises(ValueError, match="1 items were answered by one of them only"):
        paired_differences(fewer, rng=RNG(0))


def test_facts_by_hand() -> None:
    right = write_description(TRUTH, np.random.default_rng(1))
    rows = table(
        [
            description("0", right),
            description("1", "A light deep earthquake. P at 700 seconds, P at 710 seconds."),
            description("2", ""),
            {"item": "3"},
        ]
    )
    verdicts = fact_verdicts(rows)
    assert len(verdicts) == 3 * len(FACTS)
    assert verdicts.groupby("verdict").size().to_dict() == {
        "right": 7,
        "missing": 9,
        "wrong": 1,
        "contradiction": 1,
    }
    found = fact_table(rows, rng=RNG(0), resamples=50).set_index(["fact", "measure"])["estimate"]
    assert found["all", "precision"] == pytest.approx(7 / 9)
    assert found["all", "recall"] == pytest.approx(7 / 18)
    assert found["all", "f1"] == pytest.approx(2 * 7 / (9 + 18))
    assert found["all", "contradiction"] == pytest.approx(1 / 18)
    assert found["depth_class", "precision"] == 1
    assert found["depth_class", "recall"] == pytest.approx(2 / 3)
    assert found["p_time_s", "precision"] == 0.5
    assert found["region", "contradiction"] == 0


def test_tables_read_from_several_files_may_repeat_their_index() -> None:
    rows = [table([description("0", "Banda Sea", seed=seed)]) for seed in range(2)]
    found = fact_table(pd.concat(rows), rng=RNG(0), resamples=50)
    assert found["items"].eq(1).all() and found["seeds"].eq(2).all()


def test_a_fact_that_nobody_states_has_no_precision() -> None:
    rows = table([description(str(number), "") for number in range(3)])
    found = fact_table(rows, rng=RNG(0), resamples=50).set_index(["fact", "measure"])
    assert np.isnan(found.loc[("region", "precision"), "estimate"])
    assert found.loc[("region", "recall"), "estimate"] == 0


def test_a_reference_without_all_facts_is_refused() -> None:
    rows = table([description("0", "", reference="A strong earthquake.")])
    with pytest.raises(ValueError, match="does not state depth_class, region"):
        fact_table(rows, rng=RNG(0))


def test_shares_stand_under_each_other_group_by_group(predictions: pd.DataFrame) -> None:
    halves = np.arange(len(predictions)) < len(predictions) / 2
    shares = {
        0.5: predictions["score"] == 1,
        7.0: halves,
    }  # named by numbers, given as a column and as an array
    found = share_table(predictions, ("backbone",), shares, name="limit", rng=RNG(0), resamples=20)
    assert list(found) == ["backbone", "limit", *ESTIMATE_COLUMNS]
    assert list(zip(found["limit"], found["backbone"], strict=True)) == [
        (limit, backbone) for limit in shares for backbone in "ab"
    ]
    right = predictions.groupby("backbone")["score"].mean()
    assert found["estimate"].tolist() == pytest.approx([*right, 1.0, 0.0])
    first = accuracy_table(predictions, ("backbone",), rng=RNG(0), resamples=20)
    pd.testing.assert_series_equal(found["se"][:2], first["se"])
