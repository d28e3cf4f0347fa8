"""What several backbones solve together: which sets of them solve which items, and what a vote or a choice reaches.

In:  the predictions table of predict.py: one split and one condition, every run on the same items.
Out: a table of sets of backbones, and rows of predictions of ensembles for metrics.py, for the instances notebook.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from barnlib.analyses.instances import STRATA, majority, solved
from barnlib.scoring import normalise


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
