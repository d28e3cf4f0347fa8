"""Which items are gained, lost and kept between two backbones, and between two seeds of one backbone.

In:  the predictions table of predict.py: one split and one condition, every run on the same items.
Out: one row per item and pair for the gallery, and tables of shares with exact McNemar tests,
     which charts and the results notebook show.

Two backbones of equal accuracy may solve different items, but so do two seeds of one backbone. So every pair of
backbones stands beside pairs of seeds, and always by question type as well: a mix of easy and hard types alone
makes items look exchanged or shared.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Unpack

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar

from barnlib.analyses.intervals import Resampling, ratio_interval
from barnlib.analyses.metrics import groups, require_columns

ITEM_COLUMNS = ("task", "question_type", "difficulty", "image", "item")
STRATA = ("question_type", "difficulty")  # items alike in these are one stratum
OUTCOMES = ("kept", "gained", "lost", "neither")  # right in both, only in b, only in a, in none


def solved(predictions: pd.DataFrame) -> pd.DataFrame:
    """Which item each run solves.

    Returns:
        bool; rows are items (index `ITEM_COLUMNS`), columns runs (`backbone`, `seed`), both in order of appearance.

    Raises:
        ValueError: a missing column, several splits or conditions, an item answered twice by a run, or a run that
            has not answered every item.
    """
    require_columns(predictions, (*ITEM_COLUMNS, "backbone", "seed", "split", "condition", "correct"))
    for column in ("split", "condition"):
        found = predictions[column].unique()
        if len(found) > 1:
            raise ValueError(f"column '{column}' mixes {', '.join(map(str, found))}; filter the table first")
    if predictions.duplicated(["backbone", "seed", "item"]).any():
        raise ValueError("a run answers an item twice; was one evaluation read two times?")
    runs = predictions[["backbone", "seed"]].drop_duplicates()
    items = pd.MultiIndex.from_frame(predictions[list(ITEM_COLUMNS)].drop_duplicates())
    wide = predictions.set_index([*ITEM_COLUMNS, "backbone", "seed"])["correct"].unstack(["backbone", "seed"])
    lacking = wide.isna().sum()
    if lacking.any():
        backbone, seed = lacking.idxmax()
        raise ValueError(
            f"{backbone} seed {seed} has not answered {lacking.max()} of {len(wide)} items: exchange needs the same "
            "items for every run"
        )
    return wide.loc[items, pd.MultiIndex.from_frame(runs)].astype(bool)


def majority(table: pd.DataFrame) -> pd.DataFrame:
    """Items that more than half of a backbone's seeds solve: bool, rows as in `solved`, one column per backbone."""
    backbones = table.columns.get_level_values("backbone").unique()
    return pd.DataFrame({name: table[name].mean(axis=1) > 0.5 for name in backbones}, index=table.index)


@dataclass(frozen=True)
class Pair:
    """Two columns of right and wrong that are compared.

    Attributes:
        kind: `backbones`, or `seeds` of one backbone, the floor.
        view: `majority` over seeds, or `runs`, one run against one run.
        a, b: names of the backbones, equal for seeds.
        seed_a, seed_b: seeds of the runs, None for a majority.
        before, after: bool[items], what a and b solve.
    """

    kind: str
    view: str
    a: str
    b: str
    seed_a: int | None
    seed_b: int | None
    before: np.ndarray
    after: np.ndarray

    @property
    def labels(self) -> dict[str, Any]:
        """What names the pair in a table."""
        return {name: getattr(self, name) for name in PAIR_COLUMNS}

    @property
    def outcomes(self) -> np.ndarray:
        """One of `OUTCOMES` for each item."""
        before, after = self.before, self.after
        chosen = [before & after, ~before & after, before & ~after]
        return np.select(chosen, np.array(OUTCOMES[:3], dtype=object), default=OUTCOMES[3])


PAIR_COLUMNS = ("kind", "view", "a", "b", "seed_a", "seed_b")


def pairs(table: pd.DataFrame) -> Iterator[Pair]:
    """Every pair of a `solved` table: backbones by majority, their runs (all seeds with all), seeds of one backbone."""
    by_majority = majority(table)
    backbones = list(by_majority)
    for a, b in combinations(backbones, 2):
        yield Pair(
            "backbones", "majority", a, b, None, None, by_majority[a].to_numpy(), by_majority[b].to_numpy()
        )
        for seed_a, seed_b in product(table[a], table[b]):
            yield _of_runs("backbones", table, (a, seed_a), (b, seed_b))
    for name in backbones:
        for seed_a, seed_b in combinations(table[name], 2):
            yield _of_runs("seeds", table, (name, seed_a), (name, seed_b))


