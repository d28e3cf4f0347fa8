"""Charts of estimates: points with intervals, differences around zero, curves over training, gains and losses.

In:  tidy tables, one row a mark, with the columns ``estimate``, ``low`` and ``high`` of ``barnlib.analyses.metrics``; a
     :class:`~barnlib.report.theme.Palette` where backbones are drawn, and a :class:`~barnlib.report.theme.Note`.
Out: Altair charts in the theme of ``barnlib.report.theme``.
Next: a notebook shows them; the book draws them again in the browser (``barnlib.report.vega``).
"""

from typing import Any

import altair as alt
import pandas as pd

from barnlib.report.chart_parts import (
    COUNTS,
    DASHED,
    checked,
    dressed,
    estimates,
    fitted,
    horizontal,
    in_panels,
    interval_text,
    number,
    symmetric,
    tooltip,
)
from barnlib.report.chart_rows import ROW, in_rows, placed, stacked, vertical, zero_line
from barnlib.report.theme import INK, MUTED, PAPER, Note, Palette

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross")


def intervals(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "task",
    baseline: str | None = None,
    domain: tuple[float, float] | None = (0.0, 1.0),
    format: str = ".0%",
) -> alt.LayerChart:
    """A point and its interval for each group and backbone, groups down the page.

    Args:
        table: one row for each group and backbone: ``backbone``, ``group``, ``estimate``, ``low``, ``high`` and,
            where a baseline is named, its value, the same for all backbones of a group.
        label: what the estimate is; title of the axis.
        baseline: column of a reference value, drawn as a dashed line; the subtitle names it as the column.
        domain: ends of the axis; None to fit the data.
        format: of the estimate, for d3 and Python alike.

    Raises:
        ValueError: a column is missing, the table is empty, an interval does not hold its value, or the table has a
            backbone that the study does not have.
    """
    reference = [baseline] if baseline else []
    named = backbones.named(estimates(table, ["backbone", group, *reference]))
    ends = domain or fitted(named[["low", "high", *reference]])
    present = backbones.present(named)
    rows = in_rows(named, group, "backbone", present, label=label, ends=ends, format=format)
    layers = [*rows.intervals(backbones.colour(), *reference), *rows.names()]
    if baseline:
        marks = rows.table.drop_duplicates(group).assign(y=lambda t: t["top"])
        rule = alt.Chart(marks).mark_rule(color=MUTED, **DASHED)
        layers.insert(0, rule.encode(x=f"{baseline}:Q", y=vertical(rows.height), y2="bottom:Q"))
    kind = f"Points with intervals of {label}"
    dashed = [f"dashed: {baseline}"] if baseline else []
    return dressed(rows.drawn(*layers), title, note, kind, rows.said(), *dashed)


def differences(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "task",
    format: str = "+.0%",
) -> alt.LayerChart:
    """Paired differences with their intervals around zero; filled where the interval leaves zero out.

    Args:
        table: one row for each group and pair: ``group``, ``pair`` as text ("LLaMA-3 − LLaMA-1"), ``estimate``,
            ``low``, ``high``.

    Raises:
        ValueError: as :func:`intervals`.
    """
    known = estimates(table, [group, "pair"])
    known = known.assign(apart=(known["low"] > 0) | (known["high"] < 0))
    ends, pairs = symmetric(known[["low", "high"]]), list(dict.fromkeys(known["pair"]))
    rows = in_rows(known, group, "pair", pairs, label=label, ends=ends, format=format)
    bars = rows.marks().mark_rule(strokeWidth=2.5).encode(x=rows.x(), x2="high:Q")
    points = rows.marks().mark_point(size=85, strokeWidth=2, opacity=1)
    points = points.encode(
        x="estimate:Q",
        fill=alt.condition("datum.apart", alt.value(INK), alt.value(PAPER)),
        stroke=alt.value(INK),
        tooltip=rows.tips(),
    )
    chart = rows.drawn(rows.zero_line(), bars, points, *rows.names())
    kind = f"Differences with intervals, {label}; filled where zero is outside"
    return dressed(chart, title, note, kind, rows.said())


