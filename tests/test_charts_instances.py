"""barnlib.report.charts_instances: sets, flows, dumbbells and mixtures draw what their tables have."""

import itertools

import pandas as pd
import pytest
from chart_checks import complete, layers, mark, rows
from hypothesis import given
from hypothesis import strategies as st
from small_book import NOTE

from barnlib.parameters import load_study
from barnlib.report.charts_instances import FLOWS, NODE, TOLD_FROM, _ribbons, dumbbell, flow, mixture, sets
from barnlib.report.theme import palette

STUDY = load_study("smoke")
PALETTE = palette(STUDY)
NAMES = list(STUDY.backbones)
FIRST, SECOND, THIRD = (PALETTE.titles[name] for name in NAMES)


def solved(backbones: list[str] = NAMES) -> pd.DataFrame:
    """Every set of backbones, the items that exactly it solves falling with its place."""
    members = list(itertools.product([True, False], repeat=len(backbones)))
    items = pd.Series(range(len(members), 0, -1))
    table = pd.DataFrame(members, columns=backbones).assign(items=items, share=items / items.sum())
    return table.assign(expected=1 / len(members))


def steps() -> pd.DataFrame:
    """From each backbone to the next."""
    shares = [dict(zip(FLOWS, row, strict=True)) for row in ((0.4, 0.2, 0.1, 0.3), (0.5, 0.04, 0.1, 0.36))]
    pairs = [{"a": a, "b": b} for a, b in itertools.pairwise(NAMES)]
    return pd.DataFrame([{**pair, **share} for pair, share in zip(pairs, shares, strict=True)])


def types() -> pd.DataFrame:
    """Accuracies of three backbones on two types of question."""
    return pd.DataFrame(
        {
            "question_type": kind,
            "backbone": name,
            "estimate": middle + 0.1 * place,
            "low": middle + 0.1 * place - 0.05,
            "high": middle + 0.1 * place + 0.05,
        }
        for kind, middle in (("count", 0.2), ("colour", 0.6))
        for place, name in enumerate(NAMES)
    )


