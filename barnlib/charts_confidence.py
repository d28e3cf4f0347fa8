"""Charts of confidence: reliability diagrams with their counts, and calibration error against chance.

In:  tables of calibration_curves.py and calibration_tables.py, and a :class:`~barnlib.charts.Note`.
Out: Altair charts in the theme of ``barnlib.charts``. Next: the confidence notebook shows them.
"""

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from barnlib.chart_parts import (
    GRID,
    MUTED,
    ROW,
    WIDTH,
    checked,
    group_names,
    member_names,
    number,
    placed,
    tooltip,
    vertical,
)
from barnlib.charts import Note, Palette, _dressed, _horizontal

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
    columns: int = 3,
) -> alt.FacetChart:
    """Accuracy against confidence, one panel for each backbone; below, how many answers have which confidence.

    Args:
        table: `calibration_curves.reliability_table` by backbone: ``confidence``, ``estimate``, ``low``, ``high``,
            ``answers``.
        answers: the rows behind it: ``backbone`` and the column ``definition``.

    Raises:
        ValueError: as `charts.intervals`; or a backbone of the table has no answers.
    """
    wanted = ["backbone", "confidence", "estimate", "low", "high", "answers"]
    bins = backbones.named(checked(table, wanted, interval=("low", "estimate", "high")))
    counted = backbones.named(checked(answers, ["backbone", definition]))
    panels = [name for name in backbones.titles.values() if name in set(bins["backbone"])]
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
        alt.Chart().transform_filter(of["line"]).mark_line(color=MUTED, strokeDash=[3, 2]).encode(x=x, y=y),
        alt.Chart()
        .transform_filter(of["bin"])
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour),
        alt.Chart()
        .transform_filter(of["bin"])
        .mark_point(size=60, opacity=1)
        .encode(x=x, y=y, color=colour, tooltip=tips),
    ]
    columns = min(columns, len(panels))
    layered = alt.layer(*layers, data=data).properties(width=WIDTH // columns - 50, height=220)
    chart = layered.facet(facet=alt.Facet("panel:N", sort=panels, title=None), columns=columns)
    said = [
        f"{row['backbone']}, confidence {number(row['confidence'], '.0%')}: accuracy {number(row['estimate'], '.0%')} "
        f"({number(row['low'], '.0%')} to {number(row['high'], '.0%')}) of {row['answers']} answers"
        for row in bins.to_dict("records")
    ]
    marks = Note(
        note.study, note.n, note.unit, f"{note.interval} · grey: answers by confidence · dashed: calibrated"
    )
    kind = "Reliability diagrams in bins of equal numbers of answers"
    return _dressed(chart, None, title, marks, kind, said, panels=panels, columns=columns)


def against_chance(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str = "expected calibration error",
    group: str = "task",
    format: str = ".1%",
) -> alt.LayerChart:
    """The calibration error of each backbone, and the band in which a perfectly calibrated predictor would lie.

    Args:
        table: one row for each group and backbone: ``estimate``, ``low``, ``high`` (estimates of ``ece``),
            ``null_low``, ``null_high`` (`calibration_curves.null_bands`).

    Raises:
        ValueError: as `charts.intervals`.
    """
    columns = ["backbone", "estimate", "low", "high", "null_low", "null_high"]
    named = backbones.named(checked(table, [group, *columns], interval=("low", "estimate", "high")))
    present = [name for name in backbones.titles.values() if name in set(named["backbone"])]
    named, rows = placed(named, group, "backbone", present)
    ends = (0.0, min(1.0, 1.25 * float(np.nanmax(named[["high", "null_high"]].to_numpy(float)))) or 1.0)
    base, colour = alt.Chart(named).encode(y=vertical(rows)), backbones.colour()
    tips = tooltip(named, [group, *columns, "p", "items", "seeds"], format)
    chart = alt.layer(
        base.mark_rule(strokeWidth=ROW * 0.7, color=MUTED, opacity=0.35).encode(
            x=_horizontal("null_low", label, ends, format), x2="null_high:Q", tooltip=tips
        ),
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x="low:Q", x2="high:Q", color=colour),
        base.mark_point(size=85, opacity=1).encode(x="estimate:Q", color=colour, tooltip=tips),
        *member_names(named, group, "backbone", "low", "high", ends),
        group_names(named, group),
    )
    said = [
        f"{row[group]}, {row['backbone']}: {number(row['estimate'], format)} ({number(row['low'], format)} to "
        f"{number(row['high'], format)}), by chance {number(row['null_low'], format)} to "
        f"{number(row['null_high'], format)}"
        for row in named.to_dict("records")
    ]
    marks = Note(
        note.study, note.n, note.unit, f"{note.interval} · grey: perfectly calibrated, by chance alone"
    )
    return _dressed(chart, rows, title, marks, f"Points with intervals of {label}, against chance", said)
