"""barnlib.charts: what every chart must carry, that it draws, and that its colours can be told apart."""

import base64
import inspect
import itertools
import json

import altair as alt
import numpy as np
import pandas as pd
import pytest
import vl_convert
from small_book import NOTE, example_charts, example_table

from barnlib import charts
from barnlib.chart_parts import DARK, PAPER
from barnlib.parameters import backbone_names, load_backbone, load_study

STUDY = load_study("smoke")
PALETTE = charts.palette(STUDY)
EXAMPLES = example_charts(STUDY)
# Machado, Oliveira & Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> np.ndarray:
    """Linear RGB of a hexadecimal colour."""
    value = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio."""
    low, high = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of linear RGB."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb
    scaled = xyz / np.array([0.9505, 1.0, 1.089])
    f = np.where(scaled > 0.008856, np.cbrt(scaled), 7.787 * scaled + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_every_kind_of_chart_is_tried_here():
    kinds = {
        name
        for name, function in inspect.getmembers(charts, inspect.isfunction)
        if function.__module__ == charts.__name__ and "note" in inspect.signature(function).parameters
    } - {"_dressed"}
    assert kinds == {"intervals", "differences", "curves", "exchange", "references"}
    assert kinds <= set(EXAMPLES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_chart_says_what_it_shows_and_where_it_comes_from(name):
    spec = EXAMPLES[name].to_dict()
    subtitle = spec["title"]["subtitle"]
    assert "n = 640 questions on 80 images, 2 seeds" in subtitle
    assert NOTE.interval in subtitle
    assert "study smoke" in subtitle
    assert spec["description"].startswith(f"{spec['title']['text']}. ")
    assert subtitle in spec["description"]
    assert any(character.isdigit() for character in spec["description"].split(". ", 2)[2].split(subtitle)[0])
    assert spec["usermeta"]["barn"]["dark"] == DARK


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_chart_draws(name):
    svg = vl_convert.vegalite_to_svg(EXAMPLES[name].to_json(), vl_version="6.4")
    assert svg.count("<path") > 3
    assert "NaN" not in svg


@pytest.mark.parametrize("name", ["intervals", "curves", "one panel"])
def test_a_backbone_has_the_colour_of_its_file(name):
    found = []

    def search(part):
        if isinstance(part, dict):
            if part.get("field") == "backbone" and "scale" in part:
                found.append(part["scale"])
            list(map(search, part.values()))
        elif isinstance(part, list):
            list(map(search, part))

    search(EXAMPLES[name].to_dict())
    files = [load_backbone(backbone, STUDY.scale) for backbone in STUDY.backbones]
    assert found
    for scale in found:
        assert scale == {"domain": [f.title for f in files], "range": [f.colour for f in files]}


def test_text_is_never_set_in_a_backbones_colour():
    def texts(part):
        if isinstance(part, dict):
            mark = part.get("mark")
            if mark == "text" or (isinstance(mark, dict) and mark.get("type") == "text"):
                assert "color" not in part.get("encoding", {})
            for value in part.values():
                texts(value)
        elif isinstance(part, list):
            for value in part:
                texts(value)

    for chart in EXAMPLES.values():
        texts(chart.to_dict())


def test_interval_ends_are_drawn_where_the_table_has_them():
    spec = EXAMPLES["intervals"].to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if "low" in row]
    expected = example_table(STUDY)
    drawn = {(row["task"], row["low"], row["high"]) for row in rows if row.get("backbone")}
    assert drawn >= {(row.task, row.low, row.high) for row in expected.itertuples()}
    assert "dashed: majority" in spec["title"]["subtitle"]


def test_colours_can_be_told_apart_by_everyone_in_both_modes():
    colours = {name: load_backbone(name, "nano").colour for name in backbone_names()}
    for name, colour in colours.items():
        for ground in (PAPER, DARK[PAPER]):
            assert contrast(colour, ground) >= 3, (
                f"{name}: {colour} on {ground}: {contrast(colour, ground):.2f} < 3"
            )
    for (a, one), (b, other) in itertools.combinations(colours.items(), 2):
        for deficiency, matrix in DEFICIENCIES.items():
            seen = [lab(np.clip(np.array(matrix) @ linear(colour), 0, 1)) for colour in (one, other)]
            apart = float(np.linalg.norm(seen[0] - seen[1]))
            assert apart >= 12, (
                f"{a} {one} and {b} {other} with {deficiency}: {apart:.1f} apart, at least 12 is wanted"
            )


def test_theme_stores_a_specification_and_a_picture_and_fetches_nothing():
    charts.use_theme()
    bundle = EXAMPLES["references"]._repr_mimebundle_()
    bundle = bundle[0] if isinstance(bundle, tuple) else bundle
    assert set(bundle) == {"application/vnd.vegalite.v6+json", "image/png", "text/plain"}
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG")
    assert bundle["application/vnd.vegalite.v6+json"]["config"]["font"].startswith("system-ui")
    assert "text/html" not in bundle
    assert alt.theme.active == "barn"
    json.dumps(bundle["application/vnd.vegalite.v6+json"])


def test_a_table_that_does_not_fit_is_refused():
    table = example_table(STUDY)
    draw = {"title": "t", "label": "l"}
    with pytest.raises(ValueError, match="table has backbone 'gpt'; the study has llama1, llama2, llama3"):
        charts.intervals(table.assign(backbone="gpt"), PALETTE, NOTE, **draw)
    with pytest.raises(ValueError, match="no column 'question_type'"):
        charts.intervals(table, PALETTE, NOTE, group="question_type", **draw)
    with pytest.raises(ValueError, match="does not hold its value"):
        charts.intervals(table.assign(low=0.99), PALETTE, NOTE, **draw)
    with pytest.raises(ValueError, match="6 kinds to tell apart by shape"):
        many = table.head(6).assign(target="t", kind=list("abcdef"), value=0.5, low=0.4, high=0.6)
        charts.references(many, NOTE, **draw)


def test_a_note_is_one_line():
    note = charts.Note("nano", 12400, "questions", "95 % interval")
    assert note.text() == "n = 12,400 questions · 95 % interval · study nano"


def test_a_chart_may_hold_more_rows_than_altair_allows_by_itself():
    charts.use_theme()
    many = alt.Chart(pd.DataFrame({"x": range(6_000)})).mark_point().encode(x="x:Q")
    assert len(many.to_dict()["datasets"].popitem()[1]) == 6_000
