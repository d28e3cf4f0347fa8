"""Calibration of several runs: means, pairs and rankings by hand, and coverage where the truth is known."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import confident

from barnlib.analyses.calibration import BOUNDS, MEASURES, measures
from barnlib.analyses.calibration_tables import BETTER, Resampled, differences, estimates, rankings, resample
from barnlib.analyses.replicates import image_draws

RNG = np.random.default_rng


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return confident({"a": 0.0, "b": -0.15}, seeds=3, images=60)


def test_measures_on_resampled_pictures_are_those_of_the_answers_as_often(answers: pd.DataFrame) -> None:
    (found,) = resample(answers, ("task",), ("said",), rng=RNG(3), resamples=4)
    draws = image_draws(RNG(3), 4, 60)  # the same generator draws the same pictures
    of = pd.factorize(answers["image"])[0]
    for run in found.values:
        rows = ((answers["backbone"] == run[0]) & (answers["seed"] == run[1])).to_numpy()
        part = answers[rows]
        weighted = measures(part["said"], part["correct"], draws[:, of[rows]])
        for place, name in enumerate(MEASURES):
            assert found.draws[run][:, place] == pytest.approx(weighted[name])
    assert found.labels == {"task": "vqa_scene", "definition": "said"}
    assert found.counts == {"items": 240, "images": 60} and found.backbones == ["a", "b"]


def test_many_answers_are_taken_in_portions(answers: pd.DataFrame, monkeypatch) -> None:
    (whole,) = resample(answers, (), ("said",), rng=RNG(0), resamples=7)
    monkeypatch.setattr("barnlib.analyses.calibration_tables.CHUNK", 2 * 240)  # two resamples at a time
    (portions,) = resample(answers, (), ("said",), rng=RNG(0), resamples=7)
    for run, draws in whole.draws.items():
        np.testing.assert_allclose(portions.draws[run], draws, rtol=1e-12, atol=1e-15)


def test_estimates_are_means_over_runs(answers: pd.DataFrame) -> None:
    found = estimates(resample(answers, ("task",), ("said",), rng=RNG(0), resamples=200))
    assert set(found["measure"]) == set(MEASURES) and set(found["backbone"]) == {"a", "b"}
    for row in found.itertuples():
        runs = [
            measures(part["said"], part["correct"])[row.measure][0]
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
    assert found.loc["ece", "low"] > 0
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


def test_only_the_pairs_that_are_asked_for_and_their_shared_seeds(answers: pd.DataFrame) -> None:
    fewer = answers[(answers["backbone"] == "a") | (answers["seed"] > 0)]
    resampled = resample(fewer, (), ("said",), rng=RNG(0), resamples=20)
    found = differences(resampled, [("b", "a")])
    assert len(found) == len(MEASURES) and (found["seeds"] == 2).all()
    runs = resampled[0].values
    expected = np.mean([runs["a", seed] - runs["b", seed] for seed in (1, 2)], axis=0)
    assert found["estimate"].tolist() == pytest.approx(expected.tolist())


def test_a_difference_may_be_as_large_as_the_range() -> None:
    """Of a backbone that is always right and one that never is, the interval is cut at one and not at zero."""
    rows = confident({"a": 1.0, "b": -1.0}, seeds=1, images=20)
    found = differences(resample(rows, (), ("said",), rng=RNG(0), resamples=50)).set_index("measure")
    assert found.loc["accuracy", ["estimate", "low", "high"]].tolist() == pytest.approx([-1, -1, -1])
    assert set(BETTER) <= set(BOUNDS)


def test_one_backbone_one_seed_and_nothing_still_answer(answers: pd.DataFrame) -> None:
    alone = answers[(answers["backbone"] == "a") & (answers["seed"] == 0)]
    resampled = resample(alone, (), ("said",), rng=RNG(0), resamples=50)
    assert len(estimates(resampled)) == len(MEASURES) and differences(resampled).empty
    assert rankings(resampled)["order"].tolist() == ["a"] * 3
    nothing = resample(answers.iloc[:0], ("task",), ("said",), rng=RNG(0), resamples=50)
    assert nothing == [] and estimates(nothing).empty and rankings(nothing).empty


def test_missing_confidences_give_no_number(answers: pd.DataFrame) -> None:
    holes = answers.assign(said=answers["said"].where(answers["backbone"] == "b"))
    found = estimates(resample(holes, (), ("said",), rng=RNG(0), resamples=50)).set_index("backbone")
    assert found.loc["a", "estimate"].isna().all() and found.loc["b", "estimate"].notna().all()
    nowhere = resample(holes.assign(said=np.nan), (), ("said",), rng=RNG(0), resamples=50)
    assert estimates(nowhere)["estimate"].isna().all() and rankings(nowhere)["order"].isna().all()
    with pytest.raises(ValueError, match="a and b share no seed"):
        apart = answers[(answers["seed"] == 0) == (answers["backbone"] == "a")]
        differences(resample(apart, (), ("said",), rng=RNG(0), resamples=50))


def test_a_ranking_that_depends_on_the_definition_is_seen(answers: pd.DataFrame) -> None:
    turned = answers.assign(
        other=np.where(answers["backbone"] == "a", np.clip(answers["said"] + 0.4, 0, 1), answers["said"])
    )
    found = rankings(resample(turned, ("task",), ("said", "other"), rng=RNG(0), resamples=100))
    ece = found[found["measure"] == "squared_error"].set_index("definition")
    assert ece["order"].to_dict() == {"said": "a > b", "other": "b > a"}
    assert ece["agrees"].to_dict() == {"said": True, "other": False}
    assert (ece["held"] > 0.9).all()


def test_how_sure_an_order_is_is_the_share_of_resamples_that_keep_it() -> None:
    def made(first: float, second: float, drawn: list[tuple[float, float]]) -> Resampled:
        def row(value: float) -> np.ndarray:
            return np.full(len(MEASURES), value)

        return Resampled(
            {"task": "t", "definition": "said"},
            {"items": 4, "images": 4},
            {("a", 0): row(first), ("b", 0): row(second)},
            {
                ("a", 0): np.stack([row(one) for one, _ in drawn]),
                ("b", 0): np.stack([row(other) for _, other in drawn]),
            },
        )

    drawn = [(0.1, 0.2), (0.3, 0.2), (0.1, 0.1), (0.0, 0.5)]
    found = rankings([made(0.1, 0.2, drawn)]).set_index("measure")
    assert found["order"].to_dict() == {"squared_error": "a > b", "brier": "a > b", "auroc": "b > a"}
    assert found["held"].to_dict() == {"squared_error": 0.75, "brier": 0.75, "auroc": 0.75}  # a tie keeps it


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gap", "measure"), [(-0.1, "squared_error"), (0.0, "squared_error"), (0.0, "brier")]
)
def test_intervals_cover_the_truth(gap: float, measure: str) -> None:
    """Truth: of the squared error gap^2; of the Brier score by integration."""
    said = np.linspace(0.2, 0.8, 100_001)
    truth = {"squared_error": gap**2, "brier": (said * (1 - said)).mean()}[measure]
    covered = []
    for trial in range(120):
        rows = confident({"a": gap}, seeds=3, images=60, seed=trial)
        found = estimates(resample(rows, (), ("said",), rng=RNG(trial), resamples=80))
        interval = found[found["measure"] == measure].iloc[0]
        covered.append(interval["low"] <= truth <= interval["high"])
    assert np.mean(covered) >= 0.92


@pytest.mark.slow
def test_of_two_calibrated_backbones_the_sharper_is_not_better_calibrated() -> None:
    """A calibration error of distances, even less its bias by Kumar's method, would prefer the sharper one."""
    found = []
    for trial in range(120):
        rng = RNG(trial)
        sharp, flat = (
            confident({name: 0.0}, seeds=3, images=60, seed=2 * trial + k) for k, name in enumerate("ab")
        )
        said = 0.5 + 0.2 * (flat["said"] - 0.5)
        right = rng.random(len(said)) < said
        both = pd.concat([sharp, flat.assign(said=said, score=right.astype(float), correct=right)])
        table = differences(resample(both, (), ("said",), rng=rng, resamples=80))
        found.append(table[table["measure"] == "squared_error"].iloc[0])
    estimate, low, high = (np.array([row[name] for row in found]) for name in ("estimate", "low", "high"))
    assert abs(estimate.mean()) < 3 * estimate.std() / np.sqrt(len(estimate))
    assert np.mean((low <= 0) & (high >= 0)) >= 0.92
