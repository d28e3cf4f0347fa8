"""Every pair of runs of two backbones, and of two seeds of one, with each pair's agreement on resampled pictures.

In:  the predictions table of predict.py: one split and one condition, every run on the same items.
Out: measures of each pair of runs, as they are and on resampled images, for the tables of agreement_tables.py.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.agreement import CELLS, COEFFICIENTS, MEASURES, bounds, coefficients
from barnlib.analyses.instances import ITEM_COLUMNS, STRATA, Pair, pairs, solved
from barnlib.analyses.intervals import Rng
from barnlib.analyses.metrics import groups
from barnlib.analyses.replicates import image_draws

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RunPairs:
    """Every pair of runs of two backbones, or of one with itself, in one group of items.

    Attributes:
        labels: `kind`, `a`, `b`, and the group.
        counts: `items`, `images`, `run_pairs`, `seeds`.
        seeds: the seeds of each pair of runs.
        values: float64[run pairs, measures], in the order of `MEASURES`.
        draws: float64[resamples, run pairs, measures], the same on resampled images.
        limits: coefficient -> its bounds, the mean over pairs of runs.
    """

    labels: Mapping[str, Any]
    counts: Mapping[str, int]
    seeds: tuple[tuple[int, int], ...]
    values: Array
    draws: Array
    limits: Mapping[str, tuple[float, float]]


def compare_runs(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("task",),
    *,
    rng: Rng,
    resamples: int = 2000,
    strata: Sequence[str] = STRATA,
) -> list[RunPairs]:
    """Measures of every pair of runs of different seeds, by group, on the same resampled images.

    Only different seeds are paired, between backbones too, so that a pair of backbones differs from the yardstick, two
    seeds of one backbone, by the backbone alone. With a single seed there is no yardstick, and its runs are paired.

    Args:
        by: some of `instances.ITEM_COLUMNS`; () for all items together.
        strata: columns whose values make the strata.

    Raises:
        ValueError: as `instances.solved`.
    """
    table = solved(predictions)
    items = table.index.to_frame(index=False)
    sure = _sureness(predictions, table)
    runs = [pair for pair in pairs(table) if pair.view == "runs"]
    different = [pair for pair in runs if pair.seed_a != pair.seed_b]
    together: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in different or runs:
        together.setdefault((pair.kind, pair.a, pair.b), []).append(pair)
    found = []
    for key, group in groups(items, by):
        image_of, images = pd.factorize(group["image"])
        stratum_of = group.groupby(list(strata), sort=False).ngroup().to_numpy()
        draws = image_draws(rng, resamples, len(images))
        for (kind, a, b), members in together.items():
            cells = [
                _cells(pair, sure, group.index.to_numpy(), image_of, stratum_of, len(images))
                for pair in members
            ]
            labels = {"kind": kind, "a": a, "b": b, **dict(zip(by, key, strict=True))}
            counts = {"items": len(group), "images": len(images), "run_pairs": len(members)}
            seeds = tuple((int(pair.seed_a or 0), int(pair.seed_b or 0)) for pair in members)
            counts["seeds"] = len({seed for pair in seeds for seed in pair})
            found.append(RunPairs(labels, counts, seeds, *_measured(cells, draws), _limits(cells)))
    return found


def _sureness(predictions: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Log-probability of each run's answers, rows and columns as in `solved`; NaN where there is none."""
    if "logprob" not in predictions:
        return pd.DataFrame(np.nan, table.index, table.columns)
    wide = predictions.set_index([*ITEM_COLUMNS, "backbone", "seed"])["logprob"].astype(float)
    return wide.unstack(["backbone", "seed"]).reindex(index=table.index, columns=table.columns)


def _cells(
    pair: Pair,
    sure: pd.DataFrame,
    rows: NDArray[np.int64],
    image_of: NDArray[np.int64],
    stratum_of: NDArray[np.int64],
    images: int,
) -> Array:
    """Items in each cell by image and stratum: float64[images, strata, CELLS]; `surer` NaN without confidences."""
    before, after = pair.before[rows], pair.after[rows]
    one, other = (
        sure[name, seed].to_numpy(float)[rows]
        for name, seed in ((pair.a, pair.seed_a), (pair.b, pair.seed_b))
    )
    surer = np.where(other > one, after, before).astype(float)
    surer[np.isnan(one) | np.isnan(other)] = np.nan
    shape = images, int(stratum_of.max()) + 1
    place = image_of * shape[1] + stratum_of
    columns = (before & after, before & ~after, ~before & after, ~before & ~after, surer)
    found = np.zeros((*shape, len(CELLS)))
    for number, column in enumerate(columns):
        found[..., number] = np.bincount(place, column, minlength=shape[0] * shape[1]).reshape(shape)
    return found


def _measured(cells: Sequence[Array], draws: Array) -> tuple[Array, Array]:
    values, replicates = [], []
    for one in cells:
        images, strata, kinds = one.shape
        resampled = (draws @ one.reshape(images, -1)).reshape(len(draws), strata, kinds)
        plain, drawn = coefficients(one.sum(0)[None]), coefficients(resampled)
        values.append([plain[name][0] for name in MEASURES])
        replicates.append(np.stack([drawn[name] for name in MEASURES], axis=1))
    return np.array(values), np.stack(replicates, axis=1)


def _limits(cells: Sequence[Array]) -> dict[str, tuple[float, float]]:
    each = [bounds(one.sum(0)) for one in cells]
    return {
        name: (float(np.mean([one[name][0] for one in each])), float(np.mean([one[name][1] for one in each])))
        for name in COEFFICIENTS
    }
