"""What the newest backbone gains over the oldest, task by task, and whether it gains more on one task than on another.

In:  the predictions table of predict.py, or that of several encoders (encoder_swaps.py).
Out: tables of estimates as in metrics.py, for the notebook on the bottleneck.
"""

from collections.abc import Sequence
from typing import Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from barnlib.intervals import Resampling, resampled_variance
from barnlib.metrics import ESTIMATE_COLUMNS, paired_differences
from barnlib.replicates import centred


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
    rng: np.random.Generator,
    resamples: int = 2000,
    level: float = 0.95,
) -> pd.DataFrame:
    """How much more a change of backbone gains on one task than on another.

    The tasks have pictures of their own, which are resampled apart; the seeds are the same, and are resampled together.
    The interval is made as in intervals.py, from standard errors with Student's quantiles, but for one thing: chance
    that belongs to one run on one picture is counted with pictures and with seeds, so it errs on the wide side.

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
    cells = {
        task: [table.loc[seeds, name].to_numpy(np.float64) for name in ("sum", "count")]
        for task, table in wide.items()
    }
    estimate = _apart(cells, tasks)
    by_image = sum(
        resampled_variance(sums.sum(0), counts.sum(0), rng, resamples) for sums, counts in cells.values()
    )
    by_seed = _seed_variance(cells, tasks, rng, resamples) if len(seeds) > 1 else 0.0
    pictures = min(table["sum"].shape[1] for table in wide.values())
    interval = centred(estimate, by_image, by_seed, by_seed, pictures, len(seeds), level, (-2.0, 2.0))
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


def _apart(cells: dict[str, list[NDArray[np.float64]]], tasks: tuple[str, str]) -> float:
    first, second = (float(cells[task][0].sum() / cells[task][1].sum()) for task in tasks)
    return second - first


def _seed_variance(
    cells: dict[str, list[NDArray[np.float64]]],
    tasks: tuple[str, str],
    rng: np.random.Generator,
    resamples: int,
) -> float:
    seeds = len(cells[tasks[0]][0])
    drawn = rng.integers(seeds, size=(resamples, seeds - 1))
    means = [cells[task][0].sum(1)[drawn].sum(1) / cells[task][1].sum(1)[drawn].sum(1) for task in tasks]
    return float(np.var(means[1] - means[0], ddof=1))
