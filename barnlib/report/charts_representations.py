"""Charts of hidden states: curves over depth with their intervals, and maps of layers against layers.

In:  tables of representation_tables.py, alignment.py and state_probes.py, and a Note that says where they come from.
Out: charts in the study's theme, or a line that says why there is nothing to draw. Next: representations.ipynb.
"""

from collections.abc import Callable
from typing import Any

import altair as alt
import pandas as pd

from barnlib.report.chart_parts import (
    COUNTS,
    DASHED,
    dressed,
    estimates,
    in_panels,
    interval_text,
    panel_width,
    tooltip,
)
from barnlib.report.shown import shown
from barnlib.report.theme import GRID, INK, MUTED, PAPER, Note, Palette

DEPTH = "relative depth (layer / layers)"
WRITTEN_UP_TO = 8  # layers of a map whose cells have room for their number


def drawn(chart: Callable[..., Any], table: pd.DataFrame, *arguments: Any, why: str, **options: Any) -> Any:
    """A chart of those rows that have an estimate and an interval; a sentence where no row has.

    Args:
        chart: a function whose first argument is the table.
        arguments, options: its others.
        why: the sentence.
    """
    whole = table.dropna(subset=["estimate", "low", "high"])
    return shown(whole, lambda rows: chart(rows, *arguments, **options), otherwise=why)


def layer_curves(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    panel: str = "task",
    baseline: str | None = None,
    columns: int = 3,
    format: str = ".0%",
) -> alt.FacetChart:
    """A line over relative depth with the band of its interval, by backbone, one panel for each group.

    Args:
        table: one row for each backbone, panel and layer: ``backbone``, ``panel``, ``depth`` (0 to 1), ``estimate``,
            ``low`` and ``high``.
        label: what the estimate is; title of the axis.
        baseline: column of a reference value, drawn as a dashed line; the subtitle names it as the column.

    Raises:
        ValueError: as :func:`barnlib.report.charts.intervals`.
    """
    reference = [baseline] if baseline else []
    named = backbones.named(estimates(table, ["backbone", panel, "depth", *reference]))
    x = alt.X(
        "depth:Q",
        title=DEPTH,
        scale=alt.Scale(domain=[0, 1], nice=False),
        axis=alt.Axis(grid=False, tickCount=3, format=".1f", labelFlush=True),
    )
    y = alt.Y(
        "estimate:Q", title=label, axis=alt.Axis(format=format, tickCount=4), scale=alt.Scale(zero=False)
    )
    colour = backbones.colour(alt.Legend())
    base = alt.Chart().encode(x=x)
    tips = tooltip(named, [panel, "backbone", "depth", "estimate", "low", "high", *COUNTS], format)
    layers = [
        base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=label), y2="high:Q", color=colour),
        base.mark_line(strokeWidth=2.5).encode(y=y, color=colour),
        base.mark_point(size=40, opacity=1).encode(y=y, color=colour, tooltip=tips),
    ]
    if baseline:
        rule = alt.Chart().mark_rule(color=MUTED, **DASHED)
        layers.insert(0, rule.encode(y=f"mean({baseline}):Q"))
    chart = in_panels(layers, named, panel, list(dict.fromkeys(named[panel])), columns=columns)
    chart = chart.resolve_scale(x="independent", y="independent")
    last = named.sort_values("depth", kind="stable").groupby([panel, "backbone"], sort=False).tail(1)
    said = [
        f"{row[panel]}, {row['backbone']}, last layer: {interval_text(row, format)}"
        for row in last.to_dict("records")
    ]
    kind = f"Curves of {label} over {DEPTH} with intervals"
    dashed = [f"dashed: {baseline}"] if baseline else []
    return dressed(chart, title, note, kind, said, *dashed)


def layer_maps(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str,
    panel: str = "pair",
    format: str = ".2f",
) -> alt.FacetChart:
    """A map for each pair of models, layers of the first to the right, of the second upwards; darker is more alike.

    Args:
        table: one row for each panel and two layers: ``panel``, ``layer_a``, ``layer_b``, ``estimate``, ``low`` and
            ``high``.
        label: what the estimate is; title of the legend. The scale runs from 0 to 1; what is below 0 is drawn as 0.

    Raises:
        ValueError: as :func:`barnlib.report.charts.differences`.
    """
    named = estimates(table, [panel, "layer_a", "layer_b"])
    axis = alt.Axis(labelAngle=0, labelOverlap=True)
    base = alt.Chart().encode(
        x=alt.X("layer_a:O", title="layer of the first", axis=axis),
        y=alt.Y("layer_b:O", title="layer of the second", sort="descending", axis=axis),
    )
    scale = alt.Scale(domain=[0, 1], range=[GRID, INK], clamp=True)
    colour = alt.Color(
        "estimate:Q", title=label, scale=scale, legend=alt.Legend(format=format, gradientLength=160)
    )
    tips = tooltip(named, [panel, "layer_a", "layer_b", "estimate", "low", "high", *COUNTS], format)
    layers = [base.mark_rect().encode(color=colour, tooltip=tips)]
    if named[["layer_a", "layer_b"]].to_numpy().max() <= WRITTEN_UP_TO:
        ink = alt.condition("datum.estimate > 0.5", alt.value(PAPER), alt.value(INK))
        layers.append(
            base.mark_text(fontSize=11).encode(text=alt.Text("estimate:Q", format=format), color=ink)
        )
    panels = list(dict.fromkeys(named[panel]))
    side = panel_width(panels, 3, 50)
    chart = in_panels(layers, named, panel, panels, around=50, height=min(side, 200))
    chart = chart.resolve_scale(x="independent", y="independent")
    last = named.sort_values(["layer_a", "layer_b"], kind="stable").groupby(panel, sort=False).tail(1)
    said = [f"{row[panel]}, last layers: {interval_text(row, format)}" for row in last.to_dict("records")]
    return dressed(chart, title, note, f"Maps of {label}, layer by layer", said)
