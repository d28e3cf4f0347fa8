"""Correlation and agreement of right and wrong of two sides, pooled and within strata, with the bounds of each.

In:  how many items both sides solve, one of them, or none, by stratum (question type and difficulty).
Out: the coefficients, for the pairs of runs of run_pairs.py, for association.py and for a worked example on the page.

Two backbones that are good at different *types* of question look negatively correlated even where, within a type, they
solve items independently. So every coefficient stands twice: pooled, and within strata.

Within strata, phi is the correlation of right and wrong after each stratum's own accuracy was taken from both: the
covariances within strata, weighted by items, over the root of the variances within strata. Kappa within strata takes
the agreement expected by chance within each stratum. Where all strata have the same accuracies, both are what they are
pooled; a stratum in which a side is all right or all wrong adds nothing. Kappa of right and wrong is the error
consistency of Geirhos, Meding & Wichmann (2020), with their bounds.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Which of two sides is right; surer: the more confident of the two answers is right.
CELLS = ("both", "only_a", "only_b", "neither", "surer")
COEFFICIENTS = ("phi_pooled", "phi_stratified", "kappa_pooled", "kappa_stratified")
MEASURES = (*COEFFICIENTS, "phi_within", "phi_between", "oracle_gain", "surer_gain")


def coefficients(counts: Array) -> dict[str, Array]:
    """Every measure of two sides.

    Args:
        counts: float64[R, strata, CELLS], items in each cell, of R resamples.

    Returns:
        float64[R] for each of `MEASURES`: NaN where a side is all right or all wrong (phi), or where chance alone
        agrees fully (kappa). `phi_within` and `phi_between` add up to `phi_pooled`. `oracle_gain` and `surer_gain` are
        shares of items: what a perfect choice between the two answers, and the choice of the more confident one, add
        to the better of the two.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        inside, pooled = _parts(counts), _parts(counts.sum(1, keepdims=True))
        spread = np.sqrt(pooled["variance_a"] * pooled["variance_b"])
        items = counts[..., :4].sum((1, 2))
        a, b = ((counts[:, :, 0] + counts[:, :, side]).sum(1) / items for side in (1, 2))
        better = np.maximum(a, b)
        return {
            "phi_pooled": pooled["covariance"] / spread,
            "phi_stratified": inside["covariance"] / np.sqrt(inside["variance_a"] * inside["variance_b"]),
            "kappa_pooled": _kappa(pooled),
            "kappa_stratified": _kappa(inside),
            "phi_within": inside["covariance"] / spread,
            "phi_between": (pooled["covariance"] - inside["covariance"]) / spread,
            "oracle_gain": counts[:, :, :3].sum((1, 2)) / items - better,
            "surer_gain": counts[:, :, 4].sum(1) / items - better,
        }


def bounds(counts: Array) -> dict[str, tuple[float, float]]:
    """The least and the greatest value of each coefficient that the accuracies of both sides in each stratum allow.

    Args:
        counts: float64[strata, CELLS].
    """
    found = {}
    for name, table in (("stratified", counts), ("pooled", counts.sum(0, keepdims=True))):
        items = table[:, :4].sum(1)
        a, b = table[:, 0] + table[:, 1], table[:, 0] + table[:, 2]
        extremes = []
        for both in (np.maximum(0, a + b - items), np.minimum(a, b)):
            cells = np.stack([both, a - both, b - both, items - a - b + both, np.zeros_like(both)], axis=1)
            extremes.append(coefficients(cells[None]))
        for kind in ("phi", "kappa"):
            least, most = (float(one[f"{kind}_{name}"][0]) for one in extremes)
            found[f"{kind}_{name}"] = (least, most)
    return found


def _parts(counts: Array) -> dict[str, Array]:
    """Covariance, variances, and observed and expected agreement, each summed over strata by their share of items."""
    n = counts[..., :4].sum(-1)
    share = n / n.sum(1, keepdims=True)
    p, a, b = (
        np.where(n > 0, cell / np.where(n > 0, n, 1), 0.0)
        for cell in (counts[..., 0], counts[..., 0] + counts[..., 1], counts[..., 0] + counts[..., 2])
    )
    terms = {
        "covariance": p - a * b,
        "variance_a": a * (1 - a),
        "variance_b": b * (1 - b),
        "observed": 1 - a - b + 2 * p,
        "expected": a * b + (1 - a) * (1 - b),
    }
    rounded = {name: (share * term).sum(1) for name, term in terms.items()}
    for name in ("variance_a", "variance_b"):  # all right or all wrong is exactly zero, whatever the rounding
        rounded[name] = np.where(rounded[name] < 1e-12, np.nan, rounded[name])
    return rounded


def _kappa(parts: Mapping[str, Array]) -> Array:
    room = 1 - parts["expected"]
    return np.where(room > 1e-12, (parts["observed"] - parts["expected"]) / room, np.nan)
