"""Tests of two backbones on the same items: is more gained than lost, and do right and wrong go together?

In:  the predictions table of predict.py: one split and one condition, every run on the same items.
Out: a table of p-values by pair, for the instances notebook, beside the intervals of agreement_tables.py.

McNemar's (1947) exact test asks whether more items are gained than lost; Fisher's exact test whether being right is
associated over all items; Cochran's, Mantel's and Haenszel's (1959) whether it is within strata.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import chi2, fisher_exact
from statsmodels.stats.contingency_tables import StratifiedTable, mcnemar
from statsmodels.stats.multitest import multipletests

from barnlib.analyses.agreement import coefficients
from barnlib.analyses.instances import STRATA, pairs, solved
from barnlib.analyses.metrics import groups


def pair_tests(
    predictions: pd.DataFrame, by: Sequence[str] = ("task",), *, strata: Sequence[str] = STRATA
) -> pd.DataFrame:
    """Tests of exchange and association for every pair: backbones by majority over seeds, seeds run by run.

    All take items as independent; with several questions on an image their p is too small, which the intervals of
    `agreement_table` are not.

    Returns:
        `kind`, `a`, `b`, `seed_a`, `seed_b`, the columns `by`, `items`, `gained`, `lost` (numbers of items);
        `p_mcnemar` (exact) and `p_holm` (of it, over all pairs of backbones in the table); `phi` and `p_phi` (Fisher's
        exact test of the pooled table); `odds_ratio` (Mantel and Haenszel's, within strata) and `p_cmh` (Cochran,
        Mantel and Haenszel), NaN where every stratum has a side that is all right or all wrong. Raises as
        `instances.solved`.
    """
    table = solved(predictions)
    items = table.index.to_frame(index=False)
    grouped = list(groups(items, by))
    wanted = [pair for pair in pairs(table) if (pair.view == "majority") == (pair.kind == "backbones")]
    rows = []
    for pair in wanted:
        for key, group in grouped:
            cells = [
                _two_by_two(pair.before[part.index], pair.after[part.index])
                for _, part in group.groupby(list(strata), sort=False)
            ]
            labels = {name: value for name, value in pair.labels.items() if name != "view"}
            rows.append({**labels, **dict(zip(by, key, strict=True)), **_tests(np.array(cells))})
    columns = ("items", "gained", "lost", "p_mcnemar", "phi", "p_phi", "odds_ratio", "p_cmh")
    names = ["kind", "a", "b", "seed_a", "seed_b", *by, *columns]
    found = pd.DataFrame(rows, columns=names).astype({"seed_a": "Int64", "seed_b": "Int64"})
    found["p_holm"] = np.nan
    family = found["kind"] == "backbones"
    if family.any():
        found.loc[family, "p_holm"] = multipletests(found.loc[family, "p_mcnemar"], method="holm")[1]
    return found


def _two_by_two(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> list[list[int]]:
    """[[both, only before], [only after, neither]]."""
    return [
        [int((before & after).sum()), int((before & ~after).sum())],
        [int((~before & after).sum()), int((~before & ~after).sum())],
    ]


def _tests(tables: NDArray[np.int64]) -> dict[str, float]:
    """Tests of one pair from int64[strata, 2, 2]."""
    pooled = tables.sum(0)
    margins = [np.array([t[0].sum(), t[1].sum(), t[:, 0].sum(), t[:, 1].sum()]) for t in tables]
    telling = [table for table, margin in zip(tables, margins, strict=True) if (margin > 0).all()]
    flat = pooled.reshape(1, 1, 4).astype(float)
    phi = coefficients(np.concatenate([flat, np.zeros((1, 1, 1))], axis=2))["phi_pooled"][0]
    found = {
        "items": int(pooled.sum()),
        "gained": int(pooled[1, 0]),
        "lost": int(pooled[0, 1]),
        "p_mcnemar": float(mcnemar(pooled, exact=True).pvalue),
        "phi": float(phi),
        "p_phi": float(fisher_exact(pooled).pvalue),
    }
    if not telling:
        return {**found, "odds_ratio": float("nan"), "p_cmh": float("nan")}
    with np.errstate(divide="ignore", invalid="ignore"):
        stratified = StratifiedTable([table.astype(float) for table in telling])
        odds, test = float(stratified.oddsratio_pooled), stratified.test_null_odds(correction=False)
    # of the upper tail itself: statsmodels' own p is 1 less the rest, which is 0 below 1e-16
    return {**found, "odds_ratio": odds, "p_cmh": float(chi2.sf(test.statistic, 1))}
