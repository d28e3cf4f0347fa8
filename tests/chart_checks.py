"""What every chart of the study must carry, for the tests of the modules of charts."""

from collections.abc import Iterator
from typing import Any

import vl_convert

from barnlib.report.theme import DARK, Note
from barnlib.report.vega import VEGALITE_VERSION


def complete(chart: Any, note: Note) -> dict:
    """The specification of a chart, which draws, and says in words what it shows and where that comes from."""
    spec = chart.to_dict()
    title, subtitle = spec["title"]["text"], spec["title"]["subtitle"]
    assert subtitle.startswith(note.text())
    assert spec["description"].startswith(f"{title}. ") and spec["description"].endswith(f". {subtitle}.")
    said = spec["description"].removeprefix(f"{title}. ").removesuffix(f". {subtitle}.")
    assert any(character.isdigit() for character in said.split(". ", 1)[1]), "the values are said in words"
    assert spec["usermeta"]["barn"]["dark"] == DARK
    for layer in layers(spec):
        if mark(layer) == "text":
            assert "color" not in layer["encoding"] or "backbone" not in str(layer["encoding"]["color"])
    svg = vl_convert.vegalite_to_svg(chart.to_json(), vl_version=VEGALITE_VERSION)
    assert svg.count("<path") > 3 and "NaN" not in svg
    return spec


def layers(spec: Any) -> Iterator[dict]:
    """Every layer of a specification that has a mark."""
    if isinstance(spec, dict):
        if "mark" in spec:
            yield spec
        for part in spec.values():
            yield from layers(part)
    elif isinstance(spec, list):
        for part in spec:
            yield from layers(part)


def mark(layer: dict) -> str:
    """The kind of a layer's mark."""
    return layer["mark"]["type"] if isinstance(layer["mark"], dict) else layer["mark"]


def rows(spec: dict, column: str) -> list[dict]:
    """Rows of a specification's data that have a column."""
    return [row for table in spec["datasets"].values() for row in table if column in row]
