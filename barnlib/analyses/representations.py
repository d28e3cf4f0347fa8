"""Statistics of hidden states: how far an item moves, and how alike two sets of states are.

In:  float[items, hidden] arrays of one layer, rows of the same items.
Out: a statistic and its values with one item left out after the other, in closed form; jackknife.py makes intervals.

Two questions need two measures. Where only the *input* changes (noise, another wording), both states come from the same
model and live in the same space: how far does each item move, as a share of the way to another item
(:func:`displacement`)? Where the *model* changes (before and after finetuning, another seed, another backbone), axes,
scale and origin mean nothing across the two: do the same items lie close together (:func:`cka`, debiased, because the
plain estimator is near 1 for independent states wider than there are items; Murphy et al. 2024, arXiv 2405.01012)?
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from barnlib.analyses.intervals import Rng

Array = NDArray[np.float64]
FEWEST = 5  # items for a debiased alignment with one left out


def displacement(clean: ArrayLike, moved: ArrayLike) -> tuple[float, Array]:
    """Squared distance from an item to itself under a disturbance, over that to another item under it; mean over each.

    0: nothing moves; 1: an item's disturbed state is no nearer to it than another item's. Free of scale, and unchanged
    by any rotation or shift of the whole space, so that backbones of different width compare. Needs sums only, so
    memory does not grow with the square of the items.

    Args:
        clean, moved: float[items, hidden].

    Returns:
        The share, and float64[items], the share without each item; NaN where all items are the same or fewer than two.

    Raises:
        ValueError: shapes that differ.
    """
    here, there = np.asarray(clean, dtype=np.float64), np.asarray(moved, dtype=np.float64)
    if here.shape != there.shape or here.ndim != 2:
        raise ValueError(
            f"expected two arrays [items, hidden] of one shape, found {here.shape} and {there.shape}"
        )
    count = len(here)
    if count < 2:
        return float("nan"), np.full(count, np.nan)
    centre = here.mean(0)  # taken off both, so that a large common part costs no digits
    here, there = here - centre, there - centre
    own = ((here - there) ** 2).sum(1)
    squares = (here**2).sum(1) + (there**2).sum(1)
    sums = here.sum(0), there.sum(0)
    value = _share(own.sum(), squares.sum(), float(sums[0] @ sums[1]), count)
    without = (sums[0] - here) * (sums[1] - there)
    left = _share(own.sum() - own, squares.sum() - squares, without.sum(1), count - 1)
    return float(value), left


def _share(own: ArrayLike, squares: ArrayLike, crossed: ArrayLike, count: int) -> Array:
    """Mean squared distance to oneself over that to others, from sums over ``count`` items."""
    others = count * np.asarray(squares) - 2 * np.asarray(crossed) - np.asarray(own)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.asarray(own) * (count - 1) / others
    return np.where(others > 0, share, np.nan)


@dataclass(frozen=True)
class Gram:
    """Inner products of items, without those of an item with itself, and what of them every alignment needs.

    Attributes:
        products: float64[n, n], zero on the diagonal.
        own: debiased HSIC of the states with themselves.
        own_left: float64[n], the same without each item.
    """

    products: Array
    own: float
    own_left: Array


def gram(states: ArrayLike) -> Gram:
    """The inner products of float[items, hidden]; the mean state is taken off, which changes no debiased alignment."""
    x = np.asarray(states, dtype=np.float64)
    x = x - x.mean(0)
    products = x @ x.T
    np.fill_diagonal(products, 0.0)
    return Gram(products, *hsic(products, products))


def hsic(k: Array, l: Array) -> tuple[float, Array]:  # noqa: E741, the names of the paper
    """Debiased Hilbert-Schmidt independence criterion (Song et al. 2012, JMLR 13:1393, equation 5).

    Args:
        k, l: float64[n, n], symmetric, zero on the diagonal.

    Returns:
        The estimate, and float64[n], that without each item; NaN below `FEWEST` items.
    """
    count = len(k)
    if count < FEWEST:
        return float("nan"), np.full(count, np.nan)
    both = (k * l).sum(1)
    rows_k, rows_l = k.sum(1), l.sum(1)
    value = _unbiased(both.sum(), rows_k @ rows_l, rows_k.sum(), rows_l.sum(), count)
    # sum over j of (k_j - K_ij)(l_j - L_ij), j other than i
    crossed = rows_k @ rows_l - rows_k * rows_l - l @ rows_k - k @ rows_l + both
    left = _unbiased(
        both.sum() - 2 * both, crossed, rows_k.sum() - 2 * rows_k, rows_l.sum() - 2 * rows_l, count - 1
    )
    return float(value), left


def _unbiased(trace: ArrayLike, rows: ArrayLike, all_k: ArrayLike, all_l: ArrayLike, n: int) -> Array:
    total = np.asarray(all_k) * np.asarray(all_l) / ((n - 1) * (n - 2))
    return (np.asarray(trace) + total - 2 * np.asarray(rows) / (n - 2)) / (n * (n - 3))


def cka(a: Gram, b: Gram) -> tuple[float, Array]:
    """Debiased linear centred kernel alignment of two sets of states of the same items.

    1: the same up to rotation, scale and shift; around 0, and sometimes below: nothing in common.

    Returns:
        The alignment, and float64[items], that without each item; NaN where a set does not vary, or below `FEWEST`
        items.

    Raises:
        ValueError: different numbers of items.
    """
    if a.products.shape != b.products.shape:
        raise ValueError(
            f"{len(a.products)} and {len(b.products)} items; an alignment compares states of the same items"
        )
    between, left = hsic(a.products, b.products)
    return float(_aligned(between, a.own, b.own)), _aligned(left, a.own_left, b.own_left)


def _aligned(between: ArrayLike, own_a: ArrayLike, own_b: ArrayLike) -> Array:
    x, y = np.asarray(own_a), np.asarray(own_b)
    varies = (x > 0) & (y > 0)
    return np.where(varies, np.asarray(between) / np.sqrt(np.where(varies, x * y, 1.0)), np.nan)


def neighbours(states: ArrayLike, k: int) -> NDArray[np.bool_]:
    """Which items are among the ``k`` nearest of each item: bool[items, items].

    Nearness is the cosine between states less their mean; Huh et al. (2024) do not take the mean off, which lets a
    direction that all states share decide. Of equally near items the earlier one is taken.

    Raises:
        ValueError: ``k`` is not from 1 to one less than the items.
    """
    x = np.asarray(states, dtype=np.float64)
    if not 1 <= k < len(x):
        raise ValueError(f"{k} neighbours among {len(x)} items; expected 1 to {len(x) - 1}")
    x = x - x.mean(0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    near = x @ x.T
    np.fill_diagonal(near, -np.inf)
    found = np.zeros(near.shape, dtype=bool)
    np.put_along_axis(found, np.argsort(-near, axis=1, kind="stable")[:, :k], True, axis=1)
    return found


def shared_neighbours(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> Array:
    """Share of each item's nearest neighbours that two models agree on (Huh et al. 2024, arXiv 2405.07987).

    Args:
        a, b: bool[items, items] of :func:`neighbours`, with the same ``k``.

    Returns:
        float64[items].
    """
    return (a & b).sum(1) / a.sum(1)


def permuted_neighbours(
    pairs: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]], rng: Rng, permutations: int
) -> Array:
    """Mean shared neighbours over the pairs when the second's items are exchanged at random: float64[permutations].

    All pairs are exchanged in the same way, because they hold the same items.
    """
    rng, found = np.random.default_rng(rng), np.empty(permutations)
    for number in range(permutations):
        order = rng.permutation(len(pairs[0][0]))
        found[number] = np.mean([shared_neighbours(a, b[order][:, order]).mean() for a, b in pairs])
    return found
