"""Estimates with intervals in rows down the page: where each mark stands, and the layers that such charts share.

In:  a table of estimates (``estimate``, ``low``, ``high``), the column of its groups and that of their members.
Out: :class:`Rows`, which knows the axes, marks, names, tooltips and words of the rows.
Next: ``barnlib.report.charts`` and other modules of charts put their own marks among these layers.

Rows are placed by number, not by a band scale: a group's name stands above its rows, inside the drawing, so that a
phone's narrow screen belongs to the data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from barnlib.report.chart_parts import COUNTS, broken, horizontal, interval_text, labels, tooltip
from barnlib.report.theme import INK, MUTED, WIDTH

ROW = 16  # pixels from row to row
HEAD = 1.6  # rows that a group's name takes, above its rows
LINE = 1.0  # rows that a member's name takes, where it stands above its interval
SHORT = 16  # characters of a name that may stand beside its interval
ROOM = 0.3  # of the axis, that such a name needs there
ABOVE: dict[str, Any] = {"align": "left", "baseline": "bottom", "color": MUTED}
RIGHT: dict[str, Any] = {"align": "left", "baseline": "middle", "dx": 9}
LEFT: dict[str, Any] = {"align": "right", "baseline": "middle", "dx": -9}


@dataclass(frozen=True)
class Rows:
    """A table of estimates in rows, made by :func:`in_rows`, and how its values are drawn and said."""

    table: pd.DataFrame  # columns of in_rows, and y, top, bottom in rows from the top of the drawing
    height: float  # of the drawing, in rows
    group: str  # column whose values are named above their rows
    member: str  # column that tells the estimates of a group apart
    label: str  # what the estimate is; title of the axis
    ends: tuple[float, float]  # of the axis
    format: str  # d3 and Python format of the estimate
    line: float  # rows that a member's name takes above its interval; 0 if the names stand beside them

    def marks(self) -> alt.Chart:
        """A chart of the table with each mark in its row; marks and the other channels are the caller's."""
        return alt.Chart(self.table).encode(y=vertical(self.height))

    def x(self, column: str = "low") -> alt.X:
        """The horizontal axis, at a column."""
        return horizontal(column, self.label, self.ends, self.format)

    def tips(self, *more: str) -> list[alt.Tooltip]:
        """Tooltip of an estimate: what it is of, its value and interval, other columns, and counts."""
        return tooltip(
            self.table, [self.group, self.member, "estimate", "low", "high", *more, *COUNTS], self.format
        )

    def intervals(self, colour: alt.Color, *more: str, **channels: Any) -> list[alt.Chart]:
        """A bar from ``low`` to ``high`` and a point at ``estimate``.

        Args:
            more: columns that the tooltip shows besides.
            channels: of the point alone.
        """
        bars = self.marks().mark_rule(strokeWidth=2.5, opacity=0.55)
        points = self.marks().mark_point(size=85, opacity=1)
        return [
            bars.encode(x=self.x(), x2="high:Q", color=colour),
            points.encode(x="estimate:Q", color=colour, tooltip=self.tips(*more), **channels),
        ]

    def names(self) -> list[alt.Chart]:
        """Each member's name once, where it first has a row: a member may be missing in a group."""
        first = self.table.drop_duplicates(self.member)
        if self.line:
            return labels(_at(first.assign(y=first["y"] - 0.55), alt.value(0), self.member), **ABOVE)
        right = has_room_on_the_right(first, self.ends)
        return [
            text
            for side, column, mark in ((right, "high", RIGHT), (~right, "low", LEFT))
            if side.any()
            for text in labels(_at(first[side], f"{column}:Q", self.member), **mark)
        ]

    def zero_line(self) -> alt.Chart:
        """A line at zero over all rows."""
        return zero_line(self.table, self.height)

    def said(self) -> list[str]:
        """What each row shows, for the alternative text."""
        return [
            f"{row[self.group]}, {row[self.member]}: {interval_text(row, self.format)}"
            for row in self.table.to_dict("records")
        ]

    def drawn(self, *layers: alt.Chart) -> alt.LayerChart:
        """The layers in the size of the rows, with the names of the groups above their rows."""
        return stacked(self.table, self.group, self.height, layers)


