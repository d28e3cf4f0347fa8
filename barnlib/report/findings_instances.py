"""Which items backbones solve, in words, and the tables that the instances notebook draws.

In:  tables of instances.py, agreement_tables.py, ensembles.py and
     :mod:`barnlib.analyses.metrics`.
Out: tables and titles. Every figure comes from a table.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from barnlib.analyses.agreement import CELLS, coefficients
from barnlib.report.findings import named_pairs

# Two types of 64 items each, in both of which two models are right independently of each other: 7/8 and 1/4 of the
# first type, 1/8 and 3/4 of the second. Items in each cell: right in both, only a, only b, neither.
EXAMPLE = {"first type": (14, 42, 2, 6), "second type": (6, 2, 42, 14)}
KINDS = {"phi_pooled": "pooled", "phi_stratified": "within types"}


def example() -> pd.DataFrame:
    """A worked example of a correlation that types alone make: `charts_instances.mixture`'s columns, one panel."""
    cells = np.zeros((1, len(EXAMPLE), len(CELLS)))
    cells[0, :, :4] = list(EXAMPLE.values())
    found = {name: float(value[0]) for name, value in coefficients(cells).items()}
    both, only_a, only_b = cells[0, :, :3].T
    items = cells[0].sum(1)
    return pd.DataFrame(
        {
            "panel": _panel("worked example", found["phi_pooled"], found["phi_stratified"]),
            "stratum": list(EXAMPLE),
            "a": (both + only_a) / items,
            "b": (both + only_b) / items,
            "items": items.astype(int),
        }
    )


