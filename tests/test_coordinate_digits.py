"""Digits of coordinates, place by place, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_tables import coordinates, table

from barnlib.analyses.coordinate_digits import PLACES, digit_errors, digits
from barnlib.data.descriptions import write_coordinates

RNG = np.random.default_rng
ROWS = table(
    [
        coordinates("exact", '{"latitude": -6.0, "longitude": 128.0}'),
        coordinates("sign", '{"latitude": 6.0, "longitude": 128.0}'),
        coordinates("carry", '{"latitude": -6.0, "longitude": 127.99}'),  # rounds to the truth
        coordinates("two", '{"latitude": -16.0, "longitude": 138.5}'),
        coordinates("unread", "-6.0, 128.0"),
    ]
)


def shares(measure: str) -> dict[str, float]:
    found = digit_errors(ROWS, rng=RNG(0), resamples=10)
    found = found[found["measure"] == measure]
    return dict(zip(found["place"], found["estimate"], strict=True))


def test_a_number_written_out() -> None:
    assert digits(-12.4, 143.9) == "-124+1439"
    assert digits(0.0, -0.04) == "+000+0000" and digits(-0.1, 5) == "-001+0050"
    assert len(digits(90, -180)) == len(PLACES)


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_digits_are_those_of_the_written_answer(latitude: float, longitude: float) -> None:
    said = write_coordinates(round(latitude, 1), round(longitude, 1))
    numbers = [
        word.strip("}")
        for word in said.replace(",", "").split()
        if word.strip("}-").replace(".", "").isdigit()
    ]
    expected = "".join(
        ("-" if number.startswith("-") else "+") + number.strip("-").replace(".", "").zfill(width)
        for number, width in zip(numbers, (3, 4), strict=True)
    )
    assert digits(float(numbers[0]), float(numbers[1])) == expected


def test_shares_of_wrong_digits() -> None:
    wrong = shares("wrong")
    assert wrong["latitude sign"] == pytest.approx(
        2 / 5
    )  # the wrong sign, and the answer that cannot be read
    assert wrong["latitude tens"] == pytest.approx(2 / 5)
    assert wrong["longitude tens"] == wrong["longitude tenths"] == pytest.approx(2 / 5)
    assert wrong["longitude hundreds"] == pytest.approx(1 / 5)


def test_the_first_wrong_digit_of_each_number() -> None:
    first = shares("first wrong")
    assert {place: share for place, share in first.items() if share} == pytest.approx(
        {"latitude sign": 1 / 5, "latitude tens": 1 / 5, "longitude tens": 1 / 5}
    )


def test_nothing_readable_is_wrong_everywhere_and_nothing_first() -> None:
    rows = table([coordinates(str(n), "in Fiji") for n in range(3)])
    found = digit_errors(rows, rng=RNG(0), resamples=10).groupby("measure")["estimate"].agg(["min", "max"])
    assert found.loc["wrong"].tolist() == [1, 1] and found.loc["first wrong"].tolist() == [0, 0]


def test_no_coordinates_give_no_rows() -> None:
    assert digit_errors(table([{"item": "other"}]), rng=RNG(0), resamples=10).empty
