"""From the predictions table to tables of estimates with intervals.

In:  the predictions table of predict.py, and rows of the same shape from baselines.py.
Out: long tables, one row per group and quantity, with `estimate`, `se`, `low`, `high` and the number of items,
     images and seeds behind them, which charts and notebooks show. coordinates.py adds the tables of its task.
     No model and no torch is needed.

Every answer counts: one that cannot be read is wrong. Intervals come from intervals.py: images are clusters,
seeds are runs, and `how` they are resampled is handed on to it. Truth is read from the reference answers, which
state it exactly, so the table needs no other file.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, Unpack

import numpy as np
import pandas as pd

from barnlib.analyses.intervals import Interval, Resampling, proportion_interval, ratio_interval
from barnlib.data.answers import stated_facts
from barnlib.data.descriptions import FACTS
from barnlib.scoring import score_description

PREDICTION_COLUMNS = (
    "study",
    "run",
    "backbone",
    "seed",
    "split",
    "condition",
    "task",
    "question_type",
    "difficulty",
    "item",
    "image",
    "prompt",
    "reference",
    "answer",
    "parsed",
    "score",
    "correct",
    "logprob",
    "tokens",
    "bytes",
    "stop",
    "first_token_logprob",
    "reference_logprob",
    "reference_tokens",
)
ESTIMATE_COLUMNS = ("estimate", "se", "se_runs", "low", "high", "items", "images", "seeds")
NEVER_MIXED = ("study", "split", "condition")  # a group holds one of each, or the caller forgot to filter


def accuracy_table(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone", "task"),
    *,
    value: str = "score",
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Mean of a column between 0 and 1 (`score`, `correct`, or one the caller has added), by group.

    Returns:
        One row per group in order of appearance: the columns `by`, then `ESTIMATE_COLUMNS`.

    Raises:
        ValueError: a missing column; a value that is missing or not in 0 to 1; an item that a run answers
        twice;
            a group that mixes studies, splits or conditions.
    """
    check_predictions(predictions, (*by, value), by)
    values = predictions[value].to_numpy(dtype=np.float64)
    inside = (values >= 0) & (values <= 1)
    if not inside.all():
        raise ValueError(
            f"column '{value}' must lie in 0 to 1; {np.sum(~inside)} of {len(inside)} rows do not"
        )
    rows = [
        estimate_row(key, by, group, proportion_interval(*_cells(group, group[value]), **how))
        for key, group in groups(predictions, by)
    ]
    return pd.DataFrame(rows, columns=[*by, *ESTIMATE_COLUMNS])


