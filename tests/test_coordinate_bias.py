"""Slopes of answers on truths against numpy, and cells of the map by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from prediction_tables import coordinates, table

from barnlib.analyses.coordinate_bias import answered_places, favourites, on_map, pull
from barnlib.data.descriptions import write_coordinates

RNG = np.random.default_rng


def simulated(slope: float, offset: float, seeds: int = 1, images: int = 60) -> pd.DataFrame:
    """Answers that follow the truth with a slope, on places away from poles and from the edge of the map."""
    rng = RNG(3)
    latitude, longitude = rng.uniform(-40, 40, images), rng.uniform(20, 150, images)
    return table(
        [
            coordinates(
                f"item-{n}",
                write_coordinates(
                    slope * latitude[n] + offset + rng.normal(0, 1), 90 + slope * (longitude[n] - 90) + offset
                ),
                seed=seed,
                reference=write_coordinates(latitude[n], longitude[n]),
            )
            for seed in range(seeds)
            for n in range(images)
        ]
    )


def test_the_slope_is_that_of_least_squares_and_the_known_one() -> None:
    rows = simulated(0.4, 3.0, seeds=2)
    found = pull(rows, rng=RNG(0), resamples=200).set_index(["axis", "measure"])
    places = answered_places(rows)
    for axis in ("latitude", "longitude"):
        expected = np.polyfit(places[f"true_{axis}"], places[axis], 1)[0]
        row = found.loc[(axis, "slope")]
        assert row["estimate"] == pytest.approx(expected)
        assert row["low"] < 0.4 < row["high"] or abs(row["estimate"] - 0.4) < 0.02
    error = found.loc[("latitude", "mean error, degrees")]
    assert error["estimate"] == pytest.approx((places["latitude"] - places["true_latitude"]).mean())


def test_slope_intervals_cover_a_known_slope() -> None:
    """Answers of slope 0.5 with noise: 95 % intervals over 40 cards hold it about as often as they say."""
    hits = 0
    for trial in range(40):
        rng = RNG(trial)
        latitude = rng.uniform(-40, 40, 40)
        rows = table(
            [
                coordinates(
                    f"{n}",
                    write_coordinates(0.5 * latitude[n] + rng.normal(0, 8), 100.0),
                    reference=write_coordinates(latitude[n], 100.0),
                )
                for n in range(40)
            ]
        )
        found = pull(rows, rng=rng, resamples=200).set_index(["axis", "measure"]).loc[("latitude", "slope")]
        hits += found["low"] <= 0.5 <= found["high"]
    assert hits >= 33


def test_slope_errors_far_from_zero_are_those_of_a_sandwich() -> None:
    """Longitudes lie far from 0: the error is that of statsmodels' robust regression, not that of their mean."""
    rows = simulated(0.4, 3.0)
    rng = RNG(5)
    places = answered_places(rows)
    rows = rows.assign(
        answer=[
            write_coordinates(latitude, min(longitude + rng.normal(0, 10), 179.0))
            for latitude, longitude in zip(places["latitude"], places["longitude"], strict=True)
        ]
    )
    found = pull(rows, rng=RNG(0), resamples=4000).set_index(["axis", "measure"]).loc[("longitude", "slope")]
    places = answered_places(rows)
    fitted = sm.OLS(places["longitude"], sm.add_constant(places["true_longitude"])).fit(cov_type="HC1")
    assert found["estimate"] == pytest.approx(fitted.params["true_longitude"])
    assert found["se"] == pytest.approx(fitted.bse["true_longitude"], rel=0.12)


def test_one_answer_everywhere_has_a_slope_of_nothing_for_sure() -> None:
    rng = RNG(1)
    rows = table(
        [
            coordinates(str(n), write_coordinates(10.0, 150.0), reference=write_coordinates(*place))
            for n, place in enumerate(rng.uniform(-60, 60, (30, 2)))
        ]
    )
    slopes = pull(rows, rng=RNG(0), resamples=100).set_index("measure").loc["slope"]
    assert np.allclose(slopes[["estimate", "low", "high"]].astype(float), 0)


def test_only_what_can_be_read_has_a_place() -> None:
    rows = table([coordinates("a", '{"latitude": -6.0, "longitude": 128.0}'), coordinates("b", "in Fiji")])
    assert answered_places(rows)["item"].tolist() == ["a"]
    nothing = answered_places(table([coordinates("b", "in Fiji")]))
    assert nothing.empty and favourites(nothing).empty
    assert pull(table([coordinates("b", "in Fiji")]), rng=RNG(0), resamples=10).empty


def test_one_truth_has_no_slope() -> None:
    rows = table([coordinates(str(n), f'{{"latitude": {n}.0, "longitude": 128.0}}') for n in range(3)])
    found = pull(rows, rng=RNG(0), resamples=10).set_index(["axis", "measure"])
    assert np.isnan(found.loc[("latitude", "slope"), "estimate"])
    assert found.loc[("latitude", "mean error, degrees"), "estimate"] == pytest.approx(7)


def test_longitudes_on_the_map() -> None:
    assert on_map(np.array([-180.0, -30.1, -30, 0, 180])).tolist() == pytest.approx([180, 329.9, -30, 0, 180])


def test_cells_count_answers_and_truths() -> None:
    rows = table(
        [
            coordinates("a", '{"latitude": -5.0, "longitude": 127.0}'),
            coordinates("b", '{"latitude": -4.0, "longitude": 131.0}'),
            coordinates("c", '{"latitude": 50.0, "longitude": -170.0}'),
            coordinates("d", "nothing"),
        ]
    )
    found = favourites(answered_places(rows)).set_index(["latitude", "longitude"])
    assert found.loc[(-3.0, 129.0), "answers"] == 2
    assert found.loc[(-3.0, 129.0), "share"] == pytest.approx(2 / 3)
    assert found["true_share"].tolist() == pytest.approx([1.0, 0.0])  # the truth is 6 S, 128 E for all
    assert found.loc[(51.0, 189.0), "true_share"] == 0
