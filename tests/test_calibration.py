"""Calibration measures against scikit-learn, sums written out, closed forms, and simulations with a known truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prediction_tables import table
from sklearn.metrics import brier_score_loss, roc_auc_score

from barnlib.calibration import (
    MEASURES,
    differences,
    equal_mass_bins,
    estimates,
    mean_distance,
    measures,
    null_bands,
    rankings,
    reliability_table,
    resample,
    risk_coverage,
)

RNG = np.random.default_rng


def one(confidence, correct, **more) -> dict[str, float]:
    return {name: float(value[0]) for name, value in measures(confidence, correct, **more).items()}


def simulated(
    skills: dict[str, float], *, seeds: int, images: int, questions: int = 4, seed: int = 0
) -> pd.DataFrame:
    """Answers whose confidence is said and whose chance of being right is that plus the backbone's number."""
    rng = RNG(seed)
    made = [
        {"backbone": name, "seed": run, "item": f"{image}-{question}", "image": f"{image}.png", "said": said}
        | {"score": float(rng.random() < np.clip(said + gap, 0, 1))}
        for name, gap in skills.items()
        for run in range(seeds)
        for image in range(images)
        for question in range(questions)
        for said in [rng.uniform(0.2, 0.8)]
    ]
    return table(made).assign(said=[row["said"] for row in made])


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return simulated({"a": 0.0, "b": -0.15}, seeds=3, images=60)


def test_ranking_and_squares_are_those_of_scikit_learn() -> None:
    rng = RNG(0)
    said, right = rng.integers(0, 12, 500) / 11, rng.random(500) < 0.4
    weights = rng.integers(0, 4, (6, 500)).astype(float)
    found = measures(said, right, weights)
    for k, weight in enumerate(weights):
        assert found["auroc"][k] == pytest.approx(roc_auc_score(right, said, sample_weight=weight))
        assert found["brier"][k] == pytest.approx(brier_score_loss(right, said, sample_weight=weight))
        assert found["accuracy"][k] == pytest.approx(np.average(right, weights=weight))


def test_calibration_error_is_the_sum_over_bins() -> None:
    rng = RNG(1)
    said = rng.random(300)
    right = rng.random(300) < said**2
    bins = pd.DataFrame({"said": said, "right": right, "bin": pd.qcut(said, 15, labels=False)}).groupby("bin")
    gaps = (bins["said"].mean() - bins["right"].mean()).abs()
    assert bins.size().eq(20).all()
    assert one(said, right)["ece"] == pytest.approx(gaps.mean())
    expected = np.mean((bins["said"].mean() - bins["right"].mean()) ** 2 - bins["right"].var(ddof=1) / 20)
    assert one(said, right)["squared_error"] == pytest.approx(expected)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 200), st.sampled_from([2, 11, 10**6]))
def test_the_parts_of_the_brier_score_add_up(seed: int, count: int, levels: int) -> None:
    rng = RNG(seed)
    said, right = rng.integers(0, levels + 1, count) / levels, rng.random(count) < 0.5
    weights = rng.integers(0, 3, (3, count)) + (np.arange(count) == 0)
    found = measures(said, right, weights)
    whole = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"]
    assert whole == pytest.approx(found["brier"], abs=1e-12)
    assert set(found) == set(MEASURES)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(2, 80))
def test_the_order_of_rows_plays_no_part_and_repeating_a_row_is_its_weight(seed: int, count: int) -> None:
    rng = RNG(seed)
    said, right = rng.integers(0, 6, count) / 5, rng.random(count) < 0.5
    order, times = rng.permutation(count), rng.integers(1, 4, count)
    plain, shuffled = one(said, right), one(said[order], right[order])
    assert list(plain.values()) == pytest.approx(list(shuffled.values()), nan_ok=True)
    weighted = one(said, right, weights=times[None])
    repeated = one(np.repeat(said, times), np.repeat(right, times))
    for name in ("brier", "auroc", "aurc", "accuracy"):  # those without bins
        assert weighted[name] == pytest.approx(repeated[name], nan_ok=True)


