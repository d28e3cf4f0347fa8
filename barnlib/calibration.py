"""Whether confidence keeps its word: calibration error, Brier score, ranking of right before wrong.

In:  rows of confidence.with_confidence: one split and one condition, `correct` and a column of confidences.
Out: tables of estimates by backbone, of paired differences between backbones, and of what a perfectly calibrated
     predictor would show by chance, for the confidence notebook and its charts.

A measure is computed for each run and averaged over runs: pooled over runs, one run's overconfidence would hide
another's underconfidence. Bins hold equal numbers of answers, and equal confidences share a bin, so the order of the
rows plays no part.

| measure | what it is |
| --- | --- |
| `accuracy`, `confidence`, `overconfidence` | means, and confidence less accuracy |
| `ece` | mean distance of confidence and accuracy over bins (Naeini et al. 2015), never below its chance level |
| `ece_debiased` | the same less its bias under normal noise in each bin, as Kumar, Liang & Ma (2019) take it off |
| `squared_error` | mean squared distance over bins, unbiased (Kumar et al. 2019); may be below zero |
| `brier` | mean squared distance of confidence and outcome |
| `reliability`, `resolution`, `uncertainty`, `within` | Murphy's (1973) parts: Brier = reliability - resolution + uncertainty + within, the last for confidences that differ within a bin (Stephenson et al. 2008) |
| `auroc` | chance that a right answer is more confident than a wrong one, ties half |
| `aurc`, `excess_aurc` | area under risk over coverage, and what of it a perfect order would save (Geifman et al. 2019) |
"""  # noqa: E501

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from barnlib.metrics import ESTIMATE_COLUMNS, accuracy_table, check_predictions, groups
from barnlib.replicates import image_draws, mean_over_runs

Array = NDArray[np.float64]

BINS = 15
PER_BIN = 10  # answers to a bin at least; fewer bins where there are not enough
CHUNK = 2_000_000  # weights held at a time
BOUNDS = {
    **dict.fromkeys(("accuracy", "confidence", "ece", "brier", "auroc", "aurc"), (0.0, 1.0)),
    **dict.fromkeys(("overconfidence", "ece_debiased", "squared_error", "excess_aurc"), (-1.0, 1.0)),
    **dict.fromkeys(("reliability", "resolution", "uncertainty"), (0.0, 1.0)),
    "within": (-1.0, 1.0),
}
MEASURES = tuple(BOUNDS)
BETTER = {"ece": -1, "ece_debiased": -1, "brier": -1, "auroc": 1, "aurc": -1}
"""Measure -> whether more (1) or less (-1) of it is better."""


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
    ece = (mass * np.abs(gap)).sum(1)
    variance = accurate * (1 - accurate)  # of one answer in the bin
    noise = np.sqrt(np.where(sums[:, 0] > 0, variance / sums[:, 0], 0.0))
    several = sums[:, 0] > 1
    lost = np.where(several, variance / np.where(several, sums[:, 0] - 1, 1), 0.0)
    spread = means[:, 3] - confident**2 - 2 * (means[:, 4] - confident * accurate)
    confidence = (mass * confident).sum(1)
    return {
        "accuracy": accuracy,
        "confidence": confidence,
        "overconfidence": confidence - accuracy,
        "ece": ece,
        "ece_debiased": 2 * ece - (mass * mean_distance(gap, noise)).sum(1),
        "squared_error": (mass * (gap**2 - lost)).sum(1),
        "brier": (mass * (means[:, 3] - 2 * means[:, 4] + accurate)).sum(1),
        "reliability": (mass * gap**2).sum(1),
        "resolution": (mass * (accurate - accuracy[:, None]) ** 2).sum(1),
        "uncertainty": accuracy * (1 - accuracy),
        "within": (mass * spread).sum(1),
    }


def mean_distance(mean: Array, sd: Array) -> Array:
    """Mean of |X| for a normal X of this mean and standard deviation (the folded normal distribution)."""
    ratio = np.where(sd > 0, mean / np.where(sd > 0, sd, 1.0), 0.0)
    folded = sd * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * (1 - 2 * stats.norm.cdf(-ratio))
    return np.where(sd > 0, folded, np.abs(mean))


def _ordered(said: Array, right: Array, weight: Array) -> dict[str, Array]:
    """Measures of the order of confidences; equal ones stand in random order, on average."""
    coverage, errors = _risk_path(said, right, weight)
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


def _risk_path(said: Array, right: Array, weight: Array) -> tuple[Array, Array]:
    """Answers taken and errors among them, from the most confident down, at the end of each group of equal
    confidences: float64[R, groups] each."""
    order = np.argsort(-said, kind="stable")
    starts = np.flatnonzero(np.diff(said[order], prepend=np.inf))
    taken = np.add.reduceat(weight[:, order], starts, axis=1).cumsum(1)
    errors = np.add.reduceat(weight[:, order] * (1 - right[order]), starts, axis=1).cumsum(1)
    return taken, errors


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
    rng: np.random.Generator,
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


def null_bands(
    answers: pd.DataFrame,
    by: Sequence[str] = ("task",),
    definition: str = "primary",
    *,
    rng: np.random.Generator,
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
    rows = []
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


def reliability_table(
    answers: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    definition: str = "primary",
    *,
    rng: np.random.Generator,
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
        taken, errors = _risk_path(said, run["correct"].to_numpy(np.float64), np.ones((1, len(said))))
        at = grid * len(said)
        wrong = np.interp(at, np.r_[0, taken[0]], np.r_[0, errors[0]])
        labels = dict(zip((*by, "backbone", "seed"), key, strict=True))
        parts.append(pd.DataFrame({**labels, "coverage": grid, "risk": wrong / at}))
    columns = [*by, "backbone", "seed", "coverage", "risk"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def rankings(
    resampled: Sequence[Resampled], measured: Sequence[str] = ("ece_debiased", "brier", "auroc")
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
