"""What the newest backbone gains over the oldest, task by task, and whether it gains more on one task than on another.

In:  the predictions table of predict.py, or that of several encoders (encoder_swaps.py).
Out: tables of estimates as in metrics.py, for the notebook on the bottleneck.
"""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.analyses.intervals import Resampling, Rng, ratio, resampled_variance, student_interval
from barnlib.analyses.metrics import ESTIMATE_COLUMNS, paired_differences


def gains(
    predictions: pd.DataFrame,
    oldest: str,
    newest: str,
    by: Sequence[str] = ("task",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """The score of the newest less that of the oldest backbone, paired, by task. No rows if they are the same."""
    if oldest == newest:
        return pd.DataFrame(columns=[*by, "a", "b", *ESTIMATE_COLUMNS])
    return paired_differences(predictions, by, pairs=[(oldest, newest)], **how)


def gain_difference(
    predictions: pd.DataFrame,
    oldest: str,
    newest: str,
    *,
    tasks: tuple[str, str],
    rng: Rng,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """How much more a change of backbone gains on one task than on another.

    The tasks have pictures of their own, which are resampled apart; the seeds are the same, and are resampled together.
    Chance that belongs to one run on one picture is counted with pictures and with seeds, so the interval errs on the
    wide side.

    Args:
        tasks: (a, b); the estimate is the gain on b less the gain on a.

    Returns:
        One row: `a` and `b` (the backbones) and `ESTIMATE_COLUMNS`; `items` and `images` are those of both tasks.

    Raises:
        ValueError: a task without answers, or backbones that share no seed or item.
    """
    wide = {}
    for task in tasks:
        rows = predictions[predictions["task"] == task]
        sides = [
            rows[rows["backbone"] == name].set_index(["seed", "item", "image"])["score"]
            for name in (oldest, newest)
        ]
        paired = (sides[1] - sides[0]).dropna()
        if paired.empty:
            raise ValueError(f"{oldest} and {newest} share no seed and item of task '{task}'")
        wide[task] = paired.groupby(["seed", "image"]).agg(["sum", "count"]).unstack("image", fill_value=0)
    seeds = sorted(set.intersection(*(set(table.index) for table in wide.values())))
    cells = [
        np.stack([wide[task].loc[seeds, name].to_numpy(np.float64) for name in ("sum", "count")], axis=-1)
        for task in tasks
    ]  # each float64[seeds, pictures, 2]
    by_seed = np.concatenate([cell.sum(1) for cell in cells], axis=1)
    interval = student_interval(
        float(_further(by_seed.sum(0, keepdims=True))[0]),
        sum(resampled_variance(cell.sum(0), ratio, rng, resamples) for cell in cells),
        resampled_variance(by_seed, _further, rng, resamples),
        0.0,
        min(cell.shape[1] for cell in cells),
        len(seeds),
        level=level,
        bounds=(-2.0, 2.0),
    )
    both = predictions[predictions["task"].isin(tasks) & predictions["seed"].isin(seeds)]
    row = {
        "a": oldest,
        "b": newest,
        **vars(interval),
        "items": both["item"].nunique(),
        "images": both["image"].nunique(),
        "seeds": len(seeds),
    }
    return pd.DataFrame([row])


def _further(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of the second task less that of the first: of float64[n, 4], sum and count of each."""
    return ratio(sums[:, 2:]) - ratio(sums[:, :2])