def mixed() -> pd.DataFrame:
    """Two types in two panels, three items of one to each of the other."""
    return pd.DataFrame(
        {"panel": panel, "stratum": name, "a": a, "b": b, "items": items}
        for panel in ("types alone", "this study")
        for name, a, b, items in (("count", 0.9, 0.2, 30), ("colour", 0.5, 0.6, 10))
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_sets_have_a_dot_for_each_backbone_filled_for_members(count):
    spec = complete(sets(solved(NAMES[:count]), PALETTE, NOTE, title="Most by all"), NOTE.without_interval())
    dots = rows(spec, "solves")
    assert len(dots) == count * 2**count
    assert {dot["solves"] for dot in dots} == {True, False}
    by_set = pd.DataFrame([dot for dot in dots if dot["solves"]]).groupby("y")["backbone"].agg(" and ".join)
    named = pd.DataFrame(rows(spec, "expected")).set_index("y")["members"]
    assert by_set.to_dict() == named[named != "none"].to_dict()
    assert max(dot["place"] for dot in dots) < 0, "dots stand to the left of the bars"


def test_sets_say_their_items_and_what_is_expected():
    spec = sets(solved(NAMES[:2]), PALETTE, NOTE, title="t").to_dict()
    assert f"{FIRST} and {SECOND}: 4 items, 40.0%, 25.0% if independent" in spec["description"]
    assert "none: 1 items, 10.0%, 25.0% if independent" in spec["description"]
    assert spec["title"]["subtitle"].endswith(" · tick: if independent within types")


def test_a_flow_has_bars_of_what_each_backbone_solves():
    spec = complete(flow(steps(), PALETTE, NOTE, title="More is gained than lost"), NOTE.without_interval())
    nodes = {row["backbone"]: (row["at"], row["solved"]) for row in rows(spec, "solved")}
    assert nodes == {
        FIRST: (0, pytest.approx(0.5)),
        SECOND: (1, pytest.approx(0.6)),
        THIRD: (2, pytest.approx(0.54)),
    }
    assert f"{FIRST} to {SECOND}: kept 40.0%, gained 20.0%, lost 10.0%, neither 30.0%" in spec["description"]


def test_flows_are_named_where_they_are_wide_enough():
    spec = flow(steps(), PALETTE, NOTE, title="t").to_dict()
    told = {row["text"] for layer in layers(spec) if mark(layer) == "text" for row in _data(spec, layer)}
    wide = {"kept 40%", "gained 20%", "lost 10%", "neither 30%", "kept 50%", "neither 36%"}
    assert told == wide, "the second gain, 4%, has no room"


def test_names_of_gained_and_lost_stand_apart():
    """On any width of the page: at the start of their ways they lie above each other."""
    row = {"kept": 0.4, "gained": TOLD_FROM, "lost": TOLD_FROM, "neither": 0.6 - 2 * TOLD_FROM}
    outline = _ribbons(0, row)
    told = outline[outline["told"]].set_index("flow")
    assert told.loc["gained", "x"] == told.loc["lost", "x"]
    assert told.loc["gained", "centre"] - told.loc["lost", "centre"] == pytest.approx(TOLD_FROM, rel=0.05)


@given(st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
def test_ribbons_fill_the_way_from_bar_to_bar(weights):
    row = {name: weight / sum(weights) for name, weight in zip(FLOWS, weights, strict=True)}
    outline = _ribbons(3, row).set_index("flow")
    start, end = outline.groupby(level=0).first(), outline.groupby(level=0).last()
    assert start["x"].tolist() == pytest.approx([3 + NODE] * 4)
    assert end["x"].tolist() == pytest.approx([4 - NODE] * 4)
    for side, solved_share in ((start, row["kept"] + row["lost"]), (end, row["kept"] + row["gained"])):
        ordered = side.sort_values("low")
        assert ordered["low"].iloc[0] == 0
        assert ordered["high"].to_numpy()[:-1] == pytest.approx(ordered["low"].to_numpy()[1:]), "no gap"
        assert ordered["high"].iloc[-1] == pytest.approx(1)
        assert ordered["high"].iloc[1] == pytest.approx(solved_share), "what is solved lies below"
    assert outline["high"].to_numpy() - outline["low"].to_numpy() == pytest.approx(
        [row[name] for name in outline.index]
    )


def test_a_dumbbell_goes_from_the_lowest_dot_to_the_highest():
    spec = complete(dumbbell(types(), PALETTE, NOTE, title="Types differ", label="accuracy"), NOTE)
    bars = {row["question_type"]: (row["least"], row["most"]) for row in rows(spec, "least")}
    assert bars == {"count": pytest.approx((0.2, 0.4)), "colour": pytest.approx((0.6, 0.8))}
    drawn = pd.DataFrame([row for row in rows(spec, "low") if row["question_type"] == "count"])
    assert drawn["y"].is_unique and drawn["y"].mean() == pytest.approx(rows(spec, "least")[0]["y"])
    assert f"count, {SECOND}: 30% (25% to 35%)" in spec["description"]


def test_one_backbone_stands_in_the_middle_of_its_row():
    spec = dumbbell(types().head(1), PALETTE, NOTE, title="t", label="accuracy").to_dict()
    (dot,), (bar,) = rows(spec, "low"), rows(spec, "least")
    assert dot["y"] == bar["y"]


def test_a_mixture_has_a_panel_each_and_means_over_items():
    spec = complete(mixture(mixed(), NOTE, title="Types alone turn it negative"), NOTE.without_interval())
    assert spec["facet"]["sort"] == ["types alone", "this study"]
    assert [row["mean_a"] for row in rows(spec, "mean_a")] == pytest.approx([0.8] * 4)
    assert [row["mean_b"] for row in rows(spec, "mean_b")] == pytest.approx([0.3] * 4)
    assert "this study, count: 90% and 20% of 30" in spec["description"]


def test_tables_that_do_not_fit_are_refused():
    told = "steps do not follow one another: llama2 to llama3, llama1 to llama2"
    with pytest.raises(ValueError, match=told):
        flow(steps().iloc[::-1], PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match=r"shares of a step must add up to 1, not 1\.5"):
        flow(steps().assign(kept=0.9), PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="nothing to draw"):
        sets(solved().iloc[:0], PALETTE, NOTE, title="t")
    with pytest.raises(ValueError, match="no column 'estimate'"):
        dumbbell(types().drop(columns="estimate"), PALETTE, NOTE, title="t", label="accuracy")
    with pytest.raises(ValueError, match="no column 'stratum'"):
        mixture(mixed().drop(columns="stratum"), NOTE, title="t")


def _data(spec: dict, layer: dict) -> list[dict]:
    return spec["datasets"][layer["data"]["name"]]