def mixtures(predictions: pd.DataFrame, agreement: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Accuracies of each pair of backbones by question type: `charts_instances.mixture`'s columns, a panel a pair.

    Args:
        predictions: one task, every run.
        agreement: `agreement_tables.agreement_table` of the same items; its phi stands in the panel's name.
    """
    by_type = predictions.groupby(["question_type", "backbone"], sort=False)["correct"].mean().unstack()
    items = predictions.groupby("question_type")["item"].nunique()
    phi = agreement[agreement["kind"] == "backbones"].pivot(
        index=["a", "b"], columns="measure", values="estimate"
    )
    parts = [
        pd.DataFrame(
            {
                "panel": _panel(f"{titles[a]} and {titles[b]}", row["phi_pooled"], row["phi_stratified"]),
                "stratum": [str(name).replace("_", " ") for name in by_type.index],
                "a": by_type[a].to_numpy(float),
                "b": by_type[b].to_numpy(float),
                "items": items[by_type.index].to_numpy(),
            }
        )
        for (a, b), row in phi.iterrows()
    ]
    return pd.concat([example(), *parts], ignore_index=True)


def _panel(name: str, pooled: float, inside: float) -> str:
    numbers = ["none" if np.isnan(value) else f"{value + 0.0:+.2f}" for value in (pooled, round(inside, 9))]
    return f"{name}: φ {numbers[0]}, within types {numbers[1]}"


def successive(table: pd.DataFrame, backbones: Sequence[str]) -> pd.DataFrame:
    """Those rows of a table of pairs in which b comes right after a in the study's order, in that order."""
    places = {name: place for place, name in enumerate(backbones)}
    start = table["a"].map(places).astype(float)
    following = table[table["b"].map(places).astype(float) - start == 1]
    return following.loc[start[following.index].sort_values(kind="stable").index]


def side_by_side(agreement: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Phi pooled and within types, backbones first and then their seeds: columns of `charts.references`."""
    rows = agreement[agreement["measure"].isin(KINDS) & agreement["estimate"].notna()]
    rows = named_pairs(rows.sort_values("kind", kind="stable"), titles)
    return rows.assign(how=rows["measure"].map(KINDS))


def interval_texts(table: pd.DataFrame, format: str = "+.2f") -> list[str]:
    """Each row's estimate with its interval, as a cell of a table: what does not exist is a dash."""
    return [
        "–"
        if pd.isna(row.estimate)
        else f"{row.estimate:{format}}"
        + ("" if pd.isna(row.low) else f" ({row.low:{format}} to {row.high:{format}})")
        for row in table.itertuples()
    ]


def p_text(value: float) -> str:
    """A p-value as a cell of a table: a dash where there is none, and never 0, which no test can give."""
    if pd.isna(value):
        return "–"
    return "< 1e-300" if value < 1e-300 else f"{value:.3g}"


def seeds_note(seeds: int) -> str:
    """What to keep in mind of the intervals of agreement_tables.py with few seeds, or an empty text."""
    return "fewer than three seeds: the interval speaks of other pictures only" if seeds < 3 else ""


def yardstick_title(floor: pd.DataFrame) -> str:
    """The finding of the comparison with seeds: how many pairs agree less than their own seeds do."""
    known = floor[floor["estimate"].notna()]
    if known.empty:
        return "What seeds alone would exchange is not known"
    below = int((known["high"] < 0).sum())
    return f"{below} of {len(known)} pairs of backbones agree less than their own seeds do"


def pooling_title(agreement: pd.DataFrame) -> str:
    """The finding of phi pooled beside phi within types: how far the mix of types moves it, at most."""
    between = agreement[agreement["kind"] == "backbones"]
    if between.empty:
        return "One backbone has no other to be correlated with"
    wide = between.pivot_table(index=["a", "b"], columns="measure", values="estimate")
    if not {"phi_pooled", "phi_stratified"} <= set(wide.columns):
        return "No correlation exists: some run is all right, or all wrong, within every type"
    moved = (wide["phi_pooled"] - wide["phi_stratified"]).abs().max()
    return f"Pooling question types moves the correlation by {moved:.2f} at most"


def sets_title(table: pd.DataFrame, names: Sequence[str]) -> str:
    """The finding of the chart of sets: the share of items that some backbones solve and others do not."""
    solving = table[list(names)].sum(axis=1)
    disputed = table.loc[(solving > 0) & (solving < len(names)), "share"].sum()
    return f"{disputed:.0%} of the items are solved by some backbones and not by others"


def flow_title(steps: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The finding of the flow: the step that exchanges most."""
    moved = steps["gained"] + steps["lost"]
    row = steps.loc[moved.idxmax()]
    return (
        f"{titles[row['a']]} to {titles[row['b']]} exchanges {moved.max():.0%} of the items: "
        f"{row['gained']:.0%} gained, {row['lost']:.0%} lost"
    )


def gap_title(table: pd.DataFrame, group: str) -> str:
    """The finding of a dumbbell: the group in which backbones lie farthest apart, and the one in which nearest.

    Args:
        table: shares (0 to 1) as `estimate`, one row for each backbone in each group.
        group: the column that names the groups.
    """
    if not table.duplicated(group).any():
        low, high = (table.loc[end] for end in (table["estimate"].idxmin(), table["estimate"].idxmax()))
        return (
            f"One backbone: {low['estimate']:.0%} on {low[group]} to {high['estimate']:.0%} on {high[group]}"
        )
    gaps = 100 * table.groupby(group, sort=False)["estimate"].agg(lambda values: values.max() - values.min())
    most, least = gaps.idxmax(), gaps.idxmin()
    if most == least:
        return f"On {most} the backbones lie {gaps[most]:.0f} points apart"
    return f"Backbones lie {gaps[most]:.0f} points apart on {most}, {gaps[least]:.0f} on {least}"


def headroom_title(table: pd.DataFrame) -> str:
    """The finding of the ensembles: what a perfect choice among backbones, and among seeds, reaches; mean over tasks.

    Args:
        table: estimates by ``backbone`` (members), ``rule`` and ``task``.
    """
    means = table.groupby(["backbone", "rule"])["estimate"].mean()
    if ("all backbones", "oracle") not in means.index:
        return "One backbone alone makes no ensemble"
    oracle = means["all backbones", "oracle"]
    seeds = means[[key for key in means.index if key[0] != "all backbones" and key[1] == "oracle"]]
    beside = f"; seeds of one backbone {seeds.max():.0%} at most" if len(seeds) else ""
    return f"Some backbone is right on {oracle:.0%} of the items, averaged over tasks{beside}"
