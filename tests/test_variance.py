"""Variance components: against statsmodels' REML, on simulated data with known components, and by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from prediction_tables import table

from barnlib.analyses.variance import BETWEEN_RUNS, TERMS, components, score_array, shares, variance_table

RNG = np.random.default_rng
TRUE = {
    "encoder": 2.0,
    "backbone": 1.0,
    "encoder × backbone": 0.5,
    "seed": 0.3,
    "item": 1.5,
    "encoder × item": 0.8,
    "backbone × item": 0.6,
    "encoder × backbone × item": 0.4,
    "seed × item": 0.7,
}


def simulated(shape: tuple[int, int, int, int], rng: np.random.Generator, true: dict = TRUE) -> np.ndarray:
    """Scores with normal effects of known variance for each term."""
    total = np.zeros(shape)
    for term in TERMS:
        sizes = [size if axis in term.axes else 1 for axis, size in enumerate(shape)]
        total = total + rng.normal(0, np.sqrt(true.get(term.name, 0.0)), sizes)
    return total


def test_known_components_come_out_right_on_average() -> None:
    found = pd.DataFrame([components(simulated((4, 4, 3, 8), RNG(n))) for n in range(800)])
    error = found.std() / np.sqrt(len(found))
    for name, value in TRUE.items():
        assert abs(found[name].mean() - value) < 4 * error[name], name


def test_they_are_statsmodels_reml_estimates() -> None:
    """Backbone and item crossed, runs in backbones, one encoder: MixedLM with crossed variance components."""
    true = {"backbone": 4.0, "seed": 1.0, "item": 3.0, "backbone × item": 1.5, "seed × item": 1.0}
    scores = simulated((1, 4, 3, 10), RNG(2), true)
    found = components(scores)
    assert min(found.values()) > 0, "REML equals the method of moments only where none is at its bound"
    _, backbone, run, item = (axis.ravel() for axis in np.indices(scores.shape))
    data = pd.DataFrame({"y": scores.ravel(), "backbone": backbone, "run": backbone * 10 + run, "item": item})
    data["both"] = data["backbone"] * 100 + data["item"]
    parts = {name: f"0 + C({name})" for name in ("backbone", "run", "item", "both")}
    model = sm.MixedLM.from_formula("y ~ 1", groups=np.ones(len(data)), vc_formula=parts, data=data)
    fit = model.fit(reml=True, method=["lbfgs", "nm"], maxiter=2000)
    reml = dict(zip(model.exog_vc.names, fit.vcomp, strict=True))
    expected = {
        "backbone": reml["backbone"],
        "seed": reml["run"],
        "item": reml["item"],
        "backbone × item": reml["both"],
        "seed × item": fit.scale,
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=0.02), name


def test_two_by_two_by_hand() -> None:
    """Two encoders, two items, one backbone, one seed: ((1, 3), (5, 11)); mean squares 36, 16 and 4."""
    scores = np.array([[1.0, 3.0], [5.0, 11.0]]).reshape(2, 1, 1, 2)
    # means of encoders 2 and 8, of items 3 and 7, of all 5; interaction residuals of 1
    found = components(scores)
    assert found == pytest.approx({"encoder": (36 - 4) / 2, "item": (16 - 4) / 2, "encoder × item": 4.0})


def test_a_term_that_cannot_be_told_is_left_out() -> None:
    rng = RNG(0)
    assert set(components(simulated((1, 3, 1, 5), rng))) == {"backbone", "item", "backbone × item"}
    assert set(components(simulated((1, 1, 1, 5), rng))) == {"item"}
    assert "seed" not in components(simulated((3, 3, 1, 5), rng))
    assert set(components(simulated((2, 2, 2, 5), rng))) == {term.name for term in TERMS}


def test_shares_sum_to_one_and_negative_components_count_as_nothing() -> None:
    assert shares({"a": 3.0, "b": -1.0, "c": 1.0}) == {"a": 0.75, "b": 0.0, "c": 0.25}
    assert shares({"a": 3.0, "b": 1.0, "c": 4.0}, ("a", "b")) == {"a": 0.75, "b": 0.25}
    assert np.isnan(shares({"a": 0.0})["a"])
    constant = components(np.ones((2, 2, 2, 3)))
    assert all(value == pytest.approx(0) for value in constant.values())


def test_the_table_has_intervals_over_pictures() -> None:
    scores = simulated((3, 3, 2, 40), RNG(4), {**TRUE, "encoder": 50.0})
    found = variance_table(scores, [f"{n // 2}.png" for n in range(40)], rng=RNG(0), resamples=100)
    found = found.set_index("term")
    assert found["share"].sum() == pytest.approx(1)
    assert found.loc[list(BETWEEN_RUNS), "share_of_runs"].sum() == pytest.approx(1)
    row = found.loc["encoder"]
    assert row["share_of_runs_low"] <= row["share_of_runs"] <= row["share_of_runs_high"]
    assert np.isnan(found.loc["item", "share_of_runs"])
    one = variance_table(scores, ["one.png"] * 40, rng=RNG(0), resamples=10)
    assert one["share_low"].isna().all() and one["share"].notna().all()


@pytest.mark.slow
def test_an_interval_of_a_share_covers_the_truth() -> None:
    """Chance of a seed on an item, which a resample holds twice, must not pass for a difference between runs."""
    covered = []
    for number in range(60):
        rng = RNG(number)
        runs = simulated((3, 3, 2, 1), rng, {"encoder": 0.004, "backbone": 0.0003, "seed": 0.0004})
        truth = shares(components(np.repeat(runs, 2, axis=-1)), BETWEEN_RUNS)["encoder"]
        scores = runs + simulated((3, 3, 2, 150), rng, {"item": 0.05, "seed × item": 0.12})
        found = variance_table(scores, [f"{n}.png" for n in range(150)], rng=rng, resamples=100)
        row = found.set_index("term").loc["encoder"]
        covered.append(row["share_of_runs_low"] <= truth <= row["share_of_runs_high"])
    assert np.mean(covered) >= 0.9


def test_what_cannot_be_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"found shape \(2, 2, 1, 1\)"):
        components(np.ones((2, 2, 1, 1)))
    with pytest.raises(ValueError, match="not finite"):
        components(np.full((1, 2, 1, 3), np.nan))


def rows(seeds: dict[str, tuple[int, ...]]) -> pd.DataFrame:
    made = table(
        [
            {
                "backbone": backbone,
                "seed": seed,
                "item": f"i{item}",
                "score": (item + seed + len(encoder)) % 2,
            }
            for encoder, own in seeds.items()
            for backbone in ("a", "b")
            for seed in own
            for item in range(3)
        ]
    )
    names = [encoder for encoder, own in seeds.items() for _ in range(2 * len(own) * 3)]
    return made.assign(encoder=names)


def test_scores_as_an_array_over_the_seeds_that_all_share() -> None:
    scores, images = score_array(rows({"clip": (0, 1, 2), "oracle": (1,)}))
    assert scores.shape == (2, 2, 1, 3) and images == ["i0.png", "i1.png", "i2.png"]
    np.testing.assert_array_equal(scores[0, 0, 0], [1.0, 0.0, 1.0])  # seed 1, a name of four letters
    np.testing.assert_array_equal(scores[1, 1, 0], [1.0, 0.0, 1.0])


def test_arrays_that_are_not_complete_are_refused() -> None:
    with pytest.raises(ValueError, match="share no seed"):
        score_array(rows({"clip": (0,), "oracle": (1,)}))
    with pytest.raises(ValueError, match="lacks an encoder, a backbone or an item"):
        score_array(rows({"clip": (0,), "oracle": (0,)}).iloc[:-1])
    twice = rows({"clip": (0,)})
    with pytest.raises(ValueError, match="answers an item twice"):
        score_array(pd.concat([twice, twice]))