def curves(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    panel: str = "task",
    x: str = "step",
    x_label: str = "optimiser steps",
    y: str = "value",
    format: str = ".0%",
) -> alt.FacetChart:
    """One thin line for each seed and one thick line for their mean, by backbone, in panels.

    The spread of the thin lines is the interval; the note has to say so.

    Args:
        table: one row for each point: ``backbone``, ``seed``, ``panel``, ``x`` and ``y``.
        label: what ``y`` is; title of its axis.

    Raises:
        ValueError: a column is missing, the table is empty, or it has a backbone that the study does not have.
    """
    named = backbones.named(checked(table, ["backbone", "seed", panel, x, y]))
    scale = alt.Scale(nice=False, domain=[float(named[x].min()), float(named[x].max())])
    across = alt.X(f"{x}:Q", title=x_label, scale=scale, axis=alt.Axis(grid=False, tickCount=3))
    up = alt.Y(f"{y}:Q", title=label, axis=alt.Axis(format=format, tickCount=4), scale=alt.Scale(zero=False))
    base, colour = alt.Chart().encode(x=across), backbones.colour(alt.Legend())
    tips = tooltip(named, [panel, "backbone", "seed", x, y], format)
    layers = [
        base.mark_line(strokeWidth=1, opacity=0.4).encode(y=up, color=colour, detail="seed:N"),
        base.mark_line(strokeWidth=2.5).encode(y=f"mean({y}):Q", color=colour),
        base.mark_point(size=60, opacity=0).encode(y=f"{y}:Q", tooltip=tips),
    ]
    chart = in_panels(layers, named, panel, list(dict.fromkeys(named[panel])))
    chart = chart.resolve_scale(x="independent", y="independent")
    finals = named.sort_values(x).groupby([panel, "backbone", "seed"], sort=False).tail(1)
    ends = finals.groupby([panel, "backbone"], sort=False)[y].mean()
    said = [f"{part} {name} ends at {number(value, format)}" for (part, name), value in ends.items()]
    return dressed(chart, title, note, f"Curves of {label} over {x_label}", said)


def exchange(table: pd.DataFrame, note: Note, *, title: str, group: str = "task") -> alt.LayerChart:
    """What a change of backbone gains (to the right) and loses (to the left), and the net of both with its interval.

    Args:
        table: one row for each group: the shares of items ``gained`` and ``lost`` in 0..1, and the interval of their
            difference in ``low`` and ``high``.

    Raises:
        ValueError: as :func:`intervals`.
    """
    known = checked(table, [group, "gained", "lost"])
    known = known.assign(net=known["gained"] - known["lost"], left=-known["lost"], zero=0.0)
    known, height = placed(estimates(known, [], value="net"), group, None, [])
    ends = symmetric(known[["gained", "lost", "low", "high"]])
    unsigned = "format(abs(datum.value), '.0%')"
    x = horizontal("gained", "← lost · share of items · gained →", ends, labelExpr=unsigned)
    base = alt.Chart(known).encode(y=vertical(height))
    bar: dict[str, Any] = {"strokeWidth": ROW - 4, "color": MUTED}
    tips = tooltip(known, [group, "gained", "lost", "net", "low", "high", *COUNTS], ".0%")
    layers = [
        base.mark_rule(opacity=0.6, **bar).encode(x=x, x2="zero:Q", tooltip=tips),
        base.mark_rule(opacity=0.3, **bar).encode(x="left:Q", x2="zero:Q", tooltip=tips),
        zero_line(known, height),
        base.mark_rule(color=INK, strokeWidth=2.5).encode(x="low:Q", x2="high:Q"),
        base.mark_point(color=INK, size=70, opacity=1).encode(x="net:Q", tooltip=tips),
    ]
    said = [
        f"{row[group]}: gained {number(row['gained'], '.0%')}, lost {number(row['lost'], '.0%')}, net "
        + interval_text(row, "+.0%", "net")
        for row in known.to_dict("records")
    ]
    kind = "Bars of items gained and lost, dots of the net"
    return dressed(stacked(known, group, height, layers), title, note, kind, said)


def references(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "target",
    kind: str = "kind",
    domain: tuple[float, float] | None = None,
    format: str = ".2f",
) -> alt.LayerChart:
    """Values of several kinds (trained, random, chance) in one row, told apart by shape: no backbone is involved.

    Args:
        table: one row for each group and kind: ``group``, ``kind``, ``estimate``, ``low``, ``high`` (all three the
            same where the value is exact).
        domain: ends of the axis; None to fit the data.

    Raises:
        ValueError: as :func:`intervals`, or more kinds than there are shapes.
    """
    known = estimates(table, [group, kind])
    kinds = list(dict.fromkeys(known[kind]))
    if len(kinds) > len(SHAPES):
        raise ValueError(
            f"{len(kinds)} kinds to tell apart by shape ({', '.join(kinds)}); at most {len(SHAPES)}"
        )
    ends = domain or fitted(known[["low", "high"]])
    rows = in_rows(known, group, kind, [], label=label, ends=ends, format=format)
    shape = alt.Shape(f"{kind}:N", scale=alt.Scale(domain=kinds, range=list(SHAPES[: len(kinds)])))
    inks = alt.Scale(domain=kinds, range=[INK, *[MUTED] * (len(kinds) - 1)])
    colour = alt.Color(f"{kind}:N", scale=inks, legend=alt.Legend())
    chart = rows.drawn(*rows.intervals(colour, shape=shape))
    return dressed(chart, title, note, f"{label} by {group} and {kind}", rows.said())
