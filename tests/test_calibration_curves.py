"""Reliability bins, risk over coverage and null bands, by hand and in simulation."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import confident, table

from barnlib.analyses.calibration_curves import null_bands, reliability_table, risk_coverage

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return confident({"a": 0.0, "b": -0.15}, seeds=3, images=60)


def test_a_calibrated_predictor_lies_in_its_null_band() -> None:
    inside, p = [], []
    for trial in range(60):
        rows = confident({"a": 0.0}, seeds=1, images=50, seed=trial)
        band = null_bands(rows, ("task",), "said", rng=RNG(trial), draws=200).iloc[0]
        inside.append(band["null_low"] <= band["observed"] <= band["null_high"])
        p.append(band["p"])
    assert np.mean(inside) >= 0.87
    assert 0.35 < np.mean(p) < 0.65
    worse = null_bands(confident({"a": -0.2}, seeds=2, images=60), (), "said", rng=RNG(0), draws=200).iloc[0]
    assert worse["observed"] > worse["null_high"] and worse["p"] == pytest.approx(1 / 201)


def test_the_band_is_that_of_the_mean_over_runs(answers: pd.DataFrame) -> None:
    """The mean of three runs varies less than one run: by the root of three, about."""
    wide = [
        null_bands(rows, (), "said", rng=RNG(0), draws=400).iloc[0]
        for rows in (answers[answers["seed"] == 0], answers)
    ]
    widths = [row["null_high"] - row["null_low"] for row in wide]
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(3), rel=0.2)
    assert wide[1]["expected"] == pytest.approx(wide[0]["expected"], rel=0.1)


def test_what_chance_makes_of_two_answers_by_hand() -> None:
    """One bin of two answers of one half: none, one or both are right, and the error is a half or nothing."""
    rows = table([{"item": f"i{k}", "score": 1.0} for k in range(2)]).assign(said=0.5)
    found = null_bands(rows, (), "said", rng=RNG(0), draws=4000).iloc[0]
    assert (found["observed"], found["null_low"], found["null_high"]) == (0.5, 0.0, 0.5)
    assert found["expected"] == pytest.approx(0.25, abs=0.02) and found["p"] == pytest.approx(0.5, abs=0.03)


def test_reliability_bins_and_risk_by_hand(answers: pd.DataFrame) -> None:
    found = reliability_table(answers, rng=RNG(0), definition="said", bins=5, resamples=50)
    assert len(found) == 10 and found["answers"].sum() == len(answers)
    assert found["estimate"].mul(found["answers"]).sum() == pytest.approx(answers["correct"].sum())
    curve = risk_coverage(answers, definition="said", points=10)
    whole = curve[curve["coverage"] == 1].set_index(["backbone", "seed"])["risk"]
    expected = 1 - answers.groupby(["backbone", "seed"])["correct"].mean()
    assert whole.to_dict() == pytest.approx(expected.to_dict())
    run = answers[(answers["backbone"] == "a") & (answers["seed"] == 0)].nlargest(24, "said")
    first = curve[(curve["backbone"] == "a") & (curve["seed"] == 0) & (curve["coverage"] == 0.1)]
    assert first["risk"].item() == pytest.approx(1 - run["correct"].mean())


def test_each_bin_is_the_mean_of_its_answers(answers: pd.DataFrame) -> None:
    found = reliability_table(answers, rng=RNG(0), definition="said", bins=4, resamples=20)
    for name, part in answers.groupby("backbone"):
        by = part.groupby(pd.qcut(part["said"], 4, labels=False))
        rows = found[found["backbone"] == name]
        assert rows["bin"].tolist() == [0, 1, 2, 3] and rows["answers"].tolist() == [180] * 4
        assert rows["confidence"].tolist() == pytest.approx(by["said"].mean().tolist())
        assert rows["estimate"].tolist() == pytest.approx(by["correct"].mean().tolist())


def test_equal_confidences_are_wrong_at_an_even_rate() -> None:
    rows = table([{"item": f"i{k}", "score": float(k > 0)} for k in range(4)]).assign(
        said=[0.9, 0.9, 0.5, 0.5]
    )
    found = risk_coverage(rows, (), "said", points=4)
    assert found["coverage"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert found["risk"].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 4])


def test_missing_confidences_are_left_out_and_nothing_is_nothing(answers: pd.DataFrame) -> None:
    holes = answers.assign(said=answers["said"].where(answers["backbone"] == "b"))
    assert set(reliability_table(holes, rng=RNG(0), definition="said", resamples=20)["backbone"]) == {"b"}
    assert set(risk_coverage(holes, definition="said")["backbone"]) == {"b"}
    assert set(null_bands(holes, (), "said", rng=RNG(0), draws=20)["backbone"]) == {"b"}
    for nothing in (answers.iloc[:0], answers.assign(said=np.nan)):
        assert null_bands(nothing, ("task",), "said", rng=RNG(0)).empty
        assert reliability_table(nothing, rng=RNG(0), definition="said").empty
        assert risk_coverage(nothing, definition="said").empty


def test_tables_that_mix_or_lack_something_are_refused(answers: pd.DataFrame) -> None:
    with pytest.raises(ValueError, match="the predictions lack the columns other"):
        null_bands(answers, (), "other", rng=RNG(0))
    mixed = answers.assign(split=np.where(answers["seed"] == 0, "test", "validation"))
    with pytest.raises(ValueError, match="column 'split' mixes test, validation"):
        null_bands(mixed, (), "said", rng=RNG(0))
    with pytest.raises(ValueError, match="a confidence must lie in 0 to 1"):
        null_bands(answers.assign(said=2.0), (), "said", rng=RNG(0))