def paired_differences(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("task",),
    *,
    between: str = "backbone",
    pairs: Iterable[tuple[Any, Any]] | None = None,
    value: str = "score",
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Mean of b minus mean of a on the same items and seeds, by group and pair.

    Pairing takes out what an item or a seed does to both. A side with a single seed, as a baseline, is
    compared with every seed of the other.

    Args:
        between: the column whose values are compared: `backbone`, or `condition` for the image against a
        blank. pairs: (a, b) pairs of its values; every pair in order of appearance if not given.

    Returns:
        The columns `by`, then `a`, `b` and `ESTIMATE_COLUMNS`; the estimate lies in -1 to 1.

    Raises:
        ValueError: as `accuracy_table`; two sides with different items; several seeds on both sides, none
        shared.
    """
    check_predictions(predictions, (*by, between, value), (*by, between))
    rows = []
    for key, group in groups(predictions, by):
        sides = dict(iter(group.groupby(between, sort=False)))
        for a, b in combinations(sides, 2) if pairs is None else pairs:
            if a not in sides or b not in sides:
                continue
            difference = _difference(sides[a], sides[b], value, f"{between} {a} and {b}")
            cells = _cells(difference, difference["difference"])
            interval = ratio_interval(*cells, bounds=(-1.0, 1.0), **how)
            rows.append({**estimate_row(key, by, difference, interval), "a": a, "b": b})
    return pd.DataFrame(rows, columns=[*by, "a", "b", *ESTIMATE_COLUMNS])


def fact_verdicts(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per description and fact: the columns of the prediction, `fact`, and `verdict`.

    The verdict is right, wrong, missing or contradiction (scoring.py). Rows of other tasks are left out.

    Raises:
        ValueError: a reference that does not state every fact.
    """
    rows = predictions[predictions["task"] == "seismic_description"].reset_index(drop=True)
    truths = {reference: stated_facts(reference) for reference in rows["reference"].unique()}
    verdicts = [
        score_description(answer, truths[reference]).details["verdicts"]
        for answer, reference in zip(rows["answer"], rows["reference"], strict=True)
    ]
    long = rows.loc[rows.index.repeat(len(FACTS))].reset_index(drop=True)
    long["fact"] = np.tile(np.array(FACTS, dtype=object), len(rows))
    long["verdict"] = [verdict[name] for verdict in verdicts for name in FACTS]
    return long


def fact_table(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Precision, recall, F1 and share of contradictions of descriptions, for each fact and for all together.

    Precision is over stated facts (a contradiction is stated and not right), recall over all, F1 pooled over
    items.

    Returns:
        The columns `by`, then `fact` (one of `FACTS`, or `all`), `measure`, and `ESTIMATE_COLUMNS`. A
        precision without any stated fact is NaN.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    long = fact_verdicts(predictions)
    right = (long["verdict"] == "right").to_numpy(dtype=np.float64)
    stated = (long["verdict"] != "missing").to_numpy(dtype=np.float64)
    asked = np.ones(len(long))
    contradicted = (long["verdict"] == "contradiction").to_numpy(dtype=np.float64)
    measures = {
        "precision": (right, stated),
        "recall": (right, asked),
        "f1": (2 * right, stated + asked),
        "contradiction": (contradicted, asked),
    }
    rows = []
    for key, group in groups(long, by):
        for fact in ("all", *FACTS):
            part = group if fact == "all" else group[group["fact"] == fact]
            for measure, columns in measures.items():
                upper, lower = (_cells(part, column[part.index])[0] for column in columns)
                interval = proportion_interval(upper, lower, **how)
                rows.append({**estimate_row(key, by, part, interval), "fact": fact, "measure": measure})
    return pd.DataFrame(rows, columns=[*by, "fact", "measure", *ESTIMATE_COLUMNS])


def share_table(
    rows: pd.DataFrame,
    by: Sequence[str],
    shares: Mapping[Any, Any],
    *,
    name: str,
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Of how many answers each of several things is true, by group.

    Args:
        shares: bool[answers], in the order of `rows`, by what is true of them.
        name: of the column that says what is true: "rung", "tolerance_km".

    Returns:
        The columns `by`, then `name` and `ESTIMATE_COLUMNS`; every group for the first share, then for the second.

    Raises:
        ValueError: as `accuracy_table`.
    """
    tables = [
        accuracy_table(
            rows.assign(share=np.asarray(true, dtype=np.float64)), by, value="share", **how
        ).assign(**{name: key})
        for key, true in shares.items()
    ]
    return pd.concat(tables, ignore_index=True)[[*by, name, *ESTIMATE_COLUMNS]]


def ratio_table(
    rows: pd.DataFrame,
    by: Sequence[str],
    ratios: Mapping[str, tuple[Any, Any]],
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Ratios of two sums over answers, by group: a mean of anything (sum over count), bits per byte, a slope.

    Args:
        ratios: by name, float64[answers] above and below the line, in the order of `rows`; what is below is not
            negative, and an answer that is 0 in both takes no part.

    Returns:
        The columns `by`, then `measure` and `ESTIMATE_COLUMNS`; NaN where nothing is below the line.
    """
    check_predictions(rows, by, by)
    rows = rows.reset_index(drop=True)
    columns = {
        name: tuple(np.asarray(side, dtype=np.float64) for side in two) for name, two in ratios.items()
    }
    found = []
    for key, group in groups(rows, by):
        for measure, sides in columns.items():
            upper, lower = (_cells(group, side[group.index])[0] for side in sides)
            interval = ratio_interval(upper, lower, bounds=bounds, **how)
            found.append({**estimate_row(key, by, group, interval), "measure": measure})
    return pd.DataFrame(found, columns=[*by, "measure", *ESTIMATE_COLUMNS])


def check_predictions(predictions: pd.DataFrame, columns: Sequence[str], by: Sequence[str]) -> None:
    """Refuse a table that lacks columns, answers an item twice in a run, or mixes what a group must not mix.

    Raises:
        ValueError: with what was found.
    """
    require_columns(predictions, (*columns, *NEVER_MIXED, "backbone", "seed", "item", "image"))
    run = list(dict.fromkeys((*NEVER_MIXED, "backbone", "seed", "item", *by)))
    twice = predictions.duplicated(run)
    if twice.any():
        first = predictions.loc[twice.to_numpy(), ["backbone", "seed", "item"]].iloc[0].to_dict()
        raise ValueError(
            f"{int(twice.sum())} rows answer an item that their run has answered before; first: {first}"
        )
    for _, group in groups(predictions, by):
        for column in NEVER_MIXED:
            found = group[column].unique()
            if len(found) > 1 and column not in by:
                raise ValueError(
                    f"column '{column}' mixes {', '.join(map(str, found))}; filter the table or group by it"
                )


def require_columns(predictions: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raises ValueError, with what is missing and what there is, if a table lacks columns."""
    missing = [column for column in dict.fromkeys(columns) if column not in predictions]
    if missing:
        raise ValueError(
            f"the predictions lack the columns {', '.join(missing)}; they have {', '.join(predictions)}"
        )


def groups(table: pd.DataFrame, by: Sequence[str]) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    """(key, rows) of each group in order of appearance; one group where `by` is empty."""
    if not by:
        return [((), table)] if len(table) else []
    return table.groupby(list(by), sort=False, observed=True)


def estimate_row(
    key: tuple[Any, ...], by: Sequence[str], group: pd.DataFrame, interval: Interval
) -> dict[str, Any]:
    """One row of a table of estimates: the group key, the interval, and the counts behind it."""
    counts = {
        "items": group["item"].nunique(),
        "images": group["image"].nunique(),
        "seeds": group["seed"].nunique(),
    }
    return {**dict(zip(by, key, strict=True)), **vars(interval), **counts}


def _cells(group: pd.DataFrame, values: pd.Series | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts of a column by run (backbone and seed) and image: float64[runs, images] each."""
    backbones, seeds, images = (pd.factorize(group[column])[0] for column in ("backbone", "seed", "image"))
    _, runs = np.unique(backbones * (seeds.max(initial=0) + 1) + seeds, return_inverse=True)
    shape = (int(runs.max(initial=-1)) + 1, int(images.max(initial=-1)) + 1)
    cells = runs * shape[1] + images
    weights = np.asarray(values, dtype=np.float64)
    sums = np.bincount(cells, weights=weights, minlength=shape[0] * shape[1]).reshape(shape)
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64)
    return sums, counts


def _difference(a: pd.DataFrame, b: pd.DataFrame, value: str, names: str) -> pd.DataFrame:
    """Item by seed: b minus a as `difference`, beside the columns of the side with more seeds."""
    for side in (a, b):
        if side.duplicated(["item", "seed"]).any():
            raise ValueError(f"{names} cannot be paired: several runs of one seed; group by backbone as well")
    if set(a["item"]) != set(b["item"]):
        only = len(set(a["item"]) ^ set(b["item"]))
        raise ValueError(f"{names} cannot be paired: {only} items were answered by one of them only")
    keys = ["item"] if min(a["seed"].nunique(), b["seed"].nunique()) == 1 else ["item", "seed"]
    several = a if a["seed"].nunique() > b["seed"].nunique() else b
    single = b if several is a else a
    columns = list(dict.fromkeys([*keys, value]))
    joined = several.merge(single[columns], on=keys, suffixes=("", "_single"))
    if not len(joined):
        seeds = [sorted(side["seed"].unique().tolist()) for side in (a, b)]
        raise ValueError(f"{names} share no seed: {seeds[0]} and {seeds[1]}")
    sign = 1.0 if several is b else -1.0
    difference = sign * (joined[value].astype(float) - joined[f"{value}_single"].astype(float))
    return joined.assign(difference=difference)
