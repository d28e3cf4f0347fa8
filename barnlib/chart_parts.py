"""What the study's charts are put together from: inks, the theme's configuration, and layers that several share.

In:  values and columns. Out: configuration and Altair layers. Next: ``barnlib.charts`` makes whole charts of them.

Rows are placed by number, not by a band scale: a group's name stands above its rows, inside the drawing, so that a
phone's narrow screen belongs to the data.
"""

from collections.abc import Sequence
from typing import Any, cast

import altair as alt
import numpy as np
import pandas as pd

INK, MUTED, GRID, PAPER = "#1f2933", "#5b6670", "#e1e6ea", "#ffffff"
DARK = {INK: "#e8eaed", MUTED: "#a9b3bd", GRID: "#37414b", PAPER: "#14181d"}  # light to dark
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
WIDTH = 640  # pixels; the book replaces it by the width of the page
ROW = 16  # pixels from row to row
HEAD = 1.6  # rows that a group's name takes, above its rows
LINE = 1.0  # rows that a long name takes, above its interval

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


def placed(
    table: pd.DataFrame, group: str, member: str | None, members: Sequence[str]
) -> tuple[pd.DataFrame, float]:
    """The table with ``y``, the row of each mark, and ``top`` and ``bottom``, the rows of its group; and all rows.

    Members with long names need lines of their own for them, in the first group, which names them.
    """
    groups = list(dict.fromkeys(table[group]))
    named = LINE if are_long(members) else 0.0
    step, extra = HEAD + max(1, len(members)), named * len(members)
    order = np.array([groups.index(name) for name in table[group]], float)
    within = np.array(
        [list(members).index(name) for name in table[member]] if member else [0] * len(table), float
    )
    in_first = order == 0
    top = order * step + HEAD + np.where(in_first, 0.0, extra)
    y = top + within + 0.5 + np.where(in_first, named * (within + 1), 0.0)
    rows = table.assign(y=y, top=top, bottom=top + max(1, len(members)) + np.where(in_first, extra, 0.0))
    return rows, step * len(groups) + extra


def are_long(names: Sequence[str]) -> bool:
    """Whether names would not fit beside their intervals on a phone."""
    return max(map(len, names), default=0) > 16


def vertical(rows: float) -> alt.Y:
    """The vertical position of a placed table: rows from top to bottom, without an axis."""
    return alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, rows], reverse=True, nice=False, zero=False))


def group_names(table: pd.DataFrame, group: str) -> alt.Chart:
    """Each group's name above its rows, at the left edge."""
    heads = table.drop_duplicates(group)[[group, "top"]].assign(y=lambda rows: rows["top"] - 0.25)
    return (
        alt.Chart(heads)
        .mark_text(align="left", baseline="bottom", fontWeight=600)
        .encode(x=alt.value(0), y=alt.Y("y:Q", axis=None), text=f"{group}:N")
    )


def member_names(
    table: pd.DataFrame, group: str, member: str, low: str, high: str, domain: tuple[float, float]
) -> list[alt.Chart]:
    """Names of the first group's intervals: beside them, where a third is free; above them, if they are long."""
    first = table[table[group] == table[group].iloc[0]]
    if are_long(list(first[member])):
        above = alt.Chart(first.assign(y=first["y"] - 0.55))
        text = above.mark_text(align="left", baseline="bottom", color=MUTED)
        return [text.encode(x=alt.value(0), y=alt.Y("y:Q", axis=None), text=f"{member}:N")]
    free = domain[1] - first[high] >= 0.3 * (domain[1] - domain[0])
    halo: dict[str, Any] = {"stroke": PAPER, "strokeWidth": 5, "strokeJoin": "round"}
    return [
        alt.Chart(first[side])
        .mark_text(align=cast(Any, align), dx=dx, baseline="middle", **style)
        .encode(x=f"{at}:Q", y=alt.Y("y:Q", axis=None), text=f"{member}:N")
        for side, at, align, dx in ((free, high, "left", 9), (~free, low, "right", -9))
        if side.any()
        for style in (halo, {})
    ]


def zero_line(rows: float) -> alt.Chart:
    """A line at zero over all rows."""
    ends = pd.DataFrame({"zero": [0.0], "y": [HEAD], "bottom": [rows]})
    return (
        alt.Chart(ends)
        .mark_rule(color=INK, strokeWidth=1)
        .encode(x="zero:Q", y=alt.Y("y:Q", axis=None), y2="bottom:Q")
    )


def tooltip(table: pd.DataFrame, columns: Sequence[str], format: str) -> list[alt.Tooltip]:
    """Tooltip fields of those columns that the table has: fractions formatted, counts and texts as they are."""
    return [
        alt.Tooltip(f"{name}:Q", format=format)
        if pd.api.types.is_float_dtype(table[name])
        else alt.Tooltip(f"{name}:N")
        for name in dict.fromkeys(columns)
        if name in table.columns
    ]


def checked(
    table: pd.DataFrame, columns: Sequence[str], interval: tuple[str, str, str] | None = None
) -> pd.DataFrame:
    """The table, if it has the columns, has rows, and each interval holds its value.

    Raises:
        ValueError: names the column, or the row and its values.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"table has no column '{missing[0]}'; it has {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(
            f"nothing to draw: the table with columns {', '.join(map(str, table.columns))} has no rows"
        )
    if interval:
        low, value, high = (table[column].to_numpy(float) for column in interval)
        wrong = np.flatnonzero((low > value + 1e-9) | (value > high + 1e-9))
        if len(wrong):
            at = wrong[0]
            raise ValueError(
                f"row {at}: the interval {low[at]:.4g} to {high[at]:.4g} does not hold its value {value[at]:.4g}"
            )
    return table.reset_index(drop=True)


def spread(ends: pd.Series, gap: float) -> pd.Series:
    """Values moved apart to at least ``gap``, in their order, about the same middle."""
    ordered = ends.sort_values()
    places = ordered.to_numpy(float).copy()
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + gap)
    return pd.Series(places - (places - ordered.to_numpy(float)).mean(), index=ordered.index)


def round_numbers(start: float, end: float) -> list[float]:
    """Three to six round numbers from ``start`` to ``end``."""
    if end <= start:
        return [start]
    step = 10.0 ** np.floor(np.log10((end - start) / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if (end - start) / (factor * step) <= 5)
    return [float(n * step) for n in range(int(np.ceil(start / step)), int(np.floor(end / step + 1e-9)) + 1)]


def number(value: float, format: str) -> str:
    """A value as an alternative text says it."""
    return "none" if pd.isna(value) else f"{value:{format}}"