def test_the_area_under_risk_has_closed_forms() -> None:
    right = np.r_[np.ones(70, bool), np.zeros(30, bool)]
    constant, perfect = one(np.full(100, 0.5), right), one(np.linspace(1, 0, 100), right)
    assert constant["aurc"] == pytest.approx(0.3) and constant["auroc"] == 0.5
    assert perfect["aurc"] == pytest.approx(0.3 + 0.7 * np.log(0.7))
    assert perfect["excess_aurc"] == pytest.approx(0, abs=1e-12) and perfect["auroc"] == 1.0
    rng = RNG(2)
    said, hit = rng.random(4000), rng.random(4000) < 0.6
    order = np.argsort(-said)
    by_hand = np.mean(np.cumsum(~hit[order]) / np.arange(1, 4001))
    assert one(said, hit)["aurc"] == pytest.approx(by_hand, abs=2e-3)


def test_all_right_and_all_wrong_have_no_ranking() -> None:
    for right in (np.ones(30, bool), np.zeros(30, bool)):
        found = one(np.linspace(0.1, 0.9, 30), right)
        assert np.isnan(found["auroc"])
        assert found["excess_aurc"] == pytest.approx(0)
        assert found["ece"] == pytest.approx(0.5) and found["uncertainty"] == 0
    assert all(np.isnan(value[0]) for value in measures([], []).values())


def test_bins_hold_equal_numbers_and_keep_equal_confidences_together() -> None:
    assert np.bincount(equal_mass_bins(RNG(3).random(300))).tolist() == [20] * 15
    tied = equal_mass_bins([0.1] * 40 + [0.9] * 60)
    assert len(set(tied[:40])) == 1 and len(set(tied[40:])) == 1 and tied[0] != tied[-1]
    assert equal_mass_bins([0.3] * 9).tolist() == [0] * 9
    assert len(equal_mass_bins([])) == 0


def test_the_mean_distance_is_that_of_a_folded_normal() -> None:
    rng = RNG(4)
    for mean, sd in [(0.0, 1.0), (0.3, 0.2), (-2.0, 0.5)]:
        drawn = np.abs(rng.normal(mean, sd, 400_000)).mean()
        assert mean_distance(np.array(mean), np.array(sd)) == pytest.approx(drawn, rel=5e-3)
    assert mean_distance(np.array(-0.4), np.array(0.0)) == pytest.approx(0.4)


def test_the_unbiased_error_is_unbiased_and_the_plain_one_is_not() -> None:
    rng = RNG(5)
    found = {"ece": [], "ece_debiased": [], "squared_error": []}
    shifted = []
    for _ in range(400):
        said = rng.uniform(0.1, 0.9, 300)
        calibrated = one(said, rng.random(300) < said)
        for name, values in found.items():
            values.append(calibrated[name])
        shifted.append(one(said * 0.7, rng.random(300) < said)["squared_error"])
    assert np.mean(found["squared_error"]) == pytest.approx(0, abs=4e-4)
    assert np.mean(found["ece"]) > 0.06 and np.mean(found["ece_debiased"]) < 0.7 * np.mean(found["ece"])
    assert np.mean(shifted) == pytest.approx(np.mean((0.3 * rng.uniform(0.1, 0.9, 10**5)) ** 2), rel=0.05)


def test_a_calibrated_predictor_lies_in_its_null_band() -> None:
    inside, p = [], []
    for trial in range(60):
        rows = simulated({"a": 0.0}, seeds=1, images=50, seed=trial)
        band = null_bands(rows, ("task",), "said", rng=RNG(trial), draws=200).iloc[0]
        inside.append(band["null_low"] <= band["observed"] <= band["null_high"])
        p.append(band["p"])
    assert np.mean(inside) >= 0.87
    assert 0.35 < np.mean(p) < 0.65
    worse = null_bands(simulated({"a": -0.2}, seeds=2, images=60), (), "said", rng=RNG(0), draws=200).iloc[0]
    assert worse["observed"] > worse["null_high"] and worse["p"] == pytest.approx(1 / 201)


def test_estimates_are_means_over_runs(answers: pd.DataFrame) -> None:
    found = estimates(resample(answers, ("task",), ("said",), rng=RNG(0), resamples=200))
    assert set(found["measure"]) == set(MEASURES) and set(found["backbone"]) == {"a", "b"}
    for row in found.itertuples():
        runs = [
            one(part["said"], part["correct"])[row.measure]
            for _, part in answers[answers["backbone"] == row.backbone].groupby("seed")
        ]
        assert row.estimate == pytest.approx(np.mean(runs))
        assert row.low <= row.estimate <= row.high
        assert (row.items, row.images, row.seeds) == (240, 60, 3)


