"""barnlib.report.charts: what each kind of chart draws and says, and what it refuses."""

import inspect
from collections.abc import Iterator

import pandas as pd
import pytest
from chart_checks import complete, layers, mark, rows
from small_book import NOTE, example_charts, example_table

from barnlib.parameters import load_study
from barnlib.report import charts
from barnlib.report.chart_rows import ROW
from barnlib.report.theme import INK, MUTED, PAPER, palette

STUDY = load_study("smoke")
PALETTE = palette(STUDY)
EXAMPLES = example_charts(STUDY)
TASKS = ["VQA-Scene", "Seismic text description", "Seismic coordinate prediction"]
DRAW = {"title": "t", "label": "l"}


def _domains(spec: dict) -> Iterator[list[float]]:
    """Ends of the horizontal axis, as each layer has them that has an axis."""
    for layer in layers(spec):
        if "scale" in layer["encoding"]["x"]:
            yield layer["encoding"]["x"]["scale"]["domain"]


def test_every_kind_of_chart_is_tried_here():
    kinds = {
        name
        for name, function in inspect.getmembers(charts, inspect.isfunction)
        if function.__module__ == charts.__name__
    }
    assert kinds == {"intervals", "differences", "curves", "exchange", "references"}
    assert kinds <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_chart_is_complete(name):
    complete(EXAMPLES[name], NOTE)


@pytest.mark.parametrize("name", ["intervals", "curves"])
def test_a_backbone_has_its_colour(name):
    scales = [
        layer["encoding"]["color"]["scale"]
        for layer in layers(EXAMPLES[name].to_dict())
        if layer["encoding"].get("color", {}).get("field") == "backbone"
    ]
    assert len(scales) == 2
    assert all(scale == PALETTE.colour().to_dict()["scale"] for scale in scales)


def test_intervals_are_drawn_and_said_as_the_table_has_them():
    spec = EXAMPLES["intervals"].to_dict()
    expected = example_table(STUDY)
    drawn = {(row["task"], row["low"], row["high"]) for row in rows(spec, "low") if row.get("backbone")}
    assert drawn == {(row.task, row.low, row.high) for row in expected.itertuples()}
    assert f"VQA-Scene, {PALETTE.titles['llama2']}: 35% (30% to 40%)" in spec["description"]


def test_the_baseline_lies_behind_the_intervals_and_is_named():
    spec = EXAMPLES["intervals"].to_dict()
    assert spec["title"]["subtitle"].endswith(" · dashed: majority")
    first = spec["layer"][0]
    assert first["mark"]["strokeDash"] and first["encoding"]["x"]["field"] == "majority"
    (data,) = [table for name, table in spec["datasets"].items() if name == first["data"]["name"]]
    assert [(row["task"], row["majority"]) for row in data] == [
        (task, pytest.approx(0.15 + 0.05 * place)) for place, task in enumerate(TASKS)
    ]
    without = charts.intervals(example_table(STUDY), PALETTE, NOTE, **DRAW).to_dict()
    assert without["title"]["subtitle"] == NOTE.text()
    assert "majority" not in str(without["layer"])


def test_an_axis_is_that_of_the_domain_or_fits_what_is_drawn():
    table = example_table(STUDY).assign(majority=-1.0)
    whole = charts.intervals(table, PALETTE, NOTE, **DRAW, baseline="majority").to_dict()
    fitted = charts.intervals(table, PALETTE, NOTE, **DRAW, baseline="majority", domain=None).to_dict()
    ends = [next(_domains(spec)) for spec in (whole, fitted)]
    assert ends[0] == [0, 1]
    assert ends[1][0] < -1 and ends[1][1] > table["high"].max()


