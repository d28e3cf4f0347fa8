"""Charts of coordinate answers: accuracy by tolerance, and where on the map answers fall.

In:  tables of ``barnlib.analyses.coordinates`` and ``barnlib.analyses.coordinate_bias``.
Out: Altair charts in the theme of ``barnlib.report.theme``. Next: the notebook on coordinates shows them.
"""

import math
from collections.abc import Mapping

import altair as alt
import numpy as np
import pandas as pd

from barnlib.analyses.baselines import MAP_EDGE_DEG
from barnlib.data.maps import OCEAN, WORLD, draw_land
from barnlib.report.chart_parts import (
    COUNTS,
    checked,
    dressed,
    estimates,
    in_panels,
    interval_text,
    labels,
    number,
    panel_width,
    tooltip,
)
from barnlib.report.theme import GRID, INK, MUTED, WIDTH, Note, Palette

LAND_CELL_DEG = 4  # height and width of the squares that stand for land


def tolerance_curves(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    tolerance_km: float,
    guesses: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """The share of answers within each distance of the truth, with its interval as a band, on a logarithmic axis.

    Args:
        table: ``coordinates.coordinate_curve`` by backbone.
        tolerance_km: of the study; a dotted line.
        guesses: the same of answers without looking; grey dashed lines with their names.

    Raises:
        ValueError: a column is missing, the table is empty, or it has a backbone that the study does not have.
    """
    named = backbones.named(estimates(table, ["backbone", "tolerance_km"]))
    first, last = float(named["tolerance_km"].min()), float(named["tolerance_km"].max())
    scale = alt.Scale(type="log", domain=[first, last], nice=False)
    axis = alt.Axis(grid=False, format=",", values=[100, 300, 1000, 3000, 10_000])
    x = alt.X("tolerance_km:Q", title="tolerance, km", scale=scale, axis=axis)
    y = alt.Y(
        "estimate:Q",
        title="share of answers within it",
        axis=alt.Axis(format=".0%", tickCount=5),
        scale=alt.Scale(domain=[0, 1]),
    )
    colour = backbones.colour(alt.Legend())
    tips = tooltip(named, ["backbone", "tolerance_km", "estimate", "low", "high", *COUNTS], ".0%")
    base = alt.Chart(named).encode(x=x)
    rule = alt.Chart(pd.DataFrame({"tolerance_km": [tolerance_km]})).mark_rule(
        color=MUTED, strokeDash=[2, 3], strokeWidth=1.5
    )
    layers: list[alt.Chart] = [
        rule.encode(x=x),
        base.mark_area(opacity=0.16).encode(y=alt.Y("low:Q"), y2="high:Q", color=colour, detail="backbone:N"),
        base.mark_line(strokeWidth=2.5).encode(y=y, color=colour),
        base.mark_point(size=45, opacity=0).encode(y=y, tooltip=tips),
    ]
    if guesses is not None and len(guesses):
        grey = checked(guesses, ["backbone", "tolerance_km", "estimate"])
        grey = grey.assign(backbone=grey["backbone"].str.replace("_", " "))
        lines = alt.Chart(grey).encode(x=x, detail="backbone:N")
        layers.insert(0, lines.mark_line(color=MUTED, strokeDash=[5, 3], strokeWidth=1.3).encode(y=y))
        named_at = alt.Chart(_name_places(grey)).encode(x=x, y=y, text="backbone:N")
        layers += labels(named_at, align="right", dx=-6, color=MUTED)
    at = named[named["tolerance_km"] == _nearest(named["tolerance_km"], tolerance_km)]
    said = [
        f"{row['backbone']}, within {row['tolerance_km']:,.0f} km: {interval_text(row, '.0%')}"
        for row in at.to_dict("records")
    ]
    kind = "Curves with bands: share of answers over tolerance"
    chart = alt.layer(*layers).properties(width=WIDTH, height=260)
    return dressed(chart, title, note, kind, said, "dashed: answers without looking")


def answer_map(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    middles: Mapping[str, tuple[float, float]],
) -> alt.FacetChart:
    """Where each backbone's answers fall, as circles whose area is the share of its readable answers.

    Args:
        table: ``coordinate_bias.favourites``.
        middles: places to mark with a cross in every panel, (latitude, longitude) in degrees by name.

    Raises:
        ValueError: as :func:`tolerance_curves`.
    """
    named = backbones.named(checked(table, ["backbone", "latitude", "longitude", "answers", "share"]))
    panels = backbones.present(named)
    land = land_cells()
    crosses = pd.DataFrame(
        [
            {
                "latitude": latitude,
                "longitude": (longitude - MAP_EDGE_DEG) % 360 + MAP_EDGE_DEG,
                "place": name,
            }
            for name, (latitude, longitude) in middles.items()
        ],
        columns=["latitude", "longitude", "place"],
    )
    everything = pd.concat(
        [
            part.assign(backbone=panel, mark=mark)
            for panel in panels
            for mark, part in (("land", land), ("place", crosses))
        ]
        + [named.assign(mark="answers")],
        ignore_index=True,
    )
    width = panel_width(panels, 2, 12)
    height = round(width * (WORLD.north - WORLD.south) / (WORLD.east - WORLD.west))
    x = alt.X("longitude:Q", axis=None, scale=alt.Scale(domain=[WORLD.west, WORLD.east], nice=False))
    y = alt.Y("latitude:Q", axis=None, scale=alt.Scale(domain=[WORLD.south, WORLD.north], nice=False))
    base = alt.Chart().encode(x=x, y=y)
    side = LAND_CELL_DEG / (WORLD.east - WORLD.west) * width
    tips = [
        alt.Tooltip("backbone:N"),
        alt.Tooltip("latitude:Q"),
        alt.Tooltip("longitude:Q"),
        alt.Tooltip("answers:Q"),
        alt.Tooltip("share:Q", format=".0%"),
        alt.Tooltip("true_share:Q", format=".0%"),
    ]
    size = alt.Size("share:Q", scale=alt.Scale(type="linear", range=[0, 700], zero=True), legend=None)
    layers = [
        base.mark_square(color=GRID, opacity=1, size=side**2).transform_filter("datum.mark == 'land'"),
        base.mark_circle(opacity=0.6)
        .encode(color=backbones.colour(), size=size, tooltip=tips)
        .transform_filter("datum.mark == 'answers'"),
        base.mark_point(shape="cross", color=INK, filled=True, size=70, opacity=1)
        .encode(tooltip=[alt.Tooltip("place:N")])
        .transform_filter("datum.mark == 'place'"),
    ]
    chart = in_panels(layers, everything, "backbone", panels, columns=2, around=12, height=height)
    most = named.loc[named.groupby("backbone")["share"].idxmax()]
    said = [
        f"{row.backbone}: most often near {row.latitude:.0f}, {row.longitude:.0f} ({number(row.share, '.0%')})"
        for row in most.itertuples()
    ]
    marked = f"Crosses: {', '.join(middles)}" if middles else "No crosses"
    kind = f"World maps with circles where answers fall. {marked}"
    return dressed(chart, title, note.without_interval(), kind, said)


def land_cells() -> pd.DataFrame:
    """Middles of the cells of the world map that are land: `latitude`, `longitude` (-30 to 330), degrees."""
    width = round((WORLD.east - WORLD.west) / LAND_CELL_DEG)
    height = math.floor((WORLD.north - WORLD.south) / LAND_CELL_DEG)
    pixels = np.asarray(draw_land(WORLD, (width, height), 4), dtype=float)
    row, column = np.nonzero(np.abs(pixels - OCEAN).sum(-1) > 40)  # more than half of the cell is not sea
    return pd.DataFrame(
        {
            "latitude": WORLD.north - (row + 0.5) * (WORLD.north - WORLD.south) / height,
            "longitude": WORLD.west + (column + 0.5) * LAND_CELL_DEG,
        }
    )


def _nearest(values: pd.Series, wanted: float) -> float:
    return float(values.iloc[int((values - wanted).abs().argmin())])


def _name_places(lines: pd.DataFrame) -> pd.DataFrame:
    """One point of each line at which its name can stand: each where its line reaches another height."""
    groups = [part.sort_values("tolerance_km") for _, part in lines.groupby("backbone", sort=False)]
    heights = np.linspace(0.75, 0.35, len(groups))
    rows = [
        part.iloc[int((part["estimate"] >= height).to_numpy().argmax())]
        for part, height in zip(groups, heights, strict=True)
    ]
    return pd.DataFrame(rows)