def in_rows(
    table: pd.DataFrame,
    group: str,
    member: str,
    members: Sequence[str],
    *,
    label: str,
    ends: tuple[float, float],
    format: str,
) -> Rows:
    """Place a table of estimates in rows.

    Args:
        table: columns ``group``, ``member``, ``estimate``, ``low`` and ``high``.
        members: those that have a row of their own in each group; with none, a group's estimates share one row.
    """
    line = LINE if members and not fit_beside(table.drop_duplicates(member), member, ends) else 0.0
    rows, height = placed(table, group, member if members else None, members, line)
    return Rows(rows, height, group, member, label, ends, format, line)


def stacked(table: pd.DataFrame, group: str, height: float, layers: Sequence[alt.Chart]) -> alt.LayerChart:
    """Layers of a placed table as one drawing, with the names of the groups above their rows."""
    chart = alt.LayerChart(layer=[*layers, *group_names(table, group)])
    return chart.properties(width=WIDTH, height=round(height * ROW))


def placed(
    table: pd.DataFrame, group: str, member: str | None, members: Sequence[str], line: float = 0.0
) -> tuple[pd.DataFrame, float]:
    """The table with ``y``, the row of each mark, and ``top`` and ``bottom``, the rows of its group; and all rows.

    Args:
        line: rows that each member's name takes, in the group that has it first.
    """
    groups, tall = list(dict.fromkeys(table[group])), max(1, len(members))
    heads = [HEAD + broken(str(name)).count("\n") for name in groups]
    order = np.array([groups.index(name) for name in table[group]])
    within = np.array([list(members).index(name) for name in table[member]] if member else [0] * len(table))
    named = np.zeros((len(groups), tall))  # whether a member's name stands above its row in a group
    for place, row in dict(zip(within[::-1], order[::-1], strict=True)).items():
        named[row, place] = 1.0
    lines = line * np.cumsum(named, axis=1)
    heights = tall + lines[:, -1]
    tops = np.cumsum(heads) + np.cumsum(heights) - heights
    rows = table.assign(
        y=tops[order] + within + 0.5 + lines[order, within], top=tops[order], bottom=(tops + heights)[order]
    )
    return rows, float(tops[-1] + heights[-1])


def fit_beside(first: pd.DataFrame, member: str, ends: tuple[float, float]) -> bool:
    """Whether the names of a group's members are short, and each has room beside its interval, on a phone too."""
    left = first["low"] - ends[0] >= ROOM * (ends[1] - ends[0])
    room = left | has_room_on_the_right(first, ends)
    return max(map(len, first[member])) <= SHORT and bool(room.all())


def has_room_on_the_right(rows: pd.DataFrame, ends: tuple[float, float]) -> pd.Series:
    """Whether a name fits to the right of each interval."""
    return ends[1] - rows["high"] >= ROOM * (ends[1] - ends[0])


def vertical(rows: float) -> alt.Y:
    """The vertical position of a placed table: rows from top to bottom, without an axis."""
    return alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[0, rows], reverse=True, nice=False, zero=False))


def group_names(table: pd.DataFrame, group: str) -> list[alt.Chart]:
    """Each group's name above its rows, at the left edge, in as many lines as it needs."""
    heads = table.drop_duplicates(group)[[group, "top"]]
    heads = heads.assign(name=[broken(str(name)) for name in heads[group]])
    heads = heads.assign(y=heads["top"] - 0.25 - heads["name"].str.count("\n"))
    style = {"baseline": "bottom", "fontWeight": 600, "lineBreak": "\n", "lineHeight": ROW}
    return labels(_at(heads, alt.value(0), "name"), align="left", **style)


def zero_line(table: pd.DataFrame, height: float) -> alt.Chart:
    """A line at zero over all rows of a placed table."""
    ends = pd.DataFrame({"zero": [0.0], "y": [table["top"].min()], "bottom": [height]})
    return (
        alt.Chart(ends)
        .mark_rule(color=INK, strokeWidth=1)
        .encode(x="zero:Q", y=alt.Y("y:Q", axis=None), y2="bottom:Q")
    )


def _at(table: pd.DataFrame, x: Any, column: str) -> alt.Chart:
    """A column's texts at ``x`` and in the rows ``y``."""
    return alt.Chart(table).encode(x=x, y=alt.Y("y:Q", axis=None), text=f"{column}:N")
