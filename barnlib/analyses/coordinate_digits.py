"""Which digit of a coordinate goes wrong.

In:  the predictions table of predict.py, and rows of the same shape from baselines.py.
Out: tables of estimates as in metrics.py, by place of the digit, for the notebook on coordinates.

Answers state degrees with one decimal. Written out, a latitude has a sign and three digits, a longitude a sign and
four; an answer with other decimals is rounded first. Tokenizers cut the same digits differently (one by one, or in
groups of up to three), which is why the places are compared and not the tokens.
"""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd

from barnlib.analyses.coordinates import coordinate_rows
from barnlib.analyses.intervals import Resampling
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, check_predictions, share_table
from barnlib.data.answers import parse_coordinates

PLACES = (
    *(f"latitude {place}" for place in ("sign", "tens", "ones", "tenths")),
    *(f"longitude {place}" for place in ("sign", "hundreds", "tens", "ones", "tenths")),
)


def digits(latitude_deg: float, longitude_deg: float) -> str:
    """The sign and digits of both coordinates, one character for each of `PLACES`: -12.4, 143.9 is "-124+1439".

    Zero counts as positive.
    """
    return "".join(
        f"{'-' if tenths < 0 else '+'}{abs(tenths):0{width}d}"
        for tenths, width in ((round(10 * latitude_deg), 3), (round(10 * longitude_deg), 4))
    )


def digit_errors(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("backbone",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """How often each place is wrong, and how often it is the first of its number that is.

    Returns:
        The columns `by`, then `place` (one of `PLACES`), `measure` and `ESTIMATE_COLUMNS`. Measure `wrong`: of all
        answers, the share that do not have the right digit here, the unreadable ones among them. Measure `first
        wrong`: the share of all answers that are readable, right in every place of this number before, and wrong here.
    """
    check_predictions(predictions, (*by, "task", "answer", "reference"), by)
    rows = coordinate_rows(predictions)
    given = [parse_coordinates(answer) for answer in rows["answer"]]
    true = [parse_coordinates(reference) for reference in rows["reference"]]
    readable = np.array([place is not None for place in given], dtype=bool)
    wrong = np.ones((len(rows), len(PLACES)), dtype=bool)
    for number, (answered, truth) in enumerate(zip(given, true, strict=True)):
        if answered is not None and truth is not None:
            wrong[number] = [a != b for a, b in zip(digits(*answered), digits(*truth), strict=True)]
    tables = []
    for column, place in enumerate(PLACES):
        start = 0 if place.startswith("latitude") else PLACES.index("longitude sign")
        first = readable & wrong[:, column] & ~wrong[:, start:column].any(1)
        shares = {"wrong": wrong[:, column], "first wrong": first}
        tables.append(share_table(rows, by, shares, name="measure", **how).assign(place=place))
    return pd.concat(tables, ignore_index=True)[[*by, "place", "measure", *ESTIMATE_COLUMNS]]
