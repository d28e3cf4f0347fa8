"""How much of a score's variance lies with the encoder, the backbone, the training run and the item.

In:  scores in a balanced array: every run under every encoder and backbone has answered the same items.
Out: variance components and their shares, for the notebook on the bottleneck.

The model is that of random effects: encoder, backbone and item are crossed, runs (seeds) are nested in encoder and
backbone, and every crossing has an effect of its own. In a balanced design the method of moments gives the components
exactly (Searle, Casella & McCulloch 1992, chapter 4): each mean square has an expectation that is a sum of components,
and the sums are solved for the components. Where none comes out negative, these are the REML estimates as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.intervals import Rng

Array = NDArray[np.float64]
AXES = ("encoder", "backbone", "seed", "item")


@dataclass(frozen=True)
class Term:
    """One source of variance.

    Attributes:
        name: as tables show it.
        deviating: axes along which its effects are deviations from a mean.
        within: axes in each level of which it has effects of its own (a run lies within its encoder and backbone).
    """

    name: str
    deviating: tuple[int, ...]
    within: tuple[int, ...] = ()

    @property
    def axes(self) -> frozenset[int]:
        """All axes that an effect of this term depends on."""
        return frozenset((*self.deviating, *self.within))

    def freedom(self, shape: Sequence[int]) -> int:
        """Degrees of freedom in an array of this shape; 0 where the design cannot tell the term."""
        return prod(shape[axis] - 1 for axis in self.deviating) * prod(shape[axis] for axis in self.within)


TERMS = (
    Term("encoder", (0,)),
    Term("backbone", (1,)),
    Term("encoder × backbone", (0, 1)),
    Term("seed", (2,), (0, 1)),
    Term("item", (3,)),
    Term("encoder × item", (0, 3)),
    Term("backbone × item", (1, 3)),
    Term("encoder × backbone × item", (0, 1, 3)),
    Term("seed × item", (2, 3), (0, 1)),
)
BETWEEN_RUNS = (
    "encoder",
    "backbone",
    "encoder × backbone",
    "seed",
)  # what makes the scores of whole runs differ


def components(scores: Array) -> dict[str, float]:
    """Variance components of float64[encoders, backbones, seeds, items], by the name of the term.

    A term that the design cannot tell (a single encoder, a single seed) is left out, and its variance is part of the
    next larger one: with one seed, ``encoder × backbone`` holds the chance of the seed too. Estimates may be negative,
    which says that a component is about 0.

    Raises:
        ValueError: not four axes, fewer than two items, or values that are not finite.
    """
    values = np.asarray(scores, dtype=np.float64)
    if values.ndim != 4 or values.shape[-1] < 2 or not values.size:
        raise ValueError(
            f"expected scores [encoders, backbones, seeds, items] of two items or more, found shape {values.shape}"
        )
    if not np.isfinite(values).all():
        raise ValueError("scores hold values that are not finite: a run has not answered every item")
    shape = values.shape
    present = [term for term in TERMS if term.freedom(shape) > 0]
    squares = [float((_effects(values, term) ** 2).sum()) * _repeats(term, shape) for term in present]
    means = [total / term.freedom(shape) for total, term in zip(squares, present, strict=True)]
    expected = np.array(
        [[_repeats(other, shape) if other.axes >= term.axes else 0 for other in present] for term in present],
        dtype=np.float64,
    )
    return dict(zip((term.name for term in present), np.linalg.solve(expected, means).tolist(), strict=True))


def shares(found: dict[str, float], names: Sequence[str] | None = None) -> dict[str, float]:
    """Each component's share of the sum of some of them (all if not given); negative ones count as 0."""
    kept = {name: max(value, 0.0) for name, value in found.items() if names is None or name in names}
    total = sum(kept.values())
    return {name: value / total if total else float("nan") for name, value in kept.items()}


