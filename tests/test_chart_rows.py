"""barnlib.report.chart_rows: rows that do not meet, and names that have room."""

import altair as alt
import numpy as np
import pandas as pd
import pytest
from chart_checks import layers, mark, rows
from hypothesis import given
from hypothesis import strategies as st

from barnlib.report.chart_rows import HEAD, LINE, ROW, fit_beside, in_rows, placed, zero_line
from barnlib.report.theme import WIDTH

PLACE = {"label": "share", "ends": (0.0, 1.0), "format": ".0%"}
LONG = ["LLaMA-1 style → LLaMA-2 style", "LLaMA-1 style → LLaMA-3 style"]


def table(groups: str, members: list[str], low: float = 0.4, high: float = 0.6) -> pd.DataFrame:
    return pd.DataFrame(
        {"g": group, "m": member, "estimate": (low + high) / 2, "low": low, "high": high, "n": 8}
        for group in groups
        for member in members
    )


def names(placed_rows) -> list[dict]:
    """The layers of the members' names."""
    return [layer.to_dict() for layer in placed_rows.names()]


@given(st.integers(1, 4), st.integers(1, 5), st.floats(0, 2))
def test_every_mark_has_a_row_of_its_own_inside_its_group(groups, members, line):
    given_rows = table("vwxyz"[:groups], list("abcdef"[:members]))
    found, height = placed(given_rows, "g", "m", list("abcdef"[:members]), line)
    assert np.diff(found["y"]).min(initial=1.0) >= 1
    assert ((found["top"] < found["y"]) & (found["y"] < found["bottom"])).all()
    assert found["bottom"].max() == pytest.approx(height)
    assert height == pytest.approx(groups * (HEAD + members) + members * line)


def test_members_that_share_a_row():
    found, height = placed(table("xy", ["a", "b"]), "g", None, [])
    assert found["y"].tolist() == pytest.approx([HEAD + 0.5] * 2 + [2 * HEAD + 1.5] * 2)
    assert height == 2 * (HEAD + 1)


def test_a_long_heading_has_another_line():
    long = table("x", ["a"]).replace("x", "Seismic coordinate prediction, regions seen in training")
    found, _ = placed(pd.concat([long, table("y", ["a"])]), "g", "m", ["a"])
    assert found["top"].tolist() == pytest.approx([HEAD + 1, HEAD + 1 + 1 + HEAD])


def test_long_names_have_lines_of_their_own_in_the_first_group():
    found = in_rows(table("xy", LONG), "g", "m", LONG, **PLACE)
    assert found.line == LINE
    assert found.height == 2 * (HEAD + 2) + 2 * LINE
    assert list(np.diff(found.table["y"])) == pytest.approx([1 + LINE, HEAD + 1, 1])
    assert {row["m"] for layer in names(found) for row in rows(layer, "m")} == set(LONG)
    assert all(layer["encoding"]["x"] == {"value": 0} for layer in names(found))


@pytest.mark.parametrize("width", [0.2, 1.0])
def test_a_member_that_the_first_group_lacks_is_named_where_it_comes_first(width):
    given_rows = pd.concat([table("x", ["b"], 0, width), table("y", ["a", "b"], 0, width)])
    found = in_rows(given_rows, "g", "m", ["a", "b"], **PLACE)
    named = rows(names(found)[0], "m")
    assert [(row["g"], row["m"]) for row in named] == [("x", "b"), ("y", "a")]
    assert found.height == 2 * (HEAD + 2) + 2 * found.line, "a line for each name, in two groups"
    line = found.line
    assert line == (LINE if width == 1.0 else 0)
    assert found.table["y"].tolist() == pytest.approx(
        [HEAD + 1.5 + line, 2 * HEAD + 2.5 + 2 * line, 2 * HEAD + 3.5 + 2 * line]
    )


@pytest.mark.parametrize(
    ("low", "high", "side"),
    [(0.0, 0.7, "high"), (0.3, 1.0, "low"), (0.3, 0.7, "high"), (0.2, 0.8, None), (np.nan, np.nan, None)],
)
def test_a_name_stands_where_there_is_room(low, high, side):
    first = table("x", ["a"]).assign(low=low, high=high)
    assert fit_beside(first, "m", (0.0, 1.0)) == (side is not None)
    found = in_rows(first, "g", "m", ["a"], **PLACE)
    assert found.line == (LINE if side is None else 0)
    at = [layer["encoding"]["x"] for layer in names(found)]
    assert [place.get("field") for place in at] == [side, side], "twice: its rim, and itself"


def test_names_fit_beside_their_intervals_together_or_not_at_all():
    both = table("x", ["a", "b"])
    both.loc[1, ["low", "high"]] = 0.1, 0.9
    assert in_rows(both, "g", "m", ["a", "b"], **PLACE).line == LINE


def test_rows_say_and_tell_what_they_show():
    found = in_rows(table("x", ["a"]).assign(p=0.01), "g", "m", ["a"], **PLACE)
    assert found.said() == ["x, a: 50% (40% to 60%)"]
    assert [tip.to_dict()["field"] for tip in found.tips("p")] == [
        "g",
        "m",
        "estimate",
        "low",
        "high",
        "p",
        "n",
    ]


def test_intervals_go_from_low_to_high_around_their_estimate():
    found = in_rows(table("xy", ["a"]), "g", "m", ["a"], **PLACE)
    spec = found.drawn(*found.intervals(alt.Color("m:N"), shape="m:N")).to_dict()
    bar, point = list(layers(spec))[:2]
    assert (mark(bar), bar["encoding"]["x"]["field"], bar["encoding"]["x2"]["field"]) == (
        "rule",
        "low",
        "high",
    )
    assert bar["encoding"]["x"]["scale"]["domain"] == [0, 1] and "shape" not in bar["encoding"]
    assert (mark(point), point["encoding"]["x"]["field"]) == ("point", "estimate")
    assert point["encoding"]["shape"]["field"] == "m"
    assert (spec["width"], spec["height"]) == (WIDTH, round(found.height * ROW))
    assert {row["name"] for row in rows(spec, "name")} == {"x", "y"}


def test_the_zero_line_spans_all_rows():
    found, height = placed(table("xy", ["a"]), "g", "m", ["a"])
    ((line,),) = [rows(zero_line(found, height).to_dict(), "zero")]
    assert line == {"zero": 0, "y": pytest.approx(HEAD), "bottom": pytest.approx(height)}
