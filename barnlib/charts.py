"""The study's charts: one theme, one colour for each backbone, an interval on every estimate.

In:  tidy tables (one row a mark, columns named by the caller) and a :class:`Note` that says where they come from.
Out: Altair charts whose title says the finding, whose subtitle says n, interval and study, and whose description
     is an alternative text with the values.
Next: a notebook shows them; the book draws them again in the browser (``barnlib.vega``).

Colour marks a backbone; ink speaks. Text is never set in a backbone's colour, so it stays readable. Colours come
from ``params/backbones/NAME.yaml`` through :func:`palette`, and dark mode exchanges the inks of ``chart_parts.DARK``.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from barnlib.chart_parts import (
    CONFIG,
    DARK,
    INK,
    MUTED,
    PAPER,
    ROW,
    WIDTH,
    checked,
    group_names,
    member_names,
    number,
    placed,
    round_numbers,
    spread,
    tooltip,
    vertical,
    zero_line,
)
from barnlib.parameters import Study, load_backbone

MOST_ROWS = 50_000
COUNTS = ("n", "items", "images", "seeds")  # columns that a tooltip shows where the table has them


@dataclass(frozen=True)
class Note:
    """Where a chart's numbers come from; the subtitle of every chart.

    ``interval`` says what the drawn interval is ("95 % bootstrap over images and seeds"), and for a plain count
    that there is none.
    """

    study: str
    n: int
    unit: str  # what n counts: "questions on 300 images"
    interval: str

    def text(self) -> str:
        """One line: n with its unit, the interval, the study."""
        return f"n = {self.n:,} {self.unit} · {self.interval} · study {self.study}"


@dataclass(frozen=True)
class Palette:
    """Title and colour of each backbone, by name, in the study's order."""

    titles: Mapping[str, str]
    colours: Mapping[str, str]

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


def palette(study: Study) -> Palette:
    """The study's backbones with their titles and colours, from ``params/backbones``."""
    files = {name: load_backbone(name, study.scale) for name in study.backbones}
    return Palette({n: f.title for n, f in files.items()}, {n: f.colour for n, f in files.items()})


def use_theme() -> None:
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


def intervals(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "task",
    value: str = "estimate",
    low: str = "low",
    high: str = "high",
    baseline: str | None = None,
    domain: tuple[float, float] | None = (0.0, 1.0),
    format: str = ".0%",
) -> alt.LayerChart:
    """A point and its interval for each group and backbone, groups down the page.

    Args:
        table: one row for each group and backbone: ``backbone``, ``group``, ``value``, ``low``, ``high`` and,
            where a baseline is named, its value, the same for all backbones of a group. The tables of
            ``barnlib.metrics`` have these columns.
        label: what the value is; title of the axis.
        baseline: column of a reference value, drawn as a dashed line; the subtitle names it as the column.
        domain: ends of the axis; None to fit the data.
        format: d3 format of the value.

    Raises:
        ValueError: a column is missing, the table is empty, an interval does not hold its value, or the table has a
            backbone that the study does not have.
    """
    columns = ["backbone", group, value, low, high] + ([baseline] if baseline else [])
    named = backbones.named(checked(table, columns, interval=(low, value, high)))
    present = [name for name in backbones.titles.values() if name in set(named["backbone"])]
    named, rows = placed(named, group, "backbone", present)
    ends = domain or _fitted(named[[low, high] + ([baseline] if baseline else [])])
    x = _horizontal(low, label, ends, format)
    colour, y = backbones.colour(), vertical(rows)
    base = alt.Chart(named).encode(y=y)
    tips = tooltip(
        named, [group, "backbone", value, low, high, *([baseline] if baseline else []), *COUNTS], format
    )
    layers = [
        base.mark_rule(strokeWidth=2.5, opacity=0.55).encode(x=x, x2=f"{high}:Q", color=colour),
        base.mark_point(size=85, opacity=1).encode(x=f"{value}:Q", color=colour, tooltip=tips),
        *member_names(named, group, "backbone", low, high, ends),
        group_names(named, group),
    ]
    if baseline:
        marks = named.drop_duplicates(group).assign(y=lambda t: t["top"])
        rule = alt.Chart(marks).encode(x=f"{baseline}:Q", y=y)
        layers.insert(
            0, rule.mark_rule(color=MUTED, strokeWidth=1.5, strokeDash=[3, 2]).encode(y2="bottom:Q")
        )
    said = [
        f"{row[group]}, {row['backbone']}: {_estimate(row, value, low, high, format)}" for row in _rows(named)
    ]
    kind = f"Points with intervals of {label}"
    return _dressed(alt.layer(*layers), rows, title, note, kind, said, dashed=baseline)


