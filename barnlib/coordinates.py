"""Coordinate answers: how far up the ladder they come, and how far off they are.

In:  the predictions table of predict.py, and rows of the same shape from baselines.py.
Out: tables of estimates as in metrics.py, which charts and the results notebook show.

The ladder goes from any text over JSON, the right members and the right range to a distance. An answer that could
not be read is a failure at every distance and is never left out.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from barnlib.data.answers import parse_coordinates
from barnlib.intervals import median_interval
from barnlib.metrics import ESTIMATE_COLUMNS, accuracy_table, check_predictions, estimate_row, groups
from barnlib.scoring import LADDER, score_coordinates


def coordinate_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """The coordinate predictions with `stage`, `error_km` and `lenient_error_km` (km).

    `stage` is text, json, schema or range, the highest rung reached before any distance is asked. The
    errors are infinite where nothing was read; the true place is the reference's, given to 0.1 degrees (at
    most 8 km off).

    Raises:
        ValueError: a reference that is not coordinates.
    """
    rows = predictions[predictions["task"] == "seismic_coordinates"].reset_index(drop=True)
    details = [
        score_coordinates(answer, _place(reference), -1.0).details
        for answer, reference in zip(rows["answer"], rows["reference"], strict=True)
    ]
    rows["stage"] = pd.Series([detail["stage"] for detail in details], index=rows.index, dtype=object)
    for column in ("error_km", "lenient_error_km"):
        errors = np.array([detail[column] for detail in details], dtype=np.float64)
        rows[column] = np.where(np.isnan(errors), np.inf, errors)
    return rows


def coordinate_ladder(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    *,
    rng: np.random.Generator,
    tolerances_km: Sequence[float] = (1000.0, 500.0, 250.0),
    resamples: int = 2000,
    level: float = 0.95,
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
    tables = [
        accuracy_table(
            rows.assign(reached=share.astype(float)),
            by,
            rng=rng,
            value="reached",
            resamples=resamples,
            level=level,
        ).assign(rung=name)
        for name, share in rungs.items()
    ]
    return pd.concat(tables, ignore_index=True)[[*by, "rung", *ESTIMATE_COLUMNS]]


def coordinate_errors(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    *,
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """Median great-circle error in km, an unread answer being infinitely far off, by group.

    Returns:
        The columns `by`, then `ESTIMATE_COLUMNS`; infinite where half of the answers or more could not be
        read.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = [
        estimate_row(
            key,
            by,
            group,
            median_interval(
                group["error_km"], group["seed"], group["image"], rng, resamples=resamples, level=level
            ),
        )
        for key, group in groups(coordinate_rows(predictions), by)
    ]
    return pd.DataFrame(rows, columns=[*by, *ESTIMATE_COLUMNS])


def _place(reference: str) -> dict[str, float]:
    place = parse_coordinates(reference)
    if place is None:
        raise ValueError(
            f'the reference {reference!r} is not of the form {{"latitude": -12.4, "longitude": 143.9}}'
        )
    return {"latitude": place[0], "longitude": place[1]}