def variance_table(
    scores: Array,
    images: Sequence[str],
    *,
    rng: Rng,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Components with their shares, and intervals over pictures.

    The intervals are percentiles of resampled pictures: a share lies in 0 to 1 and is often 0, so that an interval of
    equal sides about it would make no sense. A resample holds pictures twice, which adds to every component between
    runs; components are moved back by their mean over the resamples less what was found. The intervals say nothing of
    other encoders, backbones or seeds, of which there are too few to resample.

    Args:
        images: the picture of each item; pictures are drawn with all their items.

    Returns:
        One row per term: `term`, `variance`, and `share` of all variance and `share_of_runs` of that between runs
        (NaN for other terms), each with `_low` and `_high`.
    """
    values = np.asarray(scores, dtype=np.float64)
    found = components(values)
    _, of = np.unique(np.asarray(images), return_inverse=True)
    rows_of = [np.flatnonzero(of == image) for image in range(int(of.max()) + 1)]
    rng, drawn = np.random.default_rng(rng), []
    for _ in range(resamples if len(rows_of) > 1 else 0):
        chosen = np.concatenate([rows_of[image] for image in rng.integers(len(rows_of), size=len(rows_of))])
        drawn.append(components(values[..., chosen]))
    moved = {
        name: value - float(np.mean([one[name] for one in drawn])) for name, value in found.items() if drawn
    }
    again = [{name: value + moved[name] for name, value in one.items()} for one in drawn]
    both = [(shares(one), shares(one, BETWEEN_RUNS)) for one in again]
    ends = (0.5 - level / 2, 0.5 + level / 2)
    rows = []
    for name, value in found.items():
        row: dict[str, float | str] = {"term": name, "variance": value}
        for column, side, names in (("share", 0, None), ("share_of_runs", 1, BETWEEN_RUNS)):
            row[column] = shares(found, names).get(name, float("nan"))
            resampled = np.array([pair[side].get(name, float("nan")) for pair in both])
            resampled = resampled[np.isfinite(resampled)]  # where runs do not differ, no share of it exists
            low, high = np.quantile(resampled, ends) if resampled.size else (float("nan"), float("nan"))
            row |= {f"{column}_low": float(low), f"{column}_high": float(high)}
        rows.append(row)
    return pd.DataFrame(rows)


def score_array(predictions: pd.DataFrame, value: str = "score") -> tuple[Array, list[str]]:
    """Scores of every encoder, backbone and seed on the same items, and the picture of each item.

    Args:
        predictions: one split, condition and task; columns encoder, backbone, seed, item, image and `value`. Of seeds,
            those that every encoder and backbone has are taken, in their order.

    Returns:
        float64[encoders, backbones, seeds, items] in order of appearance, and the image of each item.

    Raises:
        ValueError: no seed that all share; an item that a run has not answered, or has answered twice.
    """
    runs = predictions.groupby(["encoder", "backbone"], sort=False)["seed"].agg(set)
    shared = sorted(set.intersection(*runs)) if len(runs) else []
    if not shared:
        raise ValueError("encoders and backbones share no seed; variances need the same seeds under each")
    kept = predictions[predictions["seed"].isin(shared)]
    if kept.duplicated(["encoder", "backbone", "seed", "item"]).any():
        raise ValueError("a run answers an item twice; filter to one split, condition and task")
    names = [list(dict.fromkeys(kept[column])) for column in ("encoder", "backbone")] + [shared]
    wide = kept.pivot(index=["encoder", "backbone", "seed"], columns="item", values=value)
    wide = wide.reindex(pd.MultiIndex.from_product(names))
    if wide.isna().to_numpy().any():
        raise ValueError("a run lacks an encoder, a backbone or an item that others have")
    images = kept.drop_duplicates("item").set_index("item")["image"].reindex(wide.columns).tolist()
    shape = (*(len(name) for name in names), wide.shape[1])
    return wide.to_numpy(np.float64).reshape(shape), images


def _effects(values: Array, term: Term) -> Array:
    """The term's effects: deviations along its own axes, as they are within others, the mean along the rest."""
    for axis in range(values.ndim):
        if axis in term.deviating:
            values = values - values.mean(axis, keepdims=True)
        elif axis not in term.within:
            values = values.mean(axis, keepdims=True)
    return values


def _repeats(term: Term, shape: Sequence[int]) -> int:
    """In how many answers one effect of the term occurs."""
    return prod(size for axis, size in enumerate(shape) if axis not in term.axes)
