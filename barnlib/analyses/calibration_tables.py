"""Measures of calibration by backbone, and their differences between backbones, with intervals; rankings by them.

In:  rows of confidence.with_confidence: one split and one condition, `correct` and a column of confidences.
Out: tables of estimates, of paired differences and of the order of the backbones, for the confidence notebook and its
     evidence.

A measure is computed for each run (calibration.py) and averaged over runs: pooled over runs, one run's overconfidence
would hide another's underconfidence. All runs are computed on the same resampled images, so differences are paired.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.calibration import BINS, BOUNDS, CHUNK, MEASURES, measures
from barnlib.analyses.intervals import Rng
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, check_predictions, groups
from barnlib.analyses.replicates import image_draws, mean_over_runs

Array = NDArray[np.float64]

BETTER = {"ece": -1, "squared_error": -1, "brier": -1, "auroc": 1, "aurc": -1}
"""Measure -> whether more (1) or less (-1) of it is better."""


@dataclass(frozen=True)
class Resampled:
    """Measures of all runs of one group under one definition, on the same resampled images.

    Attributes:
        labels: what names the group, and `definition`, the column of confidences.
        counts: `items` and `images` of the group.
        values: run (backbone, seed) -> float64[measures], in the order of `MEASURES`.
        draws: run -> float64[resamples, measures].
    """

    labels: Mapping[str, Any]
    counts: Mapping[str, int]
    values: Mapping[tuple[str, int], Array]
    draws: Mapping[tuple[str, int], Array]

    def seeds(self, backbone: str) -> list[int]:
        """The backbone's seeds."""
        return [seed for name, seed in self.values if name == backbone]

    @property
    def backbones(self) -> list[str]:
        """In order of appearance."""
        return list(dict.fromkeys(name for name, _ in self.values))


def resample(
    answers: pd.DataFrame,
    by: Sequence[str] = ("task",),
    definitions: Sequence[str] = ("primary",),
    *,
    rng: Rng,
    resamples: int = 2000,
    bins: int = BINS,
) -> list[Resampled]:
    """Every measure of every run, and on resampled images, for each group and definition.

    A run of which some answers have no confidence gets NaN, because what is left would not be the same items.

    Raises:
        ValueError: as `metrics.check_predictions`; a confidence that is not in 0 to 1.
    """
    check_predictions(answers, (*by, *definitions, "correct"), by)
    found = []
    for key, group in groups(answers, by):
        image_of, images = pd.factorize(group["image"])
        counts = {"items": group["item"].nunique(), "images": len(images)}
        draws = image_draws(rng, resamples, len(images))
        for definition in definitions:
            values, replicates = {}, {}
            for run, rows in group.groupby(["backbone", "seed"], sort=False).indices.items():
                part = group.iloc[rows]
                said, right = part[definition].to_numpy(np.float64), part["correct"].to_numpy(bool)
                values[run], replicates[run] = _of_run(said, right, draws, image_of[rows], bins)
            labels = {**dict(zip(by, key, strict=True)), "definition": definition}
            found.append(Resampled(labels, counts, values, replicates))
    return found


