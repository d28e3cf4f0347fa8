"""Charts of which items backbones solve: sets, flows, accuracies by type, and how a mix of types makes a correlation.

In:  tables of instances.py, ensembles.py and metrics.py, and a :class:`~barnlib.report.theme.Note`.
Out: Altair charts in the theme of ``barnlib.report.theme``. Next: the instances notebook shows them.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from barnlib.report.chart_parts import (
    DASHED,
    checked,
    dressed,
    estimates,
    horizontal,
    in_panels,
    labels,
    number,
    tooltip,
)
from barnlib.report.chart_rows import ROW, in_rows, vertical
from barnlib.report.theme import GRID, INK, MUTED, WIDTH, Note, Palette

SET_ROW = 1.6  # rows of text that a set of backbones takes
NODE = 0.07  # half the width of a backbone's bar, in steps from one backbone to the next
FLOWS = {"kept": 0.35, "gained": 0.75, "lost": 0.55, "neither": 0.15}  # opacity
TOLD_FROM = 0.05  # share of a flow that has room for its name
# Where a flow's name stands along its way, and how it is aligned: gained and lost lie above each other at the start.
TOLD: dict[str, tuple[float, Any]] = {
    "kept": (0.5, "center"),
    "gained": (0.04, "left"),
    "lost": (0.04, "left"),
    "neither": (0.5, "center"),
}


def sets(table: pd.DataFrame, backbones: Palette, note: Note, *, title: str) -> alt.LayerChart:
    """Which backbones solve an item together: one row for each set, filled dots for its members, a bar for its items.

    Args:
        table: `ensembles.solved_by`: a bool column for each backbone, ``items``, ``share``, ``expected`` (drawn as a
            tick).

    Raises:
        ValueError: a column is missing, or the table is empty.
    """
    names = [name for name in backbones.titles if name in table.columns]
    rows = checked(table, [*names, "items", "share", "expected"])
    rows = rows.assign(y=np.arange(len(rows)) + 0.5, zero=0.0)
    most = float(rows[["share", "expected"]].to_numpy().max())
    step = 0.09 * most
    rows["members"] = [
        " and ".join(backbones.titles[name] for name in names if row[name]) or "none"
        for row in rows.to_dict("records")
    ]
    dots = rows.melt(id_vars=["y", "members"], value_vars=names, var_name="backbone", value_name="solves")
    dots["place"] = [-(len(names) - names.index(name)) * step for name in dots["backbone"]]
    dots = backbones.named(dots)
    up = vertical(len(rows))
    ends = (-(len(names) + 0.6) * step, 1.16 * most)
    shown = "datum.value < -0.0001 ? '' : format(datum.value, '.0%')"
    x = horizontal(
        "share", "share of items that exactly these backbones solve", ends, labelExpr=shown, grid=False
    )
    tips = tooltip(rows, ["members", "items", "share", "expected"], ".1%")
    base = alt.Chart(rows).encode(y=up)
    inside, outside = dots[dots["solves"]], dots[~dots["solves"]]
    joined = inside.groupby("y")["place"].agg(["min", "max"]).reset_index()
    layers = [
        base.mark_rule(strokeWidth=ROW * 0.8, color=MUTED, opacity=0.55).encode(
            x=x, x2="zero:Q", tooltip=tips
        ),
        base.mark_tick(color=INK, thickness=2, size=ROW * 1.2).encode(x="expected:Q", tooltip=tips),
        base.transform_calculate(most=f"max(datum.share, datum.expected) + {0.015 * most}")
        .mark_text(align="left")
        .encode(x="most:Q", text="items:Q"),
        alt.Chart(outside).mark_point(size=70, color=GRID, opacity=1).encode(x="place:Q", y=up),
        alt.Chart(joined).mark_rule(color=MUTED, strokeWidth=2).encode(x="min:Q", x2="max:Q", y=up),
        alt.Chart(inside)
        .mark_point(size=110, opacity=1)
        .encode(x="place:Q", y=up, color=backbones.colour(alt.Legend())),
    ]
    said = [
        f"{row['members']}: {row['items']} items, {number(row['share'], '.1%')}, "
        f"{number(row['expected'], '.1%')} if independent"
        for row in rows.to_dict("records")
    ]
    kind = (
        "Bars of items by the set of backbones that solves them; ticks: expected if independent within strata"
    )
    chart = alt.layer(*layers).properties(width=WIDTH, height=round(SET_ROW * len(rows) * ROW))
    return dressed(chart, title, note.without_interval(), kind, said, "tick: if independent within types")


def flow(table: pd.DataFrame, backbones: Palette, note: Note, *, title: str) -> alt.LayerChart:
    """Items from one backbone to the next: kept, gained, lost, and solved by neither.

    Args:
        table: one row for each step, in order, ``b`` of one step being ``a`` of the next: ``a``, ``b`` and the shares
            ``kept``, ``gained``, ``lost``, ``neither`` (majority rows of `instances.change_table`).

    Raises:
        ValueError: a column is missing, the table is empty, steps that do not follow one another, or shares that do
            not make one.
    """
    rows = checked(table, ["a", "b", *FLOWS])
    if list(rows["a"][1:]) != list(rows["b"][:-1]):
        raise ValueError(f"steps do not follow one another: {', '.join(rows['a'] + ' to ' + rows['b'])}")
    total = rows[list(FLOWS)].sum(axis=1)
    if (np.abs(total - 1) > 1e-6).any():
        raise ValueError(
            f"shares of a step must add up to 1, not {total[np.abs(total - 1) > 1e-6].iloc[0]:.4g}"
        )
    ribbons = pd.concat([_ribbons(place, row) for place, row in enumerate(rows.to_dict("records"))])
    names = [rows["a"].iloc[0], *rows["b"]]
    right = [rows["kept"].iloc[0] + rows["lost"].iloc[0], *(rows["kept"] + rows["gained"])]
    last = len(names) - 1
    nodes = backbones.named(pd.DataFrame({"backbone": names, "at": range(last + 1), "solved": right}))
    nodes = nodes.assign(x=nodes["at"] - NODE, x2=nodes["at"] + NODE, zero=0.0, one=1.0)
    across = alt.Scale(domain=[-NODE, last + NODE], nice=False, zero=False)
    x = alt.X("x:Q", axis=None, scale=across)
    up = alt.Scale(domain=[0, 1], nice=False)
    share = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1], grid=False)
    y = alt.Y("low:Q", title="share of items", scale=up, axis=share)
    told = ribbons[ribbons["told"] & (ribbons["share"] >= TOLD_FROM)]
    told = told.assign(text=[f"{f} {s:.0%}" for f, s in zip(told["flow"], told["share"], strict=True)])
    bars = alt.Chart(nodes)
    layers: list[alt.Chart] = [
        alt.Chart(ribbons[ribbons["flow"] == flow])
        .mark_area(color=MUTED, opacity=opacity, line=False)
        .encode(x=x, y=y, y2="high:Q", detail="step:N", tooltip=tooltip(ribbons, ["flow", "share"], ".1%"))
        for flow, opacity in FLOWS.items()
    ]
    layers += [
        bars.mark_rect(color=GRID).encode(x=x, x2="x2:Q", y=alt.Y("solved:Q", scale=up), y2="one:Q"),
        bars.mark_rect().encode(
            x=x,
            x2="x2:Q",
            y=alt.Y("zero:Q", scale=up),
            y2="solved:Q",
            color=backbones.colour(alt.Legend()),
            tooltip=tooltip(nodes, ["backbone", "solved"], ".1%"),
        ),
        *(
            text
            for flow, (_, align) in TOLD.items()
            for text in labels(
                alt.Chart(told[told["flow"] == flow]).encode(
                    x=x, y=alt.Y("centre:Q", scale=up), text="text:N"
                ),
                align=align,
            )
        ),
    ]
    said = [
        f"{backbones.titles[row['a']]} to {backbones.titles[row['b']]}: "
        + ", ".join(f"{name} {number(row[name], '.1%')}" for name in FLOWS)
        for row in rows.to_dict("records")
    ]
    chart = alt.layer(*layers).properties(width=WIDTH, height=300)
    return dressed(chart, title, note.without_interval(), "Flow of items from backbone to backbone", said)


def _ribbons(place: int, row: Mapping[Any, Any]) -> pd.DataFrame:
    """Outlines of the four flows of one step; solved items lie below, on both sides."""
    kept, gained, lost = (float(row[name]) for name in ("kept", "gained", "lost"))
    left = {"kept": 0.0, "lost": kept, "gained": kept + lost, "neither": kept + lost + gained}
    right = {"kept": 0.0, "gained": kept, "lost": kept + gained, "neither": kept + gained + lost}
    t = np.linspace(0, 1, 51).round(2)
    eased = t * t * (3 - 2 * t)
    parts = []
    for name in FLOWS:
        share = float(row[name])
        low = left[name] + (right[name] - left[name]) * eased
        shape = {"x": place + NODE + (1 - 2 * NODE) * t, "low": low, "high": low + share}
        labels = {"flow": name, "share": share, "step": f"{place} {name}", "told": t == TOLD[name][0]}
        parts.append(pd.DataFrame({**shape, "centre": low + share / 2, **labels}))
    return pd.concat(parts)


def dumbbell(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "question_type",
    format: str = ".0%",
) -> alt.LayerChart:
    """One row for each group: a dot and interval for each backbone, and a bar from the lowest dot to the highest.

    Args:
        table: one row for each group and backbone: ``backbone``, ``group``, ``estimate``, ``low``, ``high``.

    Raises:
        ValueError: as `charts.intervals`.
    """
    named = backbones.named(estimates(table, ["backbone", group]))
    placed = in_rows(named, group, "backbone", [], label=label, ends=(0.0, 1.0), format=format)
    spread = placed.table.groupby(group, sort=False)
    ends = spread.agg(least=("estimate", "min"), most=("estimate", "max"), y=("y", "first")).reset_index()
    present = backbones.present(named)
    offset = {name: 0.36 * (place - (len(present) - 1) / 2) for place, name in enumerate(present)}
    apart = placed.table["y"] + placed.table["backbone"].map(offset)
    rows = replace(placed, table=placed.table.assign(y=apart))
    bar = alt.Chart(ends).mark_rule(strokeWidth=7, color=GRID)
    bar = bar.encode(x="least:Q", x2="most:Q", y=vertical(rows.height))
    chart = rows.drawn(bar, *rows.intervals(backbones.colour(alt.Legend())))
    return dressed(chart, title, note, f"Dumbbells of {label}", rows.said())


def mixture(table: pd.DataFrame, note: Note, *, title: str) -> alt.FacetChart:
    """Accuracies of two backbones on each type of item: a falling cloud makes a negative pooled correlation by itself.

    Args:
        table: one row for each panel and stratum: ``panel``, ``stratum``, ``a`` and ``b`` (accuracies in 0 to 1),
            ``items``.

    Raises:
        ValueError: a column is missing, or the table is empty.
    """
    rows = checked(table, ["panel", "stratum", "a", "b", "items"])
    weighted = rows.assign(wa=rows["a"] * rows["items"], wb=rows["b"] * rows["items"])
    sums = weighted.groupby("panel", sort=False)[["wa", "wb", "items"]].transform("sum")
    rows = rows.assign(mean_a=sums["wa"] / sums["items"], mean_b=sums["wb"] / sums["items"])
    scale = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(format="%", values=[0, 0.5, 1])
    points = alt.Chart().encode(
        x=alt.X("a:Q", title="accuracy of one backbone", scale=scale, axis=axis),
        y=alt.Y("b:Q", title="accuracy of the other", scale=scale, axis=axis),
    )
    layers = [
        alt.Chart().mark_rule(color=MUTED, **DASHED).encode(x="mean_a:Q"),
        alt.Chart().mark_rule(color=MUTED, **DASHED).encode(y="mean_b:Q"),
        points.mark_point(opacity=0.75, color=INK).encode(
            size=alt.Size("items:Q", legend=None, scale=alt.Scale(range=[40, 260])),
            tooltip=tooltip(rows, ["stratum", "a", "b", "items"], ".0%"),
        ),
    ]
    panels = list(dict.fromkeys(rows["panel"]))
    chart = in_panels(layers, rows, "panel", panels, columns=2, around=70, height=230)
    said = [
        f"{row['panel']}, {row['stratum']}: {number(row['a'], '.0%')} and {number(row['b'], '.0%')} of {row['items']}"
        for row in rows.to_dict("records")
    ]
    kind = "Accuracies of two backbones by type of item; dashed: their means"
    return dressed(chart, title, note.without_interval(), kind, said, "dashed: means")
