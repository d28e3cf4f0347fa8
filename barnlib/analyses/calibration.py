"""Whether confidence keeps its word, in one run: calibration error, Brier score, ranking of right before wrong.

In:  the confidence of each answer, and whether it is right.
Out: every measure, of the answers as they are or of resamples; calibration_tables.py puts runs together, and
     calibration_curves.py draws on the same bins and orders.

Bins hold equal numbers of answers, and equal confidences share a bin, so the order of the answers plays no part.

| measure | what it is |
| --- | --- |
| `accuracy`, `confidence`, `overconfidence` | means, and confidence less accuracy |
| `ece` | mean distance of confidence and accuracy over bins (Naeini et al. 2015), above zero by chance |
| `squared_error` | mean squared distance over bins, unbiased (Kumar, Liang & Ma 2019); may be below zero |
| `brier` | mean squared distance of confidence and outcome |
| `reliability`, `resolution`, `uncertainty`, `within` | Murphy's (1973) parts: Brier = reliability - resolution + uncertainty + within, the last for confidences that differ within a bin (Stephenson et al. 2008) |
| `auroc` | chance that a right answer is more confident than a wrong one, ties half |
| `aurc`, `excess_aurc` | area under risk over coverage, and what of it a perfect order would save (Geifman et al. 2019) |
"""  # noqa: E501

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Array = NDArray[np.float64]

BINS = 15
PER_BIN = 10  # answers to a bin at least; fewer bins where there are not enough
CHUNK = 2_000_000  # weights, or drawn outcomes, held at a time
BOUNDS = {
    **dict.fromkeys(("accuracy", "confidence", "ece", "brier", "auroc", "aurc"), (0.0, 1.0)),
    **dict.fromkeys(("overconfidence", "squared_error", "excess_aurc"), (-1.0, 1.0)),
    **dict.fromkeys(("reliability", "resolution", "uncertainty"), (0.0, 1.0)),
    "within": (-1.0, 1.0),
}
MEASURES = tuple(BOUNDS)


def equal_mass_bins(confidence: ArrayLike, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each answer, int64[n]: equal numbers in each of ``bins`` or fewer, equal confidences together."""
    value = np.asarray(confidence, dtype=np.float64)
    count = max(1, min(bins, len(value) // PER_BIN))
    place = (stats.rankdata(value) - 0.5) / max(len(value), 1)
    return np.minimum((place * count).astype(np.int64), count - 1)


def measures(
    confidence: ArrayLike, correct: ArrayLike, weights: ArrayLike | None = None, *, bins: int = BINS
) -> dict[str, Array]:
    """Every measure of one run's answers.

    Args:
        confidence: float64[n] in 0 to 1.
        correct: bool[n].
        weights: float64[R, n], how often each answer counts in each of R resamples; once, in one, if not given. Bins
            stay those of the answers as they are.

    Returns:
        `MEASURES`, float64[R] each; NaN where one does not exist (no answer; AUROC where all are right or all wrong).

    Raises:
        ValueError: a confidence that is missing or not in 0 to 1, or lengths that differ.
    """
    said, right = np.asarray(confidence, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if said.shape != right.shape or said.ndim != 1:
        raise ValueError(f"expected confidence and correct [n], found {said.shape} and {right.shape}")
    outside = ~((said >= 0) & (said <= 1))
    if outside.any():
        raise ValueError(f"a confidence must lie in 0 to 1; {outside.sum()} of {len(said)} do not")
    weight = np.ones((1, len(said))) if weights is None else np.asarray(weights, dtype=np.float64)
    if not len(said):
        return {name: np.full(len(weight), np.nan) for name in MEASURES}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {**_binned(said, right, weight, equal_mass_bins(said, bins)), **_ordered(said, right, weight)}


def _binned(said: Array, right: Array, weight: Array, bin_of: NDArray[np.int64]) -> dict[str, Array]:
    """Measures that are sums over bins."""
    count = int(bin_of.max()) + 1
    columns = np.stack([np.ones_like(said), said, right, said**2, said * right])
    table = np.zeros((len(said), 5 * count))
    for number, column in enumerate(columns):
        table[np.arange(len(said)), number * count + bin_of] = column
    sums = (weight @ table).reshape(len(weight), 5, count)
    total = sums[:, 0].sum(1)
    mass = sums[:, 0] / total[:, None]
    means = np.where(sums[:, :1] > 0, sums / sums[:, :1], 0.0)
    confident, accurate = means[:, 1], means[:, 2]
    accuracy = (mass * accurate).sum(1)
    gap = confident - accurate
    variance = accurate * (1 - accurate)  # of one answer in the bin
    several = sums[:, 0] > 1
    lost = np.where(several, variance / np.where(several, sums[:, 0] - 1, 1), 0.0)
    spread = means[:, 3] - confident**2 - 2 * (means[:, 4] - confident * accurate)
    confidence = (mass * confident).sum(1)
    return {
        "accuracy": accuracy,
        "confidence": confidence,
        "overconfidence": confidence - accuracy,
        "ece": (mass * np.abs(gap)).sum(1),
        "squared_error": (mass * (gap**2 - lost)).sum(1),
        "brier": (mass * (means[:, 3] - 2 * means[:, 4] + accurate)).sum(1),
        "reliability": (mass * gap**2).sum(1),
        "resolution": (mass * (accurate - accuracy[:, None]) ** 2).sum(1),
        "uncertainty": accuracy * (1 - accuracy),
        "within": (mass * spread).sum(1),
    }


def _ordered(said: Array, right: Array, weight: Array) -> dict[str, Array]:
    """Measures of the order of confidences; equal ones stand in random order, on average."""
    coverage, errors = risk_path(said, right, weight)
    total, wrong = coverage[:, -1], errors[:, -1]
    here, missed = np.diff(coverage, prepend=0), np.diff(errors, prepend=0)
    hits = here - missed
    # A wrong answer is beaten by every right one that is more confident, and by half of those as confident.
    beaten = missed * (np.cumsum(hits, axis=1) - hits / 2)
    pairs = wrong * (total - wrong)
    # Within a group of equal confidences errors grow by a line, and the area under errors / coverage has a closed form.
    rate = np.where(here > 0, missed / np.where(here > 0, here, 1), 0.0)
    start, before = coverage - here, errors - missed
    ratio = np.where((start > 0) & (here > 0), coverage / np.where(start > 0, start, 1), 1.0)
    area = rate * here + (before - rate * start) * np.log(ratio)
    risk = wrong / total
    best = risk + np.where(risk < 1, (1 - risk) * np.log1p(-np.where(risk < 1, risk, 0)), 0.0)
    aurc = area.sum(1) / total
    return {
        "auroc": np.where(pairs > 0, beaten.sum(1) / np.where(pairs > 0, pairs, 1), np.nan),
        "aurc": aurc,
        "excess_aurc": aurc - best,
    }


def risk_path(said: Array, right: Array, weight: Array) -> tuple[Array, Array]:
    """Answers taken and errors among them, from the most confident down, at the end of each group of equal
    confidences: float64[R, groups] each."""
    order = np.argsort(-said, kind="stable")
    starts = np.flatnonzero(np.diff(said[order], prepend=np.inf))
    taken = np.add.reduceat(weight[:, order], starts, axis=1).cumsum(1)
    errors = np.add.reduceat(weight[:, order] * (1 - right[order]), starts, axis=1).cumsum(1)
    return taken, errors