def _of_run(
    said: Array, right: NDArray[np.bool_], draws: Array, image_of: NDArray[np.intp], bins: int
) -> tuple[Array, Array]:
    if np.isnan(said).any():
        return np.full(len(MEASURES), np.nan), np.full((len(draws), len(MEASURES)), np.nan)
    size = max(1, CHUNK // len(said))
    parts = [
        measures(said, right, draws[start : start + size][:, image_of], bins=bins)
        for start in range(0, len(draws), size)
    ]
    once = measures(said, right, bins=bins)
    columns = [np.concatenate([part[name] for part in parts]) for name in MEASURES]
    return np.array([once[name][0] for name in MEASURES]), np.stack(columns, axis=1)


def estimates(resampled: Sequence[Resampled], *, level: float = 0.95) -> pd.DataFrame:
    """Each measure by group, definition and backbone.

    Returns:
        The group's columns, `definition`, `backbone`, `measure`, and `metrics.ESTIMATE_COLUMNS`; NaN where a run has no
        value.
    """
    rows = []
    for group in resampled:
        for backbone in group.backbones:
            runs = [(backbone, seed) for seed in group.seeds(backbone)]
            rows += _rows(
                group,
                {"backbone": backbone},
                np.stack([group.values[run] for run in runs]),
                np.stack([group.draws[run] for run in runs], axis=1),
                level,
                BOUNDS,
            )
    return _table(rows, resampled, ("backbone",))


def differences(
    resampled: Sequence[Resampled],
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    level: float = 0.95,
) -> pd.DataFrame:
    """Each measure of b less that of a on the same images and seeds.

    Args:
        pairs: (a, b); every pair in order of appearance if not given.

    Returns:
        The group's columns, `definition`, `a`, `b`, `measure`, and `metrics.ESTIMATE_COLUMNS`.

    Raises:
        ValueError: two backbones without a seed in common.
    """
    rows = []
    for group in resampled:
        for a, b in combinations(group.backbones, 2) if pairs is None else pairs:
            shared = [seed for seed in group.seeds(a) if seed in group.seeds(b)]
            if not shared:
                raise ValueError(f"{a} and {b} share no seed: {group.seeds(a)} and {group.seeds(b)}")
            values, draws = (
                np.stack([table[b, seed] - table[a, seed] for seed in shared], axis=axis)
                for table, axis in ((group.values, 0), (group.draws, 1))
            )
            both = {name: (-(high - low), high - low) for name, (low, high) in BOUNDS.items()}
            rows += _rows(group, {"a": a, "b": b}, values, draws, level, both)
    return _table(rows, resampled, ("a", "b"))


def _rows(
    group: Resampled,
    names: Mapping[str, str],
    values: Array,
    draws: Array,
    level: float,
    bounds: Mapping[str, tuple[float, float]],
) -> list[dict[str, Any]]:
    """One row for each measure; values float64[runs, measures], draws float64[resamples, runs, measures]."""
    images = group.counts["images"]
    return [
        {
            **group.labels,
            **names,
            "measure": measure,
            **vars(
                mean_over_runs(
                    values[:, place], draws[:, :, place], images, level=level, bounds=bounds[measure]
                )
            ),
            **group.counts,
            "seeds": len(values),
        }
        for place, measure in enumerate(MEASURES)
    ]


def _table(rows: list[dict[str, Any]], resampled: Sequence[Resampled], names: Sequence[str]) -> pd.DataFrame:
    labels = list(resampled[0].labels) if resampled else ["definition"]
    return pd.DataFrame(rows, columns=[*labels, *names, "measure", *ESTIMATE_COLUMNS])


def rankings(
    resampled: Sequence[Resampled], measured: Sequence[str] = ("squared_error", "brier", "auroc")
) -> pd.DataFrame:
    """The order of the backbones, best first, by group, definition and measure, and how sure it is.

    Returns:
        The group's columns, `definition`, `measure`, `order` (names joined by " > "; missing where a backbone has no
        value), `held`: the share of resampled images on which the order is the same, and `agrees`: whether it is the
        order under the group's first definition.
    """
    rows: list[dict[str, Any]] = []
    first: dict[tuple[Any, ...], str | None] = {}
    for group in resampled:
        for measure in measured:
            place, sign = MEASURES.index(measure), BETTER[measure]
            names = group.backbones
            runs = [[(name, seed) for seed in group.seeds(name)] for name in names]
            means = np.array([np.mean([group.values[run][place] for run in of]) for of in runs])
            drawn = np.stack([np.mean([group.draws[run][:, place] for run in of], axis=0) for of in runs])
            best = np.argsort(-sign * means, kind="stable")
            exists = not np.isnan(means).any()
            same = (np.diff(sign * drawn[best], axis=0) <= 0).all(0)
            order = " > ".join(names[at] for at in best) if exists else None
            of_group = [value for name, value in group.labels.items() if name != "definition"]
            reference = first.setdefault((*of_group, measure), order)
            rows.append(
                {
                    **group.labels,
                    "measure": measure,
                    "order": order,
                    "held": float(same.mean()) if exists else float("nan"),
                    "agrees": order == reference,
                }
            )
    labels = list(resampled[0].labels) if resampled else ["definition"]
    return pd.DataFrame(rows, columns=[*labels, "measure", "order", "held", "agrees"])