def differences(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "task",
    pair: str = "pair",
    value: str = "estimate",
    low: str = "low",
    high: str = "high",
    format: str = "+.0%",
) -> alt.LayerChart:
    """Paired differences with their intervals around zero; filled where the interval leaves zero out.

    Args:
        table: one row for each group and pair: ``pair`` as text ("LLaMA-3 − LLaMA-1"), value and interval.

    Raises:
        ValueError: as :func:`intervals`.
    """
    named = checked(table, [pair, group, value, low, high], interval=(low, value, high))
    named, rows = placed(named, group, pair, list(dict.fromkeys(named[pair])))
    named = named.assign(apart=(named[low] > 0) | (named[high] < 0))
    ends = _symmetric(named[[low, high]])
    base = alt.Chart(named).encode(y=vertical(rows))
    tips = tooltip(named, [group, pair, value, low, high, *COUNTS], format)
    rules = base.mark_rule(strokeWidth=2.5).encode(x=_horizontal(low, label, ends, format), x2=f"{high}:Q")
    points = base.mark_point(size=85, strokeWidth=2, opacity=1).encode(
        x=f"{value}:Q",
        fill=alt.condition("datum.apart", alt.value(INK), alt.value(PAPER)),
        stroke=alt.value(INK),
        tooltip=tips,
    )
    names = member_names(named, group, pair, low, high, ends)
    said = [f"{row[group]}, {row[pair]}: {_estimate(row, value, low, high, format)}" for row in _rows(named)]
    chart = alt.layer(rules, points, zero_line(rows), *names, group_names(named, group))
    return _dressed(
        chart, rows, title, note, f"Differences with intervals, {label}; filled where zero is outside", said
    )


