"""How every chart of the study looks, and how it is stored: inks, colours of backbones, the note below its title.

In:  a study, for the titles and colours of its backbones (``params/backbones/NAME.yaml``).
Out: :class:`Palette` and :class:`Note`, which every chart function takes; Altair's configuration, set by
     :func:`use`, and a chart as a specification with a picture beside it.
Next: chart_parts.py and the modules of charts draw with them; vega.py shows them in the book.

Colour marks a backbone; ink speaks. Text is never set in a backbone's colour, so it stays readable. Dark mode
exchanges the inks of `DARK`.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import altair as alt
import pandas as pd
import vl_convert

from barnlib.parameters import load_backbone
from barnlib.study import Study

INK, MUTED, GRID, PAPER = "#1f2933", "#5b6670", "#e1e6ea", "#ffffff"
DARK = {INK: "#e8eaed", MUTED: "#a9b3bd", GRID: "#37414b", PAPER: "#14181d"}  # light to dark
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WIDTH = 640  # pixels; the book replaces it by the width of the page
MOST_ROWS = 50_000

CONFIG: dict[str, Any] = {
    "background": "transparent",
    "font": FONT,
    "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": 260},
    "title": {
        "anchor": "start",
        "color": INK,
        "fontSize": 15,
        "fontWeight": 600,
        "subtitleColor": MUTED,
        "subtitleFontSize": 12,
        "subtitlePadding": 5,
        "offset": 14,
    },
    "axis": {
        "domain": False,
        "gridColor": GRID,
        "labelColor": MUTED,
        "labelFontSize": 12,
        "labelPadding": 6,
        "labelSeparation": 8,
        "ticks": False,
        "titleColor": MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
    },
    "header": {"labelColor": INK, "labelFontSize": 13, "labelFontWeight": 600, "labelAnchor": "start"},
    "legend": {
        "labelColor": INK,
        "labelFontSize": 12,
        "labelLimit": 0,
        "orient": "top",
        "symbolOpacity": 1,
        "symbolSize": 90,
        "symbolStrokeWidth": 2.5,
        "title": None,
        "columnPadding": 18,
    },
    "text": {"color": INK, "font": FONT, "fontSize": 12},
    "rule": {"color": MUTED},
    "point": {"filled": True, "size": 80},
}


@dataclass(frozen=True)
class Note:
    """Where a chart's numbers come from; the subtitle of every chart.

    ``interval`` says what the drawn interval is ("95 % bootstrap over images and seeds"); it is empty where a chart
    draws none.
    """

    study: str
    n: int
    unit: str  # what n counts: "questions on 300 images"
    interval: str

    def text(self) -> str:
        """One line: n with its unit, the interval if there is one, the study."""
        parts = (f"n = {self.n:,} {self.unit}", self.interval, f"study {self.study}")
        return " · ".join(part for part in parts if part)

    def without_interval(self) -> "Note":
        """The same note, for a chart that draws no interval."""
        return replace(self, interval="")


@dataclass(frozen=True)
class Palette:
    """Title and colour of each backbone, by name, in the study's order."""

    titles: Mapping[str, str]
    colours: Mapping[str, str]

    @property
    def short(self) -> dict[str, str]:
        """Titles by name without the last words that all of them share, for wide tables: "LLaMA-1" of the style."""
        words = {name: title.split() for name, title in self.titles.items()}
        while (
            len(words) > 1 and min(map(len, words.values())) > 1 and len({w[-1] for w in words.values()}) == 1
        ):
            words = {name: each[:-1] for name, each in words.items()}
        return {name: " ".join(each) for name, each in words.items()}

    def colour(self, legend: alt.Legend | None = None) -> alt.Color:
        """The colour of a backbone, by its title."""
        names = list(self.titles)
        scale = alt.Scale(domain=[self.titles[n] for n in names], range=[self.colours[n] for n in names])
        return alt.Color("backbone:N", scale=scale, legend=legend)

    def named(self, table: pd.DataFrame) -> pd.DataFrame:
        """The table with the title of each backbone in place of its name.

        Raises:
            ValueError: a backbone that the study does not have.
        """
        unknown = sorted(set(table["backbone"].astype(str)) - set(self.titles))
        if unknown:
            raise ValueError(f"table has backbone '{unknown[0]}'; the study has {', '.join(self.titles)}")
        return table.assign(backbone=[self.titles[str(name)] for name in table["backbone"]])

    def present(self, named: pd.DataFrame) -> list[str]:
        """Titles of those backbones that a named table has, in the study's order."""
        return [title for title in self.titles.values() if title in set(named["backbone"])]


def palette(study: Study) -> Palette:
    """The study's backbones with their titles and colours, from ``params/backbones``."""
    files = {name: load_backbone(name, study.scale) for name in study.backbones}
    return Palette({n: f.title for n, f in files.items()}, {n: f.colour for n, f in files.items()})


def use() -> None:
    """Make Altair use this theme, and store each chart as a specification with a PNG beside it.

    JupyterLab and the book draw the specification; GitHub, Colab and print show the PNG. Nothing is fetched. Up to
    `MOST_ROWS` rows go into a chart: a map holds the coastline beside every answer.
    """
    alt.data_transformers.enable("default", max_rows=MOST_ROWS)
    alt.theme.register("barn", enable=True)(lambda: alt.theme.ThemeConfig(config=cast(Any, CONFIG)))
    alt.renderers.register("barn", cast(Any, _render))
    alt.renderers.enable("barn")


def _render(spec: dict[str, Any], **_: Any) -> dict[str, Any]:
    version = alt.SCHEMA_VERSION.lstrip("v").split(".")
    png = vl_convert.vegalite_to_png(
        json.dumps({**spec, "background": PAPER}), vl_version=".".join(version[:2]), scale=1.5
    )
    return {
        f"application/vnd.vegalite.v{version[0]}+json": spec,
        "image/png": base64.b64encode(png).decode(),
        "text/plain": f"Chart: {spec.get('description', 'without a description')}",
    }
