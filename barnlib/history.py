"""Learning curves: the rows that training writes, and how many steps it takes until a task is learned.

In:  `history.csv` of a run, one row for each optimiser step (step, stage, images, seconds, loss, learning_rate,
     gradient_norm) and, where validation looked, `TASK_nats`, `TASK_score` and `TASK_accuracy`.
Out: long tables for charts, and steps to the jump. No torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from barnlib.data.records import TASKS

CAPTION = "caption"  # the alignment stage's task
MEASURES = ("nats", "score", "accuracy")
LEAST_RISE = 0.1  # of the mean score; a task that rises by less has made no jump


def history_table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows of a history, each with those columns that it has, as a table with the columns in a fixed order."""
    columns = ("stage", "step", "images", "seconds", "loss", "learning_rate", "gradient_norm")
    looks = [f"{task}_{measure}" for task in (CAPTION, *TASKS) for measure in MEASURES]
    seen = {name for row in rows for name in row}
    return pd.DataFrame(rows, columns=[*columns, *(name for name in looks if name in seen)])


def read_history(path: Path) -> pd.DataFrame:
    """The history of one run, as written."""
    return pd.read_csv(path)


def validation(history: pd.DataFrame) -> pd.DataFrame:
    """The validation curves, long.

    Returns:
        One row for each look at each task: stage, step, images, seconds, task, nats (per answer, the mean over answers
        of the summed negative log-probability), score, accuracy (both greedy; NaN for captions, which nobody scores).
    """
    parts = []
    for task in (CAPTION, *TASKS):
        if f"{task}_nats" not in history:
            continue
        seen = history[history[f"{task}_nats"].notna()]
        named = {f"{task}_{m}": m for m in MEASURES}
        columns = ["stage", "step", "images", "seconds", *(name for name in named if name in seen)]
        parts.append(seen[columns].rename(columns=named).assign(task=task))
    table = pd.concat(parts, ignore_index=True)
    return table.reindex(columns=["stage", "step", "images", "seconds", "task", *MEASURES])


def steps_to_jump(history: pd.DataFrame) -> dict[str, float]:
    """Steps of finetuning until a task's mean validation score is half way between its first and its best value.

    Small models learn in jumps; with a fixed budget, scores partly measure who jumped first. The crossing is
    interpolated linearly between two looks, so it is no finer than their spacing says.

    Returns:
        For each task that was looked at, steps since finetuning began; NaN if the score never rose by `LEAST_RISE`
        above its first value.
    """
    table = validation(history)
    table = table[table["stage"] == "finetune"]
    found = {}
    for task in (name for name in TASKS if f"{name}_nats" in history):
        curve = table[(table["task"] == task) & table["score"].notna()].sort_values("step")
        steps, scores = curve["step"].to_numpy(float), curve["score"].to_numpy(float)
        found[task] = _crossing(steps, scores)
    return found


def _crossing(steps: np.ndarray, scores: np.ndarray) -> float:
    if len(scores) < 2 or scores.max() - scores[0] < LEAST_RISE:
        return float("nan")
    half = (scores[0] + scores.max()) / 2
    after = int(np.argmax(scores >= half))
    share = (half - scores[after - 1]) / (scores[after] - scores[after - 1])
    return float(steps[after - 1] + share * (steps[after] - steps[after - 1]) - steps[0])
