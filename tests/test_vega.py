"""barnlib.report.vega: charts as HTML that is escaped, complete and found by myst-nb."""

import html
import json
import re
from importlib.metadata import entry_points
from types import SimpleNamespace

import altair as alt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from barnlib.report.vega import MIME_TYPES, VEGALITE_VERSION, VegaRenderer, bundle, figure

SPEC = {
    "title": {"text": "The finding", "subtitle": ["n = 3", "study smoke"]},
    "description": 'Three points; the "largest" is 2 < 3.',
    "data": {"values": [{"x": 1, "name": "</script><script>alert(1)</script>"}]},
    "mark": "point",
    "encoding": {"x": {"field": "x", "type": "quantitative"}},
}


def embedded(figure_html: str) -> dict:
    """The specification that a figure carries, as a browser would read it."""
    found = re.fullmatch(r'.*<script type="application/json">(.*?)</script>.*', figure_html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_title_and_subtitle_become_text_and_leave_the_drawing():
    made = figure(SPEC)
    assert '<span class="chart-title">The finding</span>' in made
    assert '<span class="chart-subtitle">n = 3 study smoke</span>' in made
    assert "title" not in embedded(made)
    assert "title" in SPEC, "the caller's specification is not changed"


def test_description_is_the_alternative_text():
    assert html.escape(SPEC["description"], quote=True) in figure(SPEC)
    with pytest.raises(ValueError, match="chart 'No words' has no description"):
        figure({"title": "No words", "mark": "point"})


@given(st.text(), st.text())
def test_no_text_leaves_its_place(title: str, value: str):
    spec = {"title": title, "description": "d" + title, "data": {"values": [{"v": value}]}}
    made = figure(spec)
    assert embedded(made)["data"] == spec["data"]
    own = figure({"title": "t" if title else "", "description": "d", "data": {"values": [{"v": ""}]}})
    assert made.count("<") == own.count("<"), "text from the specification opens no element"


def test_renderer_takes_charts_and_nothing_else():
    def handled(mime_type, content, inline=False):
        return VegaRenderer.handle_mime(None, SimpleNamespace(mime_type=mime_type, content=content), inline)

    for mime_type in MIME_TYPES:
        for content in (SPEC, json.dumps(SPEC)):
            (node,) = handled(mime_type, content)
            assert node["format"] == "html"
            assert embedded(node.astext())["mark"] == "point"
    assert handled("text/html", "<b>no chart</b>") is None
    assert handled(MIME_TYPES[0], SPEC, inline=True) is None


def test_html_builders_prefer_the_chart_to_its_picture():
    builders = {
        builder
        for builder, mime_type, _ in VegaRenderer.mime_priority_overrides
        if mime_type == MIME_TYPES[0]
    }
    assert builders == {"html", "dirhtml", "singlehtml"}


def test_myst_nb_finds_the_renderer():
    found = {point.name: point for point in entry_points(group="myst_nb.mime_renderers")}
    assert "vega" in found, "barnlib is not installed with its entry points; run `make test`"
    assert found["vega"].load() is VegaRenderer


def test_bundle_is_one_self_contained_script_for_altairs_version():
    script = bundle()
    assert script.startswith("(function () {")
    assert "window.vegaEmbed=" in script
    assert 'querySelectorAll("figure.chart")' in script
    assert not re.search(r'import\s*\(|import\s+[\w{]+.*?from\s*["\']http', script)
    ours, altairs = (
        [int(n) for n in v.lstrip("v").split(".")[:2]] for v in (VEGALITE_VERSION, alt.SCHEMA_VERSION)
    )
    assert ours[0] == altairs[0]
    assert ours >= altairs
