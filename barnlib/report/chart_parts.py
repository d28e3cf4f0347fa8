"""What all charts of the study have in common: tables that are checked, axes, tooltips, panels, and their words.

In:  tables, columns and a :class:`~barnlib.report.theme.Note`.
Out: Altair axes and charts whose title says the finding, whose subtitle says n, interval and study, and whose
     description is an alternative text with the values.
Next: chart_rows.py and the modules of charts (charts.py, charts_confidence.py, ...) build on them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from barnlib.report.theme import DARK, PAPER, WIDTH, Note

COUNTS = ("n", "items", "images", "seeds")  # columns that a tooltip shows where the table has them
SAID = 40  # values of an alternative text, at most
HEADING = 40  # characters in a line of a heading: more do not fit on a phone
RIM: dict[str, Any] = {"stroke": PAPER, "strokeWidth": 5, "strokeJoin": "round"}
DASHED: dict[str, Any] = {"strokeWidth": 1.5, "strokeDash": [3, 2]}  # a reference that is no backbone's


def checked(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The table, if it has the columns and has rows; rows are numbered anew.

    Raises:
        ValueError: a column is missing, or the table is empty.
    """
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise ValueError(f"table has no column '{missing[0]}'; it has {', '.join(map(str, table.columns))}")
    if table.empty:
        raise ValueError(
            f"nothing to draw: the table with columns {', '.join(map(str, table.columns))} has no rows"
        )
    return table.reset_index(drop=True)


def estimates(table: pd.DataFrame, columns: Sequence[str], value: str = "estimate") -> pd.DataFrame:
    """The table as :func:`checked`, if it also has ``value``, ``low`` and ``high``, and each interval holds its value.

    Raises:
        ValueError: as `checked`; or names the row whose interval does not hold its value.
    """
    table = checked(table, [*columns, value, "low", "high"])
    low, middle, high = (table[column].to_numpy(float) for column in ("low", value, "high"))
    wrong = np.flatnonzero((low > middle + 1e-9) | (middle > high + 1e-9))
    if len(wrong):
        at = wrong[0]
        raise ValueError(
            f"row {at}: the interval {low[at]:.4g} to {high[at]:.4g} does not hold its value {middle[at]:.4g}"
        )
    return table


def horizontal(
    column: str, label: str, ends: tuple[float, float], format: str = "", **axis_options: Any
) -> alt.X:
    """A horizontal axis from one end to the other, whose outer labels stay inside."""
    axis = alt.Axis(format=format, tickCount=5, labelFlush=True, **axis_options)
    scale = alt.Scale(domain=list(ends), nice=False, zero=False)
    return alt.X(f"{column}:Q", title=label, scale=scale, axis=axis)


def fitted(values: pd.DataFrame) -> tuple[float, float]:
    """Ends of an axis that holds all values, with a margin."""
    least, most = float(np.nanmin(values.to_numpy(float))), float(np.nanmax(values.to_numpy(float)))
    margin = 0.08 * (most - least) or 0.5
    return least - margin, most + margin


def symmetric(values: pd.DataFrame) -> tuple[float, float]:
    """Ends of an axis that holds all values, as far below zero as above, with a margin."""
    reach = 1.12 * float(np.nanmax(np.abs(values.to_numpy(float)))) or 1.0
    return -reach, reach


def labels(placed: alt.Chart, **mark: Any) -> list[alt.Chart]:
    """Text with a rim of paper, so that it can be read where it crosses lines and bars.

    Args:
        placed: a chart with its positions and its text encoded.
        mark: of the text: align, dx, ...
    """
    return [placed.mark_text(**mark, **rim) for rim in (RIM, {})]


def broken(text: str, most: int = HEADING) -> str:
    """A text in lines of at most ``most`` characters, broken after a colon, else after a comma, else at a space.

    A word that is longer stays whole; spaces at either end go.
    """
    text = text.strip()
    if len(text) <= most:
        return text
    head = text[: most + 1]
    at = head.rfind(": ") + 1 or head.rfind(", ") + 1 or head.rfind(" ")
    if at <= 0:
        at = text.find(" ")
    return text if at <= 0 else f"{text[:at]}\n{broken(text[at:], most)}"


def tooltip(table: pd.DataFrame, columns: Sequence[str], format: str) -> list[alt.Tooltip]:
    """Tooltip fields of those columns that the table has: fractions formatted, counts and texts as they are."""
    return [
        alt.Tooltip(f"{name}:Q", format=format)
        if pd.api.types.is_float_dtype(table[name])
        else alt.Tooltip(f"{name}:N")
        for name in dict.fromkeys(columns)
        if name in table.columns
    ]


def number(value: float, format: str) -> str:
    """A value as an alternative text says it."""
    return "none" if pd.isna(value) else f"{value:{format}}"


def interval_text(row: Mapping[Any, Any], format: str, value: str = "estimate") -> str:
    """An estimate with its interval as an alternative text says it: "35% (30% to 40%)"."""
    return f"{number(row[value], format)} ({number(row['low'], format)} to {number(row['high'], format)})"


def panel_width(panels: Sequence[str], columns: int, around: int) -> int:
    """Pixels of one of several panels beside each other, ``around`` of which its axis and the gap take."""
    return WIDTH // min(columns, len(panels)) - around


def in_panels(
    layers: Sequence[alt.Chart],
    table: pd.DataFrame,
    column: str,
    panels: Sequence[str],
    *,
    columns: int = 3,
    around: int = 40,
    height: int = 170,
) -> alt.FacetChart:
    """The layers once for each panel, ``columns`` of them beside each other; the book takes fewer on a phone.

    Args:
        layers: charts without data of their own.
        column: of the table, with the panel that a row belongs to.
        panels: its values, in order.
        around, height: pixels; see :func:`panel_width`.
    """
    columns, headings = min(columns, len(panels)), [broken(str(panel)) for panel in panels]
    named = table.assign(heading=table[column].map(dict(zip(panels, headings, strict=True))))
    layered = alt.layer(*layers, data=named)
    layered = layered.properties(width=panel_width(panels, columns, around), height=height)
    header = alt.Header(labelExpr="split(datum.label, '\\n')")
    facet = alt.Facet("heading:N", sort=headings, title=None, header=header)
    chart = layered.facet(facet=facet, columns=columns)
    longest = max(len(line) for heading in headings for line in heading.split("\n"))
    least = max(130, 7 * longest)  # a panel is no narrower than its heading
    return chart.properties(usermeta={"barn": {"columns": columns, "panel": least}})


def dressed(chart: Any, title: str, note: Note, kind: str, said: Sequence[str], *marks: str) -> Any:
    """The chart with its title, subtitle, alternative text, and what the book needs to adapt it.

    Args:
        kind: what is drawn, in words, for those who do not see it.
        said: the values in words; an alternative text holds up to `SAID` of them.
        marks: what a mark means that no legend explains ("dashed: chance"); the subtitle ends with them.
    """
    listed = "; ".join(said[:SAID]) + (f"; and {len(said) - SAID} more" if len(said) > SAID else "")
    subtitle = " · ".join((note.text(), *marks))
    adapts = {} if chart.usermeta is alt.Undefined else chart.usermeta["barn"]
    return chart.properties(
        title=alt.Title(text=title, subtitle=subtitle),
        description=f"{title}. {kind}. {listed}. {subtitle}.",
        usermeta={"barn": {"dark": DARK, **adapts}},
    )
