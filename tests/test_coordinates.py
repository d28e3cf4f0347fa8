"""The ladder and the errors of coordinate answers, by hand."""

import json

import numpy as np
import pytest
from prediction_tables import coordinates, table

from barnlib.analyses.coordinates import (
    OUTCOMES,
    coordinate_curve,
    coordinate_errors,
    coordinate_failures,
    coordinate_ladder,
    coordinate_rows,
    reference_losses,
)
from barnlib.scoring import score_coordinates

RNG = np.random.default_rng
ANSWERS = (
    '{"latitude": -6.0, "longitude": 129.0}',  # 111 km off
    '{"latitude": -6.0, "longitude": 132.0}',  # 442 km
    '{"latitude": 6.0, "longitude": 128.0}',  # 1334 km
    '{"latitude": -6.0, "longitude": 328.0}',
    '{"latitude": -6.0}',
    "-6.0, 128.0",
    "somewhere",
)
ROWS = table(
    [
        coordinates(str(number), answer, stop="eos" if number else "length")
        for number, answer in enumerate(ANSWERS)
    ]
    + [{"item": "other task"}]
)


def test_rows() -> None:
    rows = coordinate_rows(ROWS)
    assert rows["stage"].tolist() == ["range"] * 3 + ["schema", "json", "text", "text"]
    degree = np.pi * 6371 / 180
    expected = [
        degree * np.cos(np.radians(6)),
        degree * 4 * np.cos(np.radians(6)),
        12 * degree,
        *[np.inf] * 4,
    ]
    assert rows["error_km"].tolist() == pytest.approx(expected, rel=1e-3)
    assert rows["lenient_error_km"].tolist()[5:] == [0, np.inf]


def test_errors_are_those_of_the_score_where_a_row_has_them() -> None:
    """The reference is rounded: an answer within the tolerance of the true place may be beyond it of the reference."""
    truth = {"latitude": -6.04, "longitude": 127.96}
    answer = (
        '{"latitude": 3.0, "longitude": 128.0}'  # 1,005.2 km from the truth, 1,000.8 km from the reference
    )
    scored = score_coordinates(answer, truth, 1006.0)
    unread = score_coordinates("nowhere", truth, 1006.0)
    details = [
        json.dumps(scored.details),
        json.dumps({**unread.details, "error_km": None, "lenient_error_km": None}),
    ]
    rows = table([coordinates("a", answer), coordinates("b", "nowhere"), coordinates("c", answer)])
    found = coordinate_rows(rows.assign(details=[*details, np.nan]))
    assert found["error_km"].tolist() == [scored.details["error_km"], np.inf, pytest.approx(1000.8, abs=0.5)]
    assert found["error_km"].iloc[0] == pytest.approx(1005.2, abs=0.5)
    assert found["stage"].tolist() == ["range", "text", "range"], "no rung of a distance: that is asked later"
    assert found["lenient_error_km"].tolist()[:2] == [scored.details["error_km"], np.inf]


def test_ladder() -> None:
    found = coordinate_ladder(ROWS, rng=RNG(0), resamples=50).set_index("rung")
    expected = {
        "stopped": 6,
        "json": 5,
        "schema": 4,
        "range": 3,
        "lenient": 5,
        "within 1000 km": 2,
        "within 500 km": 2,
        "within 250 km": 1,
    }
    assert (found["estimate"] * 7).to_dict() == pytest.approx(expected)
    assert (found["items"] == 7).all()


def test_the_median_counts_unread_answers_as_infinitely_far() -> None:
    assert coordinate_errors(ROWS, rng=RNG(0), resamples=50)["estimate"].tolist() == [np.inf]
    near = coordinate_errors(ROWS[:5], rng=RNG(0), resamples=200)
    assert near["estimate"].iloc[0] == pytest.approx(1334, abs=1)
    assert near["high"].iloc[0] == np.inf


def test_no_coordinates_give_empty_tables() -> None:
    assert coordinate_errors(ROWS[7:], rng=RNG(0)).empty
    assert coordinate_ladder(ROWS[7:], rng=RNG(0)).empty


def test_a_broken_reference_is_named() -> None:
    with pytest.raises(ValueError, match="the reference 'Banda Sea' is not of the form"):
        coordinate_rows(table([coordinates("0", "", reference="Banda Sea")]))
    with pytest.raises(ValueError, match="lack the columns stop"):
        coordinate_ladder(ROWS.drop(columns="stop"), rng=RNG(0))


def test_the_curve_never_falls_and_ends_at_what_could_be_read() -> None:
    curve = coordinate_curve(ROWS, rng=RNG(0), resamples=10, tolerances_km=(50, 200, 500, 2000, 20_016))
    assert curve["estimate"].tolist() == pytest.approx([0, 1 / 7, 2 / 7, 3 / 7, 3 / 7])
    everything = coordinate_curve(ROWS, rng=RNG(0), resamples=10)
    assert (
        everything["estimate"].is_monotonic_increasing and everything["tolerance_km"].is_monotonic_increasing
    )


def test_failures_are_split_into_form_and_knowledge() -> None:
    near, far = ANSWERS[0], ANSWERS[2]
    free = (near, near, far, "somewhere", "somewhere", "somewhere")
    forced = (near, far, near, near, near, far)  # what was readable keeps its own outcome
    rows = table(
        [coordinates(str(n), answer) for n, answer in enumerate(free)]
        + [coordinates(str(n), answer, condition="constrained") for n, answer in enumerate(forced)]
    )
    found = coordinate_failures(rows, tolerance_km=1000, rng=RNG(0), resamples=10)
    assert found["outcome"].tolist() == list(OUTCOMES)
    assert found["estimate"].tolist() == pytest.approx([2 / 6, 1 / 6, 2 / 6, 1 / 6])
    with pytest.raises(ValueError, match="6 free and 5 constrained answers, 5 of them to the same item"):
        coordinate_failures(rows.iloc[:-1], tolerance_km=1000, rng=RNG(0), resamples=10)


def test_losses_are_sums_over_answers_and_over_bytes() -> None:
    rows = table(
        [coordinates(str(n), "x", reference_logprob=-3.0 * (n + 1), reference_tokens=n + 5) for n in range(3)]
        + [{"item": "other task", "reference_logprob": -9.0, "reference_tokens": 1}]
    )
    found = reference_losses(rows, rng=RNG(0), resamples=10).set_index("measure")["estimate"]
    size = len('{"latitude": -6.0, "longitude": 128.0}')
    assert found["nats per answer"] == pytest.approx(6.0)
    assert found["bits per byte"] == pytest.approx(18 / np.log(2) / (3 * size))
    assert found["tokens per answer"] == pytest.approx(6.0)