def test_differences_are_paired_by_seed(answers: pd.DataFrame) -> None:
    resampled = resample(answers, ("task",), ("said",), rng=RNG(0), resamples=300)
    each = estimates(resampled).set_index(["backbone", "measure"])["estimate"]
    found = differences(resampled).set_index("measure")
    assert set(found["a"]) == {"a"} and set(found["b"]) == {"b"}
    for measure in MEASURES:
        assert found.loc[measure, "estimate"] == pytest.approx(each["b", measure] - each["a", measure])
    assert found.loc["ece_debiased", "estimate"] > 0.05 and found.loc["ece_debiased", "low"] > 0
    same = differences(
        resample(
            pd.concat([answers[answers["backbone"] == "a"].assign(backbone=name) for name in "xy"]),
            ("task",),
            ("said",),
            rng=RNG(0),
            resamples=50,
        )
    )
    assert (same[["estimate", "low", "high"]] == 0).all().all()


def test_one_backbone_one_seed_and_nothing_still_answer(answers: pd.DataFrame) -> None:
    alone = answers[(answers["backbone"] == "a") & (answers["seed"] == 0)]
    resampled = resample(alone, (), ("said",), rng=RNG(0), resamples=50)
    assert len(estimates(resampled)) == len(MEASURES) and differences(resampled).empty
    assert rankings(resampled)["order"].tolist() == ["a"] * 3
    nothing = resample(answers.iloc[:0], ("task",), ("said",), rng=RNG(0), resamples=50)
    assert nothing == [] and estimates(nothing).empty and rankings(nothing).empty
    assert null_bands(answers.iloc[:0], ("task",), "said", rng=RNG(0)).empty
    assert reliability_table(answers.iloc[:0], rng=RNG(0), definition="said").empty
    assert risk_coverage(answers.iloc[:0], definition="said").empty


def test_missing_confidences_give_no_number(answers: pd.DataFrame) -> None:
    holes = answers.assign(said=answers["said"].where(answers["backbone"] == "b"))
    found = estimates(resample(holes, (), ("said",), rng=RNG(0), resamples=50)).set_index("backbone")
    assert found.loc["a", "estimate"].isna().all() and found.loc["b", "estimate"].notna().all()
    nowhere = resample(holes.assign(said=np.nan), (), ("said",), rng=RNG(0), resamples=50)
    assert estimates(nowhere)["estimate"].isna().all() and rankings(nowhere)["order"].isna().all()
    assert set(reliability_table(holes, rng=RNG(0), definition="said")["backbone"]) == {"b"}
    with pytest.raises(ValueError, match="a confidence must lie in 0 to 1; 1 of 2 do not"):
        measures([0.5, 1.2], [True, False])
    with pytest.raises(ValueError, match="a and b share no seed"):
        apart = answers[(answers["seed"] == 0) == (answers["backbone"] == "a")]
        differences(resample(apart, (), ("said",), rng=RNG(0), resamples=50))


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


def test_a_ranking_that_depends_on_the_definition_is_seen(answers: pd.DataFrame) -> None:
    turned = answers.assign(
        other=np.where(answers["backbone"] == "a", np.clip(answers["said"] + 0.4, 0, 1), answers["said"])
    )
    found = rankings(resample(turned, ("task",), ("said", "other"), rng=RNG(0), resamples=100))
    ece = found[found["measure"] == "ece_debiased"].set_index("definition")
    assert ece["order"].to_dict() == {"said": "a > b", "other": "b > a"}
    assert ece["agrees"].to_dict() == {"said": True, "other": False}
    assert (ece["held"] > 0.9).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gap", "measure"), [(-0.1, "squared_error"), (-0.15, "ece_debiased"), (0.0, "brier")]
)
def test_intervals_cover_the_truth(gap: float, measure: str) -> None:
    """Truth: of the squared error gap^2; of the error |gap|; of the Brier score by integration."""
    said = np.linspace(0.2, 0.8, 100_001)
    truth = {"squared_error": gap**2, "ece_debiased": abs(gap), "brier": (said * (1 - said)).mean()}[measure]
    covered = []
    for trial in range(120):
        rows = simulated({"a": gap}, seeds=3, images=60, seed=trial)
        found = estimates(resample(rows, (), ("said",), rng=RNG(trial), resamples=80))
        interval = found[found["measure"] == measure].iloc[0]
        covered.append(interval["low"] <= truth <= interval["high"])
    assert np.mean(covered) >= 0.92
