"""Charts of confidence: reliability diagrams with their counts, and calibration error against chance.

In:  tables of calibration_curves.py and calibration_tables.py, and a :class:`~barnlib.report.theme.Note`.
Out: Altair charts in the theme of ``barnlib.report.theme``. Next: the confidence notebook shows them.
"""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from barnlib.report.chart_parts import (
    DASHED,
    checked,
    dressed,
    estimates,
    in_panels,
    interval_text,
    number,
    tooltip,
)
from barnlib.report.chart_rows import ROW, in_rows
from barnlib.report.theme import GRID, MUTED, Note, Palette

SHARES = 20  # equal intervals of confidence in the histogram below a reliability diagram
HISTOGRAM = 0.28  # of the panel's height, at most


def reliability(
    table: pd.DataFrame,
    answers: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    definition: str = "primary",
) -> alt.FacetChart:
    """Accuracy against confidence, one panel for each backbone; below, how many answers have which confidence.

    Args:
        table: `calibration_curves.reliability_table` by backbone: ``confidence``, ``estimate``, ``low``, ``high``,
            ``answers``.
        answers: the rows behind it: ``backbone`` and the column ``definition``.

    Raises:
        ValueError: as `charts.intervals`; or a backbone of the table has no answers.
    """
    bins = backbones.named(estimates(table, ["backbone", "confidence", "answers"]))
    counted = backbones.named(checked(answers, ["backbone", definition]))
    panels = backbones.present(bins)
    parts = [bins.assign(part="bin", panel=bins["backbone"])]
    for name in panels:
        said = counted.loc[counted["backbone"] == name, definition].to_numpy(float)
        if not len(said):
            raise ValueError(f"the table has {name}, of which there are no answers")
        held, edges = np.histogram(said, SHARES, (0, 1))
        marks = pd.DataFrame({"start": edges[:-1], "end": edges[1:], "held": held, "zero": 0.0})
        parts.append(marks.assign(tall=HISTOGRAM * held / max(held.max(), 1), part="share", panel=name))
        line = {"confidence": [0.0, 1.0], "estimate": [0.0, 1.0]}
        parts.append(pd.DataFrame({**line, "part": "line", "panel": name}))
    data = pd.concat(parts, ignore_index=True)
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    x = alt.X("confidence:Q", title="confidence", scale=scale, axis=axis)
    y = alt.Y("estimate:Q", title="accuracy", scale=scale, axis=axis)
    of: dict[str, Any] = {name: alt.datum.part == name for name in ("bin", "share", "line")}
    colour = backbones.colour()
    tips = [*tooltip(bins, ["confidence", "estimate", "low", "high"], ".1%"), alt.Tooltip("answers:Q")]
    layers = [
        alt.Chart()
        .transform_filter(of["share"])
        .mark_rect(color=GRID)
        .encode(
            x=alt.X("start:Q", scale=scale),
            x2="end:Q",
            y=alt.Y("zero:Q", scale=scale),
            y2="tall:Q",
            tooltip=[alt.Tooltip("start:Q", format=".0%"), alt.Tooltip("held:Q", title="answers")],
        ),
        alt.Chart().transform_filter(of["line"]).mark_line(color=MUTED, **DASHED).encode(x=x, y=y),
        alt.Chart()
        .transform_filter(of["bin"])
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour),
        alt.Chart()
        .transform_filter(of["bin"])
        .mark_point(size=60, opacity=1)
        .encode(x=x, y=y, color=colour, tooltip=tips),
    ]
    chart = in_panels(layers, data, "panel", panels, around=50, height=220)
    said = [
        f"{row['backbone']}, confidence {number(row['confidence'], '.0%')}: accuracy "
        f"{interval_text(row, '.0%')} of {row['answers']} answers"
        for row in bins.to_dict("records")
    ]
    kind = "Reliability diagrams in bins of equal numbers of answers"
    marks = ("grey: answers by confidence", "dashed: calibrated")
    return dressed(chart, title, note, kind, said, *marks)


def against_chance(table: pd.DataFrame, backbones: Palette, note: Note, *, title: str) -> alt.LayerChart:
    """The calibration error of each backbone, and the band in which a perfectly calibrated predictor would lie.

    Args:
        table: one row for each task and backbone: ``task``, ``backbone``, ``estimate``, ``low``, ``high`` (estimates
            of ``ece``), ``null_low``, ``null_high`` (`calibration_curves.null_bands`).

    Raises:
        ValueError: as `charts.intervals`.
    """
    named = backbones.named(estimates(table, ["task", "backbone", "null_low", "null_high"]))
    most = 1.25 * float(np.nanmax(named[["high", "null_high"]].to_numpy(float)))
    rows = in_rows(
        named,
        "task",
        "backbone",
        backbones.present(named),
        label="expected calibration error",
        ends=(0.0, min(1.0, most) or 1.0),
        format=".1%",
    )
    more = ("null_low", "null_high", "p")
    band = rows.marks().mark_rule(strokeWidth=ROW * 0.7, color=MUTED, opacity=0.35)
    band = band.encode(x=rows.x("null_low"), x2="null_high:Q", tooltip=rows.tips(*more))
    chart = rows.drawn(band, *rows.intervals(backbones.colour(), *more), *rows.names())
    chances = zip(rows.said(), rows.table["null_low"], rows.table["null_high"], strict=True)
    said = [f"{own}, by chance {number(low, '.1%')} to {number(high, '.1%')}" for own, low, high in chances]
    kind = f"Points with intervals of {rows.label}, against chance"
    return dressed(chart, title, note, kind, said, "grey: perfectly calibrated, by chance alone")
