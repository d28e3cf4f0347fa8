"""Coordinate answers: how far up the ladder they come, how far off they are, and what is form and what knowledge.

In:  the predictions table of predict.py, and rows of the same shape from baselines.py.
Out: tables of estimates as in metrics.py, which charts and the results notebook show.

The ladder goes from any text over JSON, the right members and the right range to a distance. An answer that could
not be read is a failure at every distance and is never left out.
"""

import json
from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd

from barnlib.analyses.intervals import Resampling, median_interval
from barnlib.analyses.metrics import (
    ESTIMATE_COLUMNS,
    check_predictions,
    estimate_row,
    groups,
    ratio_table,
    share_table,
)
from barnlib.data.answers import parse_coordinates
from barnlib.scoring import LADDER, score_coordinates

TOLERANCES_KM = tuple(float(round(km, -1)) for km in np.geomspace(50, 20_000, 27))
OUTCOMES = (
    "right",
    "well-formed, wrong place",
    "unreadable, right once in form",
    "unreadable, wrong even in form",
)


def coordinate_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The coordinate predictions with `stage`, `error_km` and `lenient_error_km` (km).

    `stage` is text, json, schema or range, the highest rung reached before any distance is asked. The
    errors are infinite where nothing was read. They are those of the score where a row has its `details`, so that
    every page counts the same answers as near; else (answers of baselines, places read from states) the true place
    is the reference's, given to 0.1 degrees (at most 8 km off).

    Raises:
        ValueError: a reference that is not coordinates.
    """
    rows = predictions[predictions["task"] == "seismic_coordinates"].reset_index(drop=True)
    scored = rows.get("details", pd.Series(None, index=rows.index, dtype=object))
    details = [
        json.loads(detail)
        if isinstance(detail, str)
        else score_coordinates(answer, _place(reference), -1.0).details
        for answer, reference, detail in zip(rows["answer"], rows["reference"], scored, strict=True)
    ]
    stages = [detail["stage"] if detail["stage"] != "distance" else "range" for detail in details]
    rows["stage"] = pd.Series(stages, index=rows.index, dtype=object)
    for column in ("error_km", "lenient_error_km"):
        errors = np.array([detail[column] for detail in details], dtype=np.float64)
        rows[column] = np.where(np.isnan(errors), np.inf, errors)
    return rows


def coordinate_ladder(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    *,
    tolerances_km: Sequence[float] = (1000.0, 500.0, 250.0),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """The share of all answers that reach each rung: json, schema, range, within each distance.

    Beside them stand `stopped`, the share that ended by itself, and `lenient`, the share in which two numbers in
    range could be found.

    Returns:
        The columns `by`, then `rung` and `ESTIMATE_COLUMNS`.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference", "stop"), by)
    rows = coordinate_rows(predictions)
    reached = rows["stage"].map({stage: step for step, stage in enumerate(LADDER)})
    rungs = {"stopped": rows["stop"] == "eos"}
    rungs |= {stage: reached >= LADDER.index(stage) for stage in ("json", "schema", "range")}
    rungs |= {"lenient": np.isfinite(rows["lenient_error_km"])}
    rungs |= {f"within {tolerance:g} km": rows["error_km"] <= tolerance for tolerance in tolerances_km}
    return share_table(rows, by, rungs, name="rung", **how)


def coordinate_errors(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Median great-circle error in km, an unread answer being infinitely far off, by group.

    Returns:
        The columns `by`, then `ESTIMATE_COLUMNS`; infinite where half of the answers or more could not be
        read.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = [
        estimate_row(key, by, group, median_interval(group["error_km"], group["seed"], group["image"], **how))
        for key, group in groups(coordinate_rows(predictions), by)
    ]
    return pd.DataFrame(rows, columns=[*by, *ESTIMATE_COLUMNS])


def coordinate_curve(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    *,
    tolerances_km: Sequence[float] = TOLERANCES_KM,
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """The share of all answers within each distance of the truth: accuracy as a function of the tolerance.

    Returns:
        The columns `by`, then `tolerance_km` and `ESTIMATE_COLUMNS`; the estimate never falls with the tolerance,
        and ends at the share that could be read.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = coordinate_rows(predictions)
    near = {float(tolerance): rows["error_km"] <= tolerance for tolerance in tolerances_km}
    return share_table(rows, by, near, name="tolerance_km", **how)


def coordinate_failures(
    predictions: pd.DataFrame,
    *,
    tolerance_km: float,
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """What becomes of each coordinate answer when it is forced into form: a split of all answers in four.

    Args:
        predictions: the conditions `image` and `constrained` of one split.
        tolerance_km: an answer within this distance is right.

    Returns:
        One row per backbone and outcome (`OUTCOMES`, in that order), with `ESTIMATE_COLUMNS`; the four shares of a
        backbone sum to 1. Lost to form is only what is right as soon as the form is given.

    Raises:
        ValueError: an item that a run answered in one of the two conditions only.
    """
    check_predictions(predictions, ("task", "answer", "reference"), ("backbone", "condition"))
    rows = coordinate_rows(predictions)
    key = ["backbone", "seed", "item"]
    free, forced = (rows[rows["condition"] == name] for name in ("image", "constrained"))
    both = free.merge(forced[[*key, "error_km"]], on=key, suffixes=("", "_forced"))
    if not len(both) == len(free) == len(forced):
        raise ValueError(
            f"{len(free)} free and {len(forced)} constrained answers, {len(both)} of them to the same item by the "
            "same run; expected every item in both conditions"
        )
    read = np.isfinite(both["error_km"])
    near, near_forced = (both[column] <= tolerance_km for column in ("error_km", "error_km_forced"))
    shares = (near, read & ~near, ~read & near_forced, ~read & ~near_forced)
    named = dict(zip(OUTCOMES, shares, strict=True))
    return share_table(both, ("backbone",), named, name="outcome", **how)


def reference_losses(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Teacher-forced loss of the true answer, EOS included: `nats per answer`, `bits per byte`, `tokens per answer`.

    Losses per token are not comparable between tokenizers; these two are, and the third shows how differently the
    tokenizers cut the same answers.

    Returns:
        The columns `by`, then `measure` and `ESTIMATE_COLUMNS`. Bits per byte is all bits over all bytes.
    """
    columns = ("task", "reference", "reference_logprob", "reference_tokens")
    check_predictions(predictions, (*by, *columns), by)
    rows = predictions[predictions["task"] == "seismic_coordinates"].reset_index(drop=True)
    nats = -rows["reference_logprob"].to_numpy(np.float64)
    sizes = [len(text.encode()) for text in rows["reference"]]
    measures = {
        "nats per answer": (nats, np.ones(len(rows))),
        "bits per byte": (nats / np.log(2), sizes),
        "tokens per answer": (rows["reference_tokens"], np.ones(len(rows))),
    }
    return ratio_table(rows, by, measures, bounds=(0.0, np.inf), **how)


def _place(reference: str) -> dict[str, float]:
    place = parse_coordinates(reference)
    if place is None:
        raise ValueError(
            f'the reference {reference!r} is not of the form {{"latitude": -12.4, "longitude": 143.9}}'
        )
    return {"latitude": place[0], "longitude": place[1]}