def curves(
    table: pd.DataFrame,
    backbones: Palette,
    note: Note,
    *,
    title: str,
    label: str,
    x: str = "step",
    x_label: str = "optimiser steps",
    y: str = "value",
    panel: str | None = None,
    seed: str = "seed",
    log_x: bool = False,
    format: str = ".0%",
    columns: int = 3,
) -> alt.LayerChart | alt.FacetChart:
    """One thin line for each seed and one thick line for their mean, by backbone, in one or several panels.

    The spread of the thin lines is the interval; the note has to say so.

    Args:
        table: one row for each point: ``backbone``, ``seed``, ``x``, ``y`` and, for panels, their column.
        log_x: logarithmic horizontal axis (values above zero).

    Raises:
        ValueError: a column is missing, the table is empty, or it has a backbone that the study does not have.
    """
    by = [panel] if panel else []
    named = backbones.named(checked(table, ["backbone", seed, x, y, *by]))
    first, last = float(named[x].min()), float(named[x].max())
    longest = max(map(len, backbones.titles.values()))
    room = 1.0 if panel else 1.05 + 0.028 * longest  # in one panel, names stand at the ends of the lines
    end = first * (last / first) ** room if log_x else first + (last - first) * room
    scale = alt.Scale(type="log" if log_x else "linear", nice=False, domain=[first, end])
    marks: dict[str, Any] = {"tickCount": 3} if log_x or panel else {"values": round_numbers(first, last)}
    colour = backbones.colour(alt.Legend() if panel else None)
    base = alt.Chart().encode(
        x=alt.X(f"{x}:Q", title=x_label, scale=scale, axis=alt.Axis(grid=False, **marks))
    )
    up = alt.Y(f"{y}:Q", title=label, axis=alt.Axis(format=format, tickCount=4), scale=alt.Scale(zero=False))
    tips = tooltip(named, [*by, "backbone", seed, x, y], format)
    layers = [
        base.mark_line(strokeWidth=1, opacity=0.4).encode(y=up, color=colour, detail=f"{seed}:N"),
        base.mark_line(strokeWidth=2.5).encode(y=f"mean({y}):Q", color=colour),
        base.mark_point(size=60, opacity=0).encode(y=f"{y}:Q", tooltip=tips),
    ]
    finals = named.sort_values(x).groupby([*by, "backbone", seed], sort=False).tail(1)
    ends = finals.groupby([*by, "backbone"], sort=False)[y].mean()
    said = [
        f"{' '.join(k if isinstance(k, tuple) else (k,))} ends at {number(v, format)}"
        for k, v in ends.items()
    ]
    kind = f"Curves of {label} over {x_label}"
    if panel is None:
        apart = spread(ends, 0.07 * float(named[y].max() - named[y].min()))
        names = pd.DataFrame({"x": last, "y": apart.to_numpy(), "name": apart.index})
        text = alt.Chart(names).mark_text(align="left", dx=8).encode(x="x:Q", y="y:Q", text="name:N")
        return _dressed(alt.layer(*layers, text, data=named), 260 / ROW, title, note, kind, said)
    panels = list(dict.fromkeys(named[panel]))
    columns = min(columns, len(panels))
    layered = alt.layer(*layers, data=named).properties(width=WIDTH // columns - 40, height=170)
    chart = layered.facet(facet=alt.Facet(f"{panel}:N", sort=panels, title=None), columns=columns)
    chart = chart.resolve_scale(x="independent", y="independent")
    return _dressed(chart, None, title, note, kind, said, panels=panels, columns=columns)


def exchange(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str = "share of items",
    group: str = "task",
    gained: str = "gained",
    lost: str = "lost",
    low: str = "low",
    high: str = "high",
    format: str = ".0%",
) -> alt.LayerChart:
    """What a change of backbone gains (to the right) and loses (to the left), and the net of both with its interval.

    Args:
        table: one row for each group: the shares ``gained`` and ``lost`` in 0..1, and the interval of their
            difference in ``low`` and ``high``.

    Raises:
        ValueError: as :func:`intervals`.
    """
    named = checked(table, [group, gained, lost, low, high])
    named = named.assign(net=named[gained] - named[lost], left=-named[lost])
    named, rows = placed(checked(named, ["net"], interval=(low, "net", high)), group, None, [])
    ends = _symmetric(named[[gained, lost, low, high]])
    unsigned = f"format(abs(datum.value), '{format}')"
    x = _horizontal(gained, f"← lost · {label} · gained →", ends, labelExpr=unsigned)
    base = alt.Chart(named.assign(zero=0.0)).encode(y=vertical(rows))
    bar: dict[str, Any] = {"strokeWidth": ROW - 4, "color": MUTED}
    tips = tooltip(named, [group, gained, lost, "net", low, high, *COUNTS], format)
    layers = [
        base.mark_rule(opacity=0.6, **bar).encode(x=x, x2="zero:Q", tooltip=tips),
        base.mark_rule(opacity=0.3, **bar).encode(x="left:Q", x2="zero:Q", tooltip=tips),
        zero_line(rows),
        base.mark_rule(color=INK, strokeWidth=2.5).encode(x=f"{low}:Q", x2=f"{high}:Q"),
        base.mark_point(color=INK, size=70, opacity=1).encode(x="net:Q", tooltip=tips),
        group_names(named, group),
    ]
    said = [
        f"{row[group]}: gained {number(row[gained], format)}, lost {number(row[lost], format)}, net "
        + _estimate(row, "net", low, high, f"+{format}")
        for row in _rows(named)
    ]
    return _dressed(
        alt.layer(*layers), rows, title, note, "Bars of items gained and lost, dots of the net", said
    )


def references(
    table: pd.DataFrame,
    note: Note,
    *,
    title: str,
    label: str,
    group: str = "target",
    kind: str = "kind",
    value: str = "value",
    low: str = "low",
    high: str = "high",
    domain: tuple[float, float] | None = None,
    format: str = ".2f",
) -> alt.LayerChart:
    """Values of several kinds (trained, random, chance) in one row, told apart by shape: no backbone is involved.

    Args:
        table: one row for each group and kind, with its interval (``low`` = ``high`` = value where it is exact).

    Raises:
        ValueError: as :func:`intervals`.
    """
    named = checked(table, [group, kind, value, low, high], interval=(low, value, high))
    kinds = list(dict.fromkeys(named[kind]))
    named, rows = placed(named, group, None, [])
    symbols = ["circle", "square", "triangle-up", "diamond", "cross"]
    if len(kinds) > len(symbols):
        raise ValueError(
            f"{len(kinds)} kinds to tell apart by shape ({', '.join(kinds)}); at most {len(symbols)}"
        )
    shape = alt.Shape(f"{kind}:N", scale=alt.Scale(domain=kinds, range=symbols[: len(kinds)]))
    inks = alt.Scale(domain=kinds, range=[INK, *[MUTED] * (len(kinds) - 1)])
    colour = alt.Color(f"{kind}:N", scale=inks, legend=alt.Legend())
    base = alt.Chart(named).encode(y=vertical(rows))
    x = _horizontal(low, label, domain or _fitted(named[[low, high]]), format)
    tips = tooltip(named, [group, kind, value, low, high, *COUNTS], format)
    chart = alt.layer(
        base.mark_rule(strokeWidth=2, opacity=0.6).encode(x=x, x2=f"{high}:Q", color=colour),
        base.mark_point(size=80, opacity=1).encode(x=f"{value}:Q", color=colour, shape=shape, tooltip=tips),
        group_names(named, group),
    )
    said = [f"{row[group]}, {row[kind]}: {_estimate(row, value, low, high, format)}" for row in _rows(named)]
    return _dressed(chart, rows, title, note, f"{label} by {group} and {kind}", said)


def _horizontal(
    column: str, label: str, ends: tuple[float, float], format: str = "", **axis_options: Any
) -> alt.X:
    axis = alt.Axis(format=format, tickCount=5, labelFlush=True, **axis_options)
    return alt.X(
        f"{column}:Q", title=label, scale=alt.Scale(domain=list(ends), nice=False, zero=False), axis=axis
    )


def _fitted(values: pd.DataFrame) -> tuple[float, float]:
    least, most = float(np.nanmin(values.to_numpy(float))), float(np.nanmax(values.to_numpy(float)))
    margin = 0.08 * (most - least) or 0.5
    return least - margin, most + margin


def _symmetric(values: pd.DataFrame) -> tuple[float, float]:
    reach = 1.12 * float(np.nanmax(np.abs(values.to_numpy(float)))) or 1.0
    return -reach, reach


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _estimate(row: Mapping[str, Any], value: str, low: str, high: str, format: str) -> str:
    return f"{number(row[value], format)} ({number(row[low], format)} to {number(row[high], format)})"


def _dressed(
    chart: Any,
    rows: float | None,
    title: str,
    note: Note,
    kind: str,
    said: Sequence[str],
    *,
    dashed: str | None = None,
    panels: Sequence[str] = (),
    columns: int = 1,
) -> Any:
    """The chart with its size, title, subtitle, alternative text, and what the book needs to adapt it."""
    listed = "; ".join(said[:40]) + (f"; and {len(said) - 40} more" if len(said) > 40 else "")
    subtitle = note.text() + (f" · dashed: {dashed}" if dashed else "")
    barn: dict[str, Any] = {"dark": DARK}
    if panels:  # a panel is no narrower than its heading
        barn |= {"columns": columns, "panel": max(130, 7 * max(map(len, map(str, panels))))}
    if rows:
        chart = chart.properties(width=WIDTH, height=round(rows * ROW))
    return chart.properties(
        title=alt.Title(text=title, subtitle=subtitle),
        description=f"{title}. {kind}. {listed}. {subtitle}.",
        usermeta={"barn": barn},
    )
