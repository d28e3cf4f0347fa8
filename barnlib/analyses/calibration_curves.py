"""What a chart of calibration draws: accuracy by confidence, errors by coverage, and the error that chance alone makes.

In:  rows of confidence.with_confidence: one split and one condition, `correct` and a column of confidences.
Out: tables of bins, of curves and of bands, for charts_confidence.py and the confidence notebook.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.calibration import BINS, CHUNK, equal_mass_bins, measures, risk_path
from barnlib.analyses.intervals import Rng
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, accuracy_table, check_predictions, groups

Array = NDArray[np.float64]


def reliability_table(
    answers: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    definition: str = "primary",
    *,
    rng: Rng,
    bins: int = 10,
    resamples: int = 2000,
) -> pd.DataFrame:
    """Accuracy against confidence in bins of equal numbers of answers, all runs of a group together.

    Returns:
        The columns `by`, `bin`, `metrics.ESTIMATE_COLUMNS` (of the accuracy), `confidence` (mean in the bin) and
        `answers`. Groups in which a confidence is missing are left out.
    """
    parts = [
        group.assign(bin=equal_mass_bins(group[definition], bins), confidence=group[definition])
        for _, group in groups(answers, by)
        if not group[definition].isna().any()
    ]
    if not parts:
        return pd.DataFrame(columns=[*by, "bin", *ESTIMATE_COLUMNS, "confidence", "answers"])
    binned = pd.concat(parts)
    keys = [*by, "bin"]
    table = accuracy_table(binned, keys, rng=rng, value="correct", resamples=resamples)
    within = binned.groupby(keys).agg(confidence=("confidence", "mean"), answers=("item", "size"))
    return table.merge(within.reset_index(), on=keys).sort_values(keys).reset_index(drop=True)


def risk_coverage(
    answers: pd.DataFrame, by: Sequence[str] = ("task",), definition: str = "primary", *, points: int = 50
) -> pd.DataFrame:
    """The share of wrong answers among the most confident, by the share that is answered at all, for each run.

    Returns:
        The columns `by`, `backbone`, `seed`, `coverage` (1 / points to 1) and `risk`; equal confidences stand in random
        order, on average. Runs in which a confidence is missing are left out.
    """
    grid = np.arange(1, points + 1) / points
    parts = []
    for key, run in groups(answers, (*by, "backbone", "seed")):
        said = run[definition].to_numpy(np.float64)
        if np.isnan(said).any():
            continue
        taken, errors = risk_path(said, run["correct"].to_numpy(np.float64), np.ones((1, len(said))))
        at = grid * len(said)
        wrong = np.interp(at, np.r_[0, taken[0]], np.r_[0, errors[0]])
        labels = dict(zip((*by, "backbone", "seed"), key, strict=True))
        parts.append(pd.DataFrame({**labels, "coverage": grid, "risk": wrong / at}))
    columns = [*by, "backbone", "seed", "coverage", "risk"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def null_bands(
    answers: pd.DataFrame,
    by: Sequence[str] = ("task",),
    definition: str = "primary",
    *,
    rng: Rng,
    draws: int = 1000,
    level: float = 0.95,
    bins: int = BINS,
) -> pd.DataFrame:
    """The `ece` that perfectly calibrated answers of the same confidences and number would show.

    Outcomes are drawn with each answer's own confidence as its chance of being right, so the truth is an error of zero
    and all that is seen is noise. Answers on one image, and of several seeds to one item, are drawn apart from each
    other; where they go together, the band is a little too narrow.

    Returns:
        The columns `by`, `backbone`, `observed`, `expected`, `null_low`, `null_high` (of the mean over runs, between
        them ``level`` of the draws) and `p`, the share of draws with at least the observed error (Phipson & Smyth 2010:
        never zero).

    Raises:
        ValueError: as :func:`resample`.
    """
    check_predictions(answers, (*by, definition, "correct"), (*by, "backbone"))
    rng, rows = np.random.default_rng(rng), []
    for key, group in groups(answers, (*by, "backbone")):
        if group[definition].isna().any():
            continue
        drawn, seen = [], []
        for _, run in group.groupby("seed", sort=False):
            said = run[definition].to_numpy(np.float64)
            seen.append(measures(said, run["correct"].to_numpy(bool), bins=bins)["ece"][0])
            drawn.append(_calibrated_errors(said, equal_mass_bins(said, bins), rng, draws))
        null, observed = np.mean(drawn, axis=0), float(np.mean(seen))
        low, high = np.quantile(null, [0.5 - level / 2, 0.5 + level / 2])
        rows.append(
            {
                **dict(zip((*by, "backbone"), key, strict=True)),
                "observed": observed,
                "expected": float(null.mean()),
                "null_low": float(low),
                "null_high": float(high),
                "p": float((1 + (null >= observed - 1e-12).sum()) / (1 + draws)),
            }
        )
    columns = ("observed", "expected", "null_low", "null_high", "p")
    return pd.DataFrame(rows, columns=[*by, "backbone", *columns])


def _calibrated_errors(said: Array, bin_of: NDArray[np.int64], rng: np.random.Generator, draws: int) -> Array:
    """float64[draws]: calibration errors of outcomes that are right with the chance that was said."""
    inside = np.zeros((len(said), int(bin_of.max()) + 1))
    inside[np.arange(len(said)), bin_of] = 1
    expected = said @ inside
    return np.concatenate(
        [
            np.abs((rng.random((size, len(said))) < said) @ inside - expected).sum(1) / len(said)
            for size in np.diff([*range(0, draws, max(1, CHUNK // len(said))), draws])
        ]
    )
