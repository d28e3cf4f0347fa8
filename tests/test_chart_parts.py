"""barnlib.chart_parts: rows, ticks and labels, against what can be said of them in general."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barnlib.chart_parts import DARK, HEAD, LINE, checked, number, placed, round_numbers, spread

VALUES = st.lists(st.floats(-100, 100, allow_nan=False), min_size=1, max_size=12)


@given(VALUES, st.floats(0.01, 10))
def test_spread_keeps_order_and_middle_and_gives_room(values, gap):
    ends = pd.Series(values, index=[f"b{i}" for i in range(len(values))])
    moved = spread(ends, gap)
    assert set(moved.index) == set(ends.index)
    assert np.all(np.diff(moved.to_numpy()) >= gap - 1e-6)
    assert moved.mean() == pytest.approx(ends.mean(), abs=1e-6)


def test_spread_leaves_alone_what_is_apart():
    ends = pd.Series([3.0, 1.0, 2.0], index=list("abc"))
    pd.testing.assert_series_equal(spread(ends, 0.5), ends.sort_values())


@given(st.floats(0, 1e5, allow_nan=False), st.floats(0.01, 1e5, allow_nan=False))
def test_ticks_are_round_few_and_inside(start, width):
    end = start + width
    ticks = round_numbers(start, end)
    assert all(start - 1e-6 * end <= tick <= end + 1e-6 * end for tick in ticks)
    assert 1 <= len(ticks) <= 7


def test_ticks_by_hand():
    assert round_numbers(0, 400) == [0, 100, 200, 300, 400]
    assert round_numbers(5, 5) == [5]


def test_every_mark_has_a_row_of_its_own_inside_its_group():
    table = pd.DataFrame([{"g": g, "m": m} for g in "xyz" for m in "ab"])
    rows, total = placed(table, "g", "m", ["a", "b"])
    assert total == 3 * (HEAD + 2)
    assert rows["y"].is_unique
    assert ((rows["top"] < rows["y"]) & (rows["y"] < rows["bottom"])).all()
    assert rows["y"].is_monotonic_increasing


def test_long_names_have_lines_of_their_own_in_the_first_group():
    members = ["LLaMA-1 style → LLaMA-2 style", "LLaMA-1 style → LLaMA-3 style"]
    table = pd.DataFrame([{"g": g, "m": m} for g in "xy" for m in members])
    rows, total = placed(table, "g", "m", members)
    assert total == 2 * (HEAD + 2) + 2 * LINE
    assert list(np.diff(rows["y"])) == pytest.approx([1 + LINE, HEAD + 1, 1])
    assert ((rows["top"] < rows["y"]) & (rows["y"] < rows["bottom"])).all()
    assert rows["bottom"].max() == total


def test_checked_names_what_is_wrong():
    table = pd.DataFrame({"v": [0.5, 0.9], "low": [0.4, 0.1], "high": [0.6, 0.8]})
    with pytest.raises(ValueError, match="no column 'task'; it has v, low, high"):
        checked(table, ["task", "v"])
    with pytest.raises(ValueError, match=r"row 1: the interval 0\.1 to 0\.8 does not hold its value 0\.9"):
        checked(table, ["v"], interval=("low", "v", "high"))
    with pytest.raises(ValueError, match=r"nothing to draw.*has no rows"):
        checked(table.head(0), ["v"])
    assert len(checked(table.assign(v=np.nan), ["v"], interval=("low", "v", "high"))) == 2


def test_numbers_are_said_as_they_are_drawn():
    assert number(0.514, ".0%") == "51%"
    assert number(float("nan"), ".0%") == "none"


def test_dark_mode_exchanges_every_ink_for_another():
    assert not set(DARK) & set(DARK.values())
