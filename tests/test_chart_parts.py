"""Parts of charts: tables that are checked, axes, panels and words, against what can be said of them in general."""

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from hypothesis import given
from hypothesis import strategies as st

from barnlib.report.chart_parts import (
    HEADING,
    SAID,
    broken,
    checked,
    dressed,
    estimates,
    fitted,
    in_panels,
    interval_text,
    number,
    panel_width,
    symmetric,
    tooltip,
)
from barnlib.report.theme import DARK, WIDTH, Note
from barnlib.report.vega import VEGALITE_VERSION

NOTE = Note("toy", 3, "cards", "no interval")
FRAMES = st.lists(st.floats(-1e6, 1e6), min_size=1).map(lambda values: pd.DataFrame({"v": values}))


def test_checked_names_what_is_wrong():
    table = pd.DataFrame({"v": [0.5, 0.9]}, index=[7, 7])
    with pytest.raises(ValueError, match="no column 'task'; it has v"):
        checked(table, ["v", "task"])
    with pytest.raises(ValueError, match=r"nothing to draw.*columns v has no rows"):
        checked(table.head(0), ["v"])
    assert checked(table, ["v"]).index.tolist() == [0, 1]


def test_an_interval_must_hold_its_value():
    table = pd.DataFrame({"estimate": [0.5, 0.9], "net": 0.5, "low": [0.4, 0.1], "high": [0.6, 0.8]})
    with pytest.raises(ValueError, match=r"row 1: the interval 0\.1 to 0\.8 does not hold its value 0\.9"):
        estimates(table, [])
    with pytest.raises(ValueError, match=r"row 0: the interval 0\.6 to 0\.6 does not hold its value 0\.5"):
        estimates(table.head(1).assign(low=0.6), [])
    with pytest.raises(ValueError, match="no column 'high'"):
        estimates(table.drop(columns="high"), ["net"])
    assert len(estimates(table, [], value="net")) == 2
    assert len(estimates(table.assign(estimate=np.nan), [])) == 2, "what is not known is not wrong"


@given(FRAMES)
def test_axes_hold_what_they_show_and_have_a_width(values):
    for ends in (fitted(values), symmetric(values)):
        assert ends[0] <= values["v"].min() <= values["v"].max() <= ends[1]
        assert ends[0] < ends[1]
    assert sum(symmetric(values)) == 0


def test_axes_by_hand():
    assert fitted(pd.DataFrame({"v": [1.0, np.nan, 2.0]})) == pytest.approx((0.92, 2.08))
    assert fitted(pd.DataFrame({"v": [3.0]})) == (2.5, 3.5)
    assert symmetric(pd.DataFrame({"v": [-0.5, np.nan, 0.25]})) == pytest.approx((-0.56, 0.56))
    assert symmetric(pd.DataFrame({"v": [0.0]})) == (-1, 1)


def test_a_tooltip_has_each_column_once_and_formats_fractions():
    table = pd.DataFrame({"task": ["t"], "estimate": [0.5], "n": [3]})
    tips = [tip.to_dict() for tip in tooltip(table, ["task", "estimate", "n", "n", "seeds"], ".0%")]
    assert [tip["field"] for tip in tips] == ["task", "estimate", "n"]
    assert [tip.get("format") for tip in tips] == [None, ".0%", None]


def test_numbers_are_said_as_they_are_drawn():
    assert number(0.514, ".0%") == "51%"
    assert number(float("nan"), ".0%") == "none"
    row = {"estimate": 0.5, "net": -0.1, "low": 0.25, "high": float("nan")}
    assert interval_text(row, ".0%") == "50% (25% to none)"
    assert interval_text(row, "+.1f", "net") == "-0.1 (+0.2 to none)"


def test_headings_are_broken_where_they_pause():
    assert broken("Seismic coordinate prediction, regions seen in training") == (
        "Seismic coordinate prediction,\nregions seen in training"
    )
    assert broken("Seismic text description: LLaMA-1 style, LLaMA-2 style") == (
        "Seismic text description:\nLLaMA-1 style, LLaMA-2 style"
    )
    assert broken("one two three", 7) == "one two\nthree"
    assert broken("a: bcd efg", 8) == "a:\nbcd efg"
    assert broken("unbreakable", 4) == "unbreakable"
    assert broken("unbreakable words", 4) == "unbreakable\nwords"
    assert broken(" one two", 4) == "one\ntwo"


@given(st.text(alphabet="ab,: ", max_size=120), st.integers(4, HEADING))
def test_broken_texts_keep_their_words_and_their_lines_fit(text, most):
    lines = broken(text, most).split("\n")
    assert " ".join(lines).split() == text.split()
    assert all(len(line) <= most or " " not in line.strip() for line in lines)


def test_panels_share_the_width():
    assert panel_width(["a"], 3, 40) == WIDTH - 40
    assert panel_width(["a", "b", "c", "d"], 3, 40) == WIDTH // 3 - 40


def test_panels_come_in_order_under_headings_that_fit():
    long = "LLaMA-1 style and LLaMA-2 style: within types +0.19"
    table = pd.DataFrame({"p": ["a", long], "x": [1, 2]})
    points = alt.Chart().mark_point().encode(x="x:Q")
    chart = in_panels([points], table, "p", [long, "a"], columns=3, around=10, height=90)
    spec = chart.to_dict()
    assert spec["facet"]["sort"] == ["LLaMA-1 style and LLaMA-2 style:\nwithin types +0.19", "a"]
    assert (spec["columns"], spec["spec"]["width"], spec["spec"]["height"]) == (2, WIDTH // 2 - 10, 90)
    assert spec["usermeta"]["barn"] == {"columns": 2, "panel": 7 * len("LLaMA-1 style and LLaMA-2 style:")}
    svg = vl_convert.vegalite_to_svg(chart.to_json(), vl_version=VEGALITE_VERSION)
    assert ">LLaMA-1 style and LLaMA-2 style:<" in svg and ">within types +0.19<" in svg
    narrow = in_panels([points], table.head(1), "p", ["a"])
    assert narrow.to_dict()["usermeta"]["barn"]["panel"] == 130


def test_a_chart_is_dressed_in_words():
    chart = alt.Chart(pd.DataFrame({"x": [1]})).mark_point()
    spec = dressed(chart, "More than half", NOTE, "Points", ["a: 1", "b: 2"], "dashed: chance").to_dict()
    subtitle = f"{NOTE.text()} · dashed: chance"
    assert spec["title"] == {"text": "More than half", "subtitle": subtitle}
    assert spec["description"] == f"More than half. Points. a: 1; b: 2. {subtitle}."
    assert spec["usermeta"] == {"barn": {"dark": DARK}}


def test_an_alternative_text_ends():
    chart = alt.Chart(pd.DataFrame({"x": [1]})).mark_point()
    said = [f"row {n}" for n in range(SAID + 2)]
    text = dressed(chart, "T", NOTE, "Points", said).to_dict()["description"]
    assert f"row {SAID - 1}; and 2 more. " in text and f"row {SAID}" not in text


def test_what_a_chart_says_of_its_panels_stays():
    table = pd.DataFrame({"p": ["a"], "x": [1]})
    chart = in_panels([alt.Chart().mark_point().encode(x="x:Q")], table, "p", ["a"])
    barn = dressed(chart, "T", NOTE, "Points", ["1"]).to_dict()["usermeta"]["barn"]
    assert barn == {"dark": DARK, "columns": 1, "panel": 130}