def changes(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per pair and item.

    Returns:
        `PAIR_COLUMNS`, then `ITEM_COLUMNS`, then `outcome` (one of `OUTCOMES`). Raises as `solved`.
    """
    table = solved(predictions)
    items = table.index.to_frame(index=False)
    parts = [items.assign(**pair.labels, outcome=pair.outcomes) for pair in pairs(table)]
    columns = [*PAIR_COLUMNS, *ITEM_COLUMNS, "outcome"]
    return _seeds_as_integers(
        pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)
    )


def change_table(
    predictions: pd.DataFrame,
    by: Sequence[str] = ("task",),
    **how: Unpack[Resampling],
) -> pd.DataFrame:
    """Shares gained, lost, kept and neither, by pair and group, with the net change and an exact McNemar test.

    The interval of the net change (gained less lost) is clustered by image; it holds for these two sets of
    answers, not for other seeds, which `metrics.paired_differences` covers. McNemar's test (1947; the exact
    binomial form) takes items as independent, so with several questions on an image its p is too small.

    Args:
        by: some of `ITEM_COLUMNS`; () for all items together.

    Returns:
        `PAIR_COLUMNS`, the columns `by`, `items`, `images`, `gained`, `lost`, `kept`, `neither` (shares of items),
        `discordant` (number of items gained or lost), `net`, `low`, `high`, `p`. Raises as `solved`.
    """
    table = solved(predictions)
    items = table.index.to_frame(index=False)
    grouped = list(groups(items, by))
    rows = [
        {
            **pair.labels,
            **dict(zip(by, key, strict=True)),
            **_exchange(pair.before[group.index], pair.after[group.index], group["image"], **how),
        }
        for pair in pairs(table)
        for key, group in grouped
    ]
    numbers = (
        "items",
        "images",
        "gained",
        "lost",
        "kept",
        "neither",
        "discordant",
        "net",
        "low",
        "high",
        "p",
    )
    return _seeds_as_integers(pd.DataFrame(rows, columns=[*PAIR_COLUMNS, *by, *numbers]))


def exchange_over_runs(table: pd.DataFrame, by: Sequence[str] = ("task",)) -> pd.DataFrame:
    """Mean shares over pairs of runs with different seeds: backbones against the floor of seeds alone.

    Only pairs of different seeds count on both sides, so that a pair of backbones differs from the floor by the
    backbone and nothing else. Where a study has a single seed there is no floor, and all pairs are taken.

    Args:
        table: a `change_table` by the columns `by`.

    Returns:
        `kind`, `a`, `b`, the columns `by`, `gained`, `lost`, `exchanged` (their sum), `run_pairs`.
    """
    runs = table[table["view"] == "runs"]
    different = runs[runs["seed_a"] != runs["seed_b"]]
    runs = runs if different.empty else different
    runs = runs.assign(exchanged=runs["gained"] + runs["lost"])
    grouped = runs.groupby(["kind", "a", "b", *by], sort=False)
    means = grouped[["gained", "lost", "exchanged"]].mean()
    return means.assign(run_pairs=grouped.size()).reset_index()


def _of_runs(kind: str, table: pd.DataFrame, a: tuple[str, int], b: tuple[str, int]) -> Pair:
    return Pair(kind, "runs", a[0], b[0], a[1], b[1], table[a].to_numpy(), table[b].to_numpy())


def _exchange(
    before: np.ndarray, after: np.ndarray, images: pd.Series, **how: Unpack[Resampling]
) -> dict[str, float]:
    gained, lost = int((~before & after).sum()), int((before & ~after).sum())
    kept = int((before & after).sum())
    neither = len(before) - gained - lost - kept
    codes, names = pd.factorize(images)
    change = np.bincount(codes, weights=after.astype(float) - before)[None]
    asked = np.bincount(codes).astype(float)[None]
    net = ratio_interval(change, asked, bounds=(-1.0, 1.0), **how)
    shares = {"gained": gained, "lost": lost, "kept": kept, "neither": neither}
    return {
        "items": len(before),
        "images": len(names),
        **{name: count / len(before) for name, count in shares.items()},
        "discordant": gained + lost,
        "net": net.estimate,
        "low": net.low,
        "high": net.high,
        "p": float(mcnemar([[kept, lost], [gained, neither]], exact=True).pvalue),
    }


def _seeds_as_integers(table: pd.DataFrame) -> pd.DataFrame:
    return table.astype({"seed_a": "Int64", "seed_b": "Int64"})
