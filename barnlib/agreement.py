"""Do two backbones solve the same items? Correlation and agreement of right and wrong, pooled and within strata.

In:  the predictions table of predict.py: one split and one condition, every run on the same items.
Out: tables of phi, error consistency and what two models gain together, with the bounds that accuracies allow and
     the yardstick of two seeds of one backbone, for the instances notebook and its charts.

Two backbones that are good at different *types* of question look negatively correlated even where, within a type, they
solve items independently. So every coefficient stands twice: pooled, and within strata (question type and difficulty).

Within strata, phi is the correlation of right and wrong after each stratum's own accuracy was taken from both: the
covariances within strata, weighted by items, over the root of the variances within strata. Kappa within strata takes
the agreement expected by chance within each stratum. Where all strata have the same accuracies, both are what they are
pooled; a stratum in which a side is all right or all wrong adds nothing. Kappa of right and wrong is the error
consistency of Geirhos, Meding & Wichmann (2020), with their bounds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import fisher_exact
from statsmodels.stats.contingency_tables import StratifiedTable, mcnemar
from statsmodels.stats.multitest import multipletests

from barnlib.instances import ITEM_COLUMNS, Pair, majority, pairs, solved
from barnlib.replicates import NOTHING, centred, image_draws
from barnlib.scoring import normalise

Array = NDArray[np.float64]

STRATA = ("question_type", "difficulty")
CELLS = (
    "both",
    "only_a",
    "only_b",
    "neither",
    "surer",
)  # surer: the more confident of the two answers is right
COEFFICIENTS = ("phi_pooled", "phi_stratified", "kappa_pooled", "kappa_stratified")
MEASURES = (*COEFFICIENTS, "phi_within", "phi_between", "oracle_gain", "surer_gain")
INTERVAL_COLUMNS = ("estimate", "se", "low", "high", "bound_low", "bound_high")


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
    rng: np.random.Generator,
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
    grouped = [((), items)] if not by else list(items.groupby(list(by), sort=False))
    found = []
    for key, group in grouped if len(items) else []:
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


def agreement_table(compared: Sequence[RunPairs], *, level: float = 0.95) -> pd.DataFrame:
    """Each measure, the mean over pairs of runs, with its interval over images and seeds.

    The variance over seeds is that of the jackknife, both sides losing a seed at once, and needs three; with fewer the
    interval speaks of other images only. It holds some of the images' chance twice, so it errs on the wide side.

    Returns:
        `kind` (`backbones`, or `seeds` of one), `a`, `b`, the group's columns, `measure`, `estimate`, `se`, `low`,
        `high`, `bound_low`, `bound_high` (what the accuracies allow; NaN for other measures than coefficients),
        `items`, `images`, `run_pairs`, `seeds`.
    """
    rows = [
        {
            **pair.labels,
            "measure": measure,
            **_interval(pair.values[:, place], pair.draws[:, :, place], pair, level),
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
            left = _without_each(pair, pair.values[:, place]) - _geometric(
                [_without_each(side, side.values[:, place]) for side in known]
            )
            estimate = float(pair.values[:, place].mean() - expected)
            row |= _from_variances(estimate, between, left, pair, level)
        rows.append({**row, "bound_low": np.nan, "bound_high": np.nan})
    return _as_table(rows, compared)


def _group(pair: RunPairs) -> tuple[Any, ...]:
    return tuple(value for name, value in pair.labels.items() if name not in ("kind", "a", "b"))


def _geometric(values: Sequence[Any]) -> Any:
    """Geometric mean of two coefficients, zero where one is negative: chance alone has no floor to fall below."""
    first, second = (np.maximum(value, 0) for value in values)
    return np.sqrt(first * second)


def _without_each(pair: RunPairs, values: Array) -> Array:
    """For each seed of a pair, the mean over the pairs of runs that it has no part in; NaN where none is left."""
    found = []
    for seed in sorted({seed for both in pair.seeds for seed in both}):
        kept = [value for both, value in zip(pair.seeds, values, strict=True) if seed not in both]
        found.append(np.mean(kept) if kept else np.nan)
    return np.array(found)


def _interval(values: Array, draws: Array, pair: RunPairs, level: float) -> dict[str, float]:
    return _from_variances(float(values.mean()), draws.mean(1), _without_each(pair, values), pair, level)


def _from_variances(
    estimate: float, drawn: Array, left: Array, pair: RunPairs, level: float
) -> dict[str, float]:
    """An interval from replicates over images, and from the estimates with each seed left out."""
    if np.isnan(estimate):
        return vars(NOTHING)
    known = drawn[~np.isnan(drawn)]
    by_image = float(np.var(known, ddof=1)) if len(known) > len(drawn) / 2 else float("nan")
    seeds = len(left)
    jackknifed = seeds > 2 and not np.isnan(left).any()
    by_run = (seeds - 1) * float(np.var(left)) if jackknifed else 0.0
    runs, images = seeds if jackknifed else 1, pair.counts["images"]
    return vars(centred(estimate, by_image, by_run, by_run, images, runs, level, (-1.0, 1.0)))


def _as_table(rows: Sequence[Mapping[str, Any]], compared: Sequence[RunPairs]) -> pd.DataFrame:
    labels = list(compared[0].labels) if compared else ["kind", "a", "b"]
    counts = ("items", "images", "run_pairs", "seeds")
    return pd.DataFrame(rows, columns=[*labels, "measure", *INTERVAL_COLUMNS, *counts])


def pair_tests(
    predictions: pd.DataFrame, by: Sequence[str] = ("task",), *, strata: Sequence[str] = STRATA
) -> pd.DataFrame:
    """Tests of exchange and association for every pair: backbones by majority over seeds, seeds run by run.

    All take items as independent; with several questions on an image their p is too small, which the intervals of
    `agreement_table` are not.

    Returns:
        `kind`, `a`, `b`, `seed_a`, `seed_b`, the columns `by`, `items`, `gained`, `lost` (numbers of items);
        `p_mcnemar` (exact) and `p_holm` (of it, over all pairs of backbones in the table); `phi` and `p_phi` (Fisher's
        exact test of the pooled table); `odds_ratio` (Mantel and Haenszel's, within strata) and `p_cmh` (Cochran,
        Mantel and Haenszel), NaN where every stratum has a side that is all right or all wrong. Raises as
        `instances.solved`.
    """
    table = solved(predictions)
    items = table.index.to_frame(index=False)
    grouped = [((), items)] if not by else list(items.groupby(list(by), sort=False))
    wanted = [pair for pair in pairs(table) if (pair.view == "majority") == (pair.kind == "backbones")]
    rows = []
    for pair in wanted:
        for key, group in grouped if len(items) else []:
            cells = [
                _two_by_two(pair.before[part.index], pair.after[part.index])
                for _, part in group.groupby(list(strata), sort=False)
            ]
            labels = {name: value for name, value in pair.labels.items() if name != "view"}
            rows.append({**labels, **dict(zip(by, key, strict=True)), **_tests(np.array(cells))})
    columns = ("items", "gained", "lost", "p_mcnemar", "phi", "p_phi", "odds_ratio", "p_cmh")
    names = ["kind", "a", "b", "seed_a", "seed_b", *by, *columns]
    found = pd.DataFrame(rows, columns=names).astype({"seed_a": "Int64", "seed_b": "Int64"})
    found["p_holm"] = np.nan
    family = found["kind"] == "backbones"
    if family.any():
        found.loc[family, "p_holm"] = multipletests(found.loc[family, "p_mcnemar"], method="holm")[1]
    return found


def _two_by_two(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[list[int]]:
    """[[both, only before], [only after, neither]]."""
    return [
        [int((before & after).sum()), int((before & ~after).sum())],
        [int((~before & after).sum()), int((~before & ~after).sum())],
    ]


def _tests(tables: NDArray[np.int64]) -> dict[str, float]:
    """Tests of one pair from int64[strata, 2, 2]."""
    pooled = tables.sum(0)
    margins = [np.array([t[0].sum(), t[1].sum(), t[:, 0].sum(), t[:, 1].sum()]) for t in tables]
    telling = [table for table, margin in zip(tables, margins, strict=True) if (margin > 0).all()]
    flat = pooled.reshape(1, 1, 4).astype(float)
    phi = coefficients(np.concatenate([flat, np.zeros((1, 1, 1))], axis=2))["phi_pooled"][0]
    found = {
        "items": int(pooled.sum()),
        "gained": int(pooled[1, 0]),
        "lost": int(pooled[0, 1]),
        "p_mcnemar": float(mcnemar(pooled, exact=True).pvalue),
        "phi": float(phi),
        "p_phi": float(fisher_exact(pooled).pvalue),
    }
    if not telling:
        return {**found, "odds_ratio": float("nan"), "p_cmh": float("nan")}
    with np.errstate(divide="ignore", invalid="ignore"):
        stratified = StratifiedTable([table.astype(float) for table in telling])
        odds, test = float(stratified.oddsratio_pooled), stratified.test_null_odds(correction=False)
    return {**found, "odds_ratio": odds, "p_cmh": float(test.pvalue)}


def solved_by(predictions: pd.DataFrame, *, strata: Sequence[str] = STRATA) -> pd.DataFrame:
    """How many items each set of backbones solves, by majority over seeds, and no other backbone.

    Returns:
        One row for each set that occurs, most items first: a bool column for each backbone, `items`, `share`, and
        `expected`, the share if backbones solved items independently of each other within each stratum. Raises as
        `instances.solved`.
    """
    most = majority(solved(predictions))
    names = list(most)
    by_stratum = most.groupby(level=list(strata), sort=False)
    accuracy = by_stratum.transform("mean").to_numpy(float)
    rows = []
    for pattern, group in most.groupby(names, sort=False):
        wanted = np.array(pattern, dtype=bool)
        chance = np.where(wanted, accuracy, 1 - accuracy).prod(1).mean()
        rows.append(
            {
                **dict(zip(names, map(bool, pattern), strict=True)),
                "items": len(group),
                "share": len(group) / len(most),
                "expected": float(chance),
            }
        )
    table = pd.DataFrame(rows, columns=[*names, "items", "share", "expected"])
    return table.sort_values("items", ascending=False, kind="stable").reset_index(drop=True)


def ensembles(predictions: pd.DataFrame) -> pd.DataFrame:
    """What several runs answer together, as rows of a predictions table, for `metrics.accuracy_table`.

    Members are the backbones of one seed (`all backbones`), and the seeds of one backbone (`seeds of NAME`), the
    yardstick. The vote takes the answer that gathers the most probability, answers being equal after normalisation; the
    oracle is right where any member is.

    Returns:
        Rows with `backbone` naming the members, `rule` (`vote` or `oracle`), `score` and `correct` as 0 or 1, and the
        other columns as the member that won. Where a study has one backbone or one seed, those ensembles are missing.
    """
    parts = []
    across = {seed: part for seed, part in predictions.groupby("seed", sort=False)}
    within = {name: part for name, part in predictions.groupby("backbone", sort=False)}
    for members, part in [
        *(("all backbones", part) for part in across.values() if part["backbone"].nunique() > 1),
        *((f"seeds of {name}", part) for name, part in within.items() if part["seed"].nunique() > 1),
    ]:
        seed = int(part["seed"].iloc[0])
        weights = np.exp(part["logprob"].astype(float))
        asked = part.assign(text=part["answer"].map(normalise), weight=weights)
        asked["votes"] = asked.groupby(["item", "text"])["weight"].transform("sum")
        winners = asked.sort_values("votes", ascending=False, kind="stable").drop_duplicates("item")
        best = asked.sort_values("correct", ascending=False, kind="stable").drop_duplicates("item")
        for rule, rows in (("vote", winners), ("oracle", best)):
            if rule == "vote" and weights.isna().any():
                continue  # baselines say nothing about how sure they are
            right = rows["correct"].astype(bool)
            parts.append(rows.assign(backbone=members, seed=seed, rule=rule, score=right.astype(float)))
    if not parts:
        return predictions.iloc[:0].assign(rule=pd.Series(dtype=object))
    return pd.concat(parts, ignore_index=True).drop(columns=["text", "weight", "votes"])
