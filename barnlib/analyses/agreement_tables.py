"""How far backbones agree, as tables with intervals: each pair beside its seeds, and less what seeds alone allow.

In:  the pairs of runs of run_pairs.py.
Out: tables of phi, kappa and what two models gain together, for the instances notebook, its charts and its evidence.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.agreement import MEASURES
from barnlib.analyses.intervals import NOTHING, student_interval
from barnlib.analyses.run_pairs import RunPairs

Array = NDArray[np.float64]

INTERVAL_COLUMNS = ("estimate", "se", "se_runs", "low", "high", "bound_low", "bound_high")


def agreement_table(compared: Sequence[RunPairs], *, level: float = 0.95) -> pd.DataFrame:
    """Each measure, the mean over pairs of runs, with its interval over images and seeds.

    The variance over seeds is that of the jackknife, both sides losing a seed at once, and needs three; with fewer the
    interval speaks of other images only. What the jackknife owes to the images is taken off: what it would be on
    resampled images if seeds did not differ.

    Returns:
        `kind` (`backbones`, or `seeds` of one), `a`, `b`, the group's columns, `measure`, `estimate`, `se`, `low`,
        `high`, `bound_low`, `bound_high` (what the accuracies allow; NaN for other measures than coefficients),
        `items`, `images`, `run_pairs`, `seeds`.
    """
    rows = [
        {
            **pair.labels,
            "measure": measure,
            **_from_variances(
                float(pair.values[:, place].mean()),
                pair.draws[:, :, place].mean(1),
                _without_each(pair, pair.values[:, place], pair),
                _without_each(pair, pair.draws[:, :, place].T, pair),
                pair,
                level,
            ),
            **dict(zip(("bound_low", "bound_high"), pair.limits.get(measure, (np.nan, np.nan)), strict=True)),
            **pair.counts,
        }
        for pair in compared
        for place, measure in enumerate(MEASURES)
    ]
    return _as_table(rows, compared)


def against_floor(
    compared: Sequence[RunPairs], measure: str = "phi_stratified", *, level: float = 0.95
) -> pd.DataFrame:
    """A measure between two backbones less what their own seeds allow, on the same resampled images.

    If two backbones found the same items hard, runs of both would go together as much as the geometric mean of what
    runs of each do among themselves (Spearman's attenuation): below zero, they solve different items.

    Returns:
        As `agreement_table`, one row for each pair of backbones and group, `measure` ending in `_less_floor`; NaN where
        a backbone has one seed or a measure does not exist.
    """
    place = MEASURES.index(measure)
    group_of = {id(pair): _group(pair) for pair in compared}
    floors = {(group_of[id(p)], p.labels["a"]): p for p in compared if p.labels["kind"] == "seeds"}
    rows = []
    for pair in (one for one in compared if one.labels["kind"] == "backbones"):
        sides = [floors.get((group_of[id(pair)], pair.labels[side])) for side in ("a", "b")]
        row: dict[str, Any] = {
            **pair.labels,
            "measure": f"{measure}_less_floor",
            **vars(NOTHING),
            **pair.counts,
        }
        if all(sides):
            known = [side for side in sides if side]
            expected = _geometric([side.values[:, place].mean() for side in known])
            drawn = _geometric([side.draws[:, :, place].mean(1) for side in known])
            between = pair.draws[:, :, place].mean(1) - drawn
            left, left_drawn = (
                _without_each(pair, values(pair), pair)
                - _geometric([_without_each(side, values(side), pair) for side in known])
                for values in (lambda one: one.values[:, place], lambda one: one.draws[:, :, place].T)
            )
            estimate = float(pair.values[:, place].mean() - expected)
            row |= _from_variances(estimate, between, left, left_drawn, pair, level)
        rows.append({**row, "bound_low": np.nan, "bound_high": np.nan})
    return _as_table(rows, compared)


def _group(pair: RunPairs) -> tuple[Any, ...]:
    return tuple(value for name, value in pair.labels.items() if name not in ("kind", "a", "b"))


def _geometric(values: Sequence[Any]) -> Any:
    """Geometric mean of two coefficients, zero where one is negative: chance alone has no floor to fall below."""
    first, second = (np.maximum(value, 0) for value in values)
    return np.sqrt(first * second)


def _without_each(pair: RunPairs, values: Array, of: RunPairs) -> Array:
    """For each seed of some pairs, the mean of a measure over those pairs of runs that it has no part in.

    Args:
        values: float64[pairs of runs, ...], the measure of each, as it is or on resampled images.
        of: the pairs of runs whose seeds are left out, one after the other.

    Returns:
        float64[seeds, ...]; NaN where no pair is left, as of one or two seeds.
    """
    found = []
    for seed in sorted({seed for both in of.seeds for seed in both}):
        kept = values[[seed not in both for both in pair.seeds]]
        found.append(kept.mean(0) if len(kept) else np.full(values.shape[1:], np.nan))
    return np.array(found)


def _from_variances(
    estimate: float, drawn: Array, left: Array, left_drawn: Array, pair: RunPairs, level: float
) -> dict[str, float]:
    """An interval from an estimate's replicates over images, and from it and them with each seed left out."""
    if np.isnan(estimate):
        return vars(NOTHING)
    known = drawn[~np.isnan(drawn)]
    by_image = float(np.var(known, ddof=1)) if len(known) > len(drawn) / 2 else float("nan")
    seeds = len(left)
    jackknifed = not np.isnan(left).any()
    by_run = cell = 0.0
    if jackknifed:
        by_run = (seeds - 1) * float(np.var(left))
        cell = (seeds - 1) * float(np.nanmean(np.var(left_drawn - left[:, None], axis=0)))
    runs, images = seeds if jackknifed else 1, pair.counts["images"]
    return vars(
        student_interval(estimate, by_image, by_run, cell, images, runs, level=level, bounds=(-1.0, 1.0))
    )


def _as_table(rows: Sequence[Mapping[str, Any]], compared: Sequence[RunPairs]) -> pd.DataFrame:
    labels = list(compared[0].labels) if compared else ["kind", "a", "b"]
    counts = ("items", "images", "run_pairs", "seeds")
    return pd.DataFrame(rows, columns=[*labels, "measure", *INTERVAL_COLUMNS, *counts])
