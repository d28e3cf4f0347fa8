"""Where coordinate answers are drawn to: the middle of the training epicentres, or a few favourite places.

In:  the predictions table of predict.py, and rows of the same shape from baselines.py.
Out: tables of estimates as in metrics.py, and of answered places for the map, for the notebook on coordinates.

Only answers that can be read have a place; the tables say how many there are. Longitudes are taken on the card's map,
whose left edge lies at 30 W, because that is where a picture of them jumps.
"""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd

from barnlib.analyses.baselines import MAP_EDGE_DEG
from barnlib.analyses.coordinates import coordinate_rows
from barnlib.analyses.intervals import Resampling
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, check_predictions, ratio_table
from barnlib.data.answers import parse_coordinates

AXES = ("latitude", "longitude")


def answered_places(predictions: pd.DataFrame) -> pd.DataFrame:
    """The coordinate answers that can be read, with the columns below beside those of the table.

    `latitude`, `longitude`, `true_latitude`, `true_longitude`: degrees; the longitudes on the map, from -30 to 330.
    """
    rows = coordinate_rows(predictions)
    given = [parse_coordinates(answer) for answer in rows["answer"]]
    read = rows[[place is not None for place in given]].reset_index(drop=True)
    places = np.array([place for place in given if place is not None], dtype=np.float64).reshape(-1, 2)
    true = np.array([parse_coordinates(text) for text in read["reference"]], dtype=np.float64).reshape(-1, 2)
    return read.assign(
        latitude=places[:, 0],
        longitude=on_map(places[:, 1]),
        true_latitude=true[:, 0],
        true_longitude=on_map(true[:, 1]),
    )


def on_map(longitude_deg: np.ndarray) -> np.ndarray:
    """Longitudes brought into -30 to 330 degrees, where the card's map shows them."""
    return (longitude_deg - MAP_EDGE_DEG) % 360 + MAP_EDGE_DEG


def pull(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """How answers follow the truth, by axis: slope of answer on truth, and mean error.

    A slope of 1 follows the truth, 0 answers the same wherever the earthquake is: what lies between has been drawn to
    the middle. It is the least-squares slope, about the means of truths and answers in the group; resamples keep these
    means, a matter of second order. A mean error of longitude above 0 lies to the east on the map.

    Returns:
        The columns `by`, then `axis`, `measure` ("slope" or "mean error, degrees") and `ESTIMATE_COLUMNS`, over the
        answers that can be read. Slopes are NaN where the truth does not vary.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = answered_places(predictions)
    tables = []
    for axis in AXES:
        true, given = rows[f"true_{axis}"], rows[axis]
        away, answered_away = (_centred(rows, by, column) for column in (f"true_{axis}", axis))
        ratios = {  # answers less their mean: else a resample whose truths are off centre would move the slope
            "slope": (away * answered_away, away**2),
            "mean error, degrees": (given - true, np.ones(len(rows))),
        }
        tables.append(ratio_table(rows, by, ratios, **how).assign(axis=axis))
    return pd.concat(tables, ignore_index=True)[[*by, "axis", "measure", *ESTIMATE_COLUMNS]]


def _centred(rows: pd.DataFrame, by: Sequence[str], column: str) -> pd.Series:
    """A column less its mean in each group."""
    means = rows.groupby(list(by), sort=False)[column].transform("mean") if by else rows[column].mean()
    return rows[column] - means


def favourites(places: pd.DataFrame, *, cell_deg: float = 6.0) -> pd.DataFrame:
    """How often answers fall into each cell of the map, and how often the truth does.

    Args:
        places: as `answered_places` gives them.
        cell_deg: height and width of a cell.

    Returns:
        One row per backbone and cell with an answer: `backbone`, `latitude` and `longitude` (of the cell's middle),
        `answers`, `share` (of the backbone's readable answers) and `true_share` (of the same items' epicentres).
    """
    cell = {axis: _middle(places[axis], cell_deg) for axis in AXES}
    true = {axis: _middle(places[f"true_{axis}"], cell_deg) for axis in AXES}
    keys = ["backbone", *AXES]
    counts = places.assign(**cell).groupby(keys, sort=False).size().rename("answers").reset_index()
    truths = places.assign(**true).groupby(keys, sort=False).size().rename("truths").reset_index()
    totals = places.groupby("backbone", sort=False).size()
    table = counts.merge(truths, on=keys, how="left").fillna({"truths": 0})
    total = table["backbone"].map(totals).astype(float)
    table = table.assign(share=table["answers"] / total, true_share=table["truths"] / total)
    return table.drop(columns="truths")


def _middle(degrees: pd.Series, cell_deg: float) -> pd.Series:
    return (np.floor(degrees / cell_deg) + 0.5) * cell_deg