def test_differences_are_filled_where_zero_is_outside():
    spec = EXAMPLES["differences"].to_dict()
    drawn = rows(spec, "apart")
    assert {row["apart"] for row in drawn} == {True, False}
    assert all(row["apart"] == (row["low"] > 0 or row["high"] < 0) for row in drawn)
    (point,) = [layer for layer in layers(spec) if mark(layer) == "point"]
    fill = point["encoding"]["fill"]
    assert (fill["condition"]["test"], fill["condition"]["value"], fill["value"]) == (
        "datum.apart",
        INK,
        PAPER,
    )
    low, high = next(_domains(spec))
    assert low == -high and high > max(abs(row["low"]) for row in drawn)


def test_curves_have_a_panel_for_each_task_and_end_where_their_seeds_do_on_average():
    spec = EXAMPLES["curves"].to_dict()
    assert spec["facet"]["sort"] == TASKS
    assert [mark(layer) for layer in layers(spec)] == ["line", "line", "point"]
    ends = (
        0.1 * 2 + 190 / 400 + (0 + 1) / 2 / 50
    )  # of small_book: backbone 2, the last step, the mean of two seeds
    assert f"VQA-Scene {PALETTE.titles['llama3']} ends at {ends:.0%}" in spec["description"]


def test_an_exchange_has_bars_to_both_sides_and_its_net():
    spec = EXAMPLES["exchange"].to_dict()
    assert "VQA-Scene: gained 10%, lost 6%, net +4% (+0% to +8%)" in spec["description"]
    drawn = rows(spec, "net")
    assert {(row["left"], row["gained"]) for row in drawn} == {(-0.06, 0.1)}
    assert [row["net"] for row in drawn] == pytest.approx([0.04] * len(drawn))
    assert [layer["mark"]["strokeWidth"] for layer in spec["layer"][:2]] == [ROW - 4] * 2


def test_references_are_told_apart_by_shape_and_no_backbones_colour():
    spec = EXAMPLES["references"].to_dict()
    (point,) = [layer for layer in layers(spec) if mark(layer) == "point"]
    kinds = ["trained encoder", "random encoder", "chance"]
    assert point["encoding"]["shape"]["scale"] == {
        "domain": kinds,
        "range": ["circle", "square", "triangle-up"],
    }
    assert point["encoding"]["color"]["scale"] == {"domain": kinds, "range": [INK, MUTED, MUTED]}
    assert "colour, chance: 0.25 (0.23 to 0.27)" in spec["description"]


def test_a_table_that_does_not_fit_is_refused():
    table = example_table(STUDY)
    with pytest.raises(ValueError, match="table has backbone 'gpt'; the study has llama1, llama2, llama3"):
        charts.intervals(table.assign(backbone="gpt"), PALETTE, NOTE, **DRAW)
    with pytest.raises(ValueError, match="no column 'question_type'"):
        charts.intervals(table, PALETTE, NOTE, group="question_type", **DRAW)
    with pytest.raises(ValueError, match="no column 'floor'"):
        charts.intervals(table, PALETTE, NOTE, baseline="floor", **DRAW)
    with pytest.raises(ValueError, match="does not hold its value"):
        charts.intervals(table.assign(low=0.99), PALETTE, NOTE, **DRAW)
    with pytest.raises(ValueError, match="nothing to draw"):
        charts.differences(table.assign(pair="p").head(0), NOTE, **DRAW)
    with pytest.raises(ValueError, match="no column 'seed'"):
        charts.curves(table.assign(step=1, value=0.5), PALETTE, NOTE, **DRAW)
    with pytest.raises(ValueError, match=r"the interval 0\.2 to 0\.3 does not hold its value 0\.1"):
        swaps = pd.DataFrame([{"task": "t", "gained": 0.2, "lost": 0.1, "low": 0.2, "high": 0.3}])
        charts.exchange(swaps, NOTE, title="t")
    with pytest.raises(ValueError, match=r"6 kinds to tell apart by shape \(a, b, c, d, e, f\); at most 5"):
        many = table.head(6).assign(target="t", kind=list("abcdef"), estimate=0.5, low=0.4, high=0.6)
        charts.references(many, NOTE, **DRAW)
