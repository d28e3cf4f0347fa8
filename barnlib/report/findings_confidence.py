"""How well confidence keeps its word, in words, and the tables that the confidence notebook draws.

In:  tables of calibration_tables.py, calibration_curves.py and confidence.py.
Out: tables and titles. Every figure comes from a table.
"""

from collections.abc import Mapping

import pandas as pd

from barnlib.analyses.confidence import Candidates
from barnlib.report.findings import titled

DEFINITION_TITLES = {
    "primary": "primary (share of the list)",
    "whole": "whole answer",
    "per_byte": "per byte",
    "first_token": "first token",
    "token_mean": "mean token",
    "scaled": "after temperature scaling",
}
MEASURE_TITLES = {
    "ece_debiased": "calibration error (debiased)",
    "ece": "calibration error",
    "squared_error": "squared calibration error",
    "brier": "Brier score",
    "auroc": "AUROC",
    "aurc": "area under risk–coverage",
    "excess_aurc": "excess area under risk–coverage",
    "overconfidence": "overconfidence",
}
HALF = 0.5  # probability of a whole answer that serves as the example of token means


def known(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows of a table of estimates with these values that have an estimate."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table[table["estimate"].notna()]


def reliability_title(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The finding of the reliability diagrams: which backbones say more, or less, than they keep.

    Args:
        table: estimates of ``overconfidence`` by backbone.
    """
    over = [titles[row.backbone] for row in table.itertuples() if row.low > 0]
    under = [titles[row.backbone] for row in table.itertuples() if row.high < 0]
    named = ((over, "overconfident"), (under, "underconfident"))
    told = [f"{', '.join(names)} {word}" for names, word in named if names]
    if not told:
        return "No backbone is sure to be over- or underconfident on average"
    return f"On average: {'; '.join(told)}"


def chance_title(table: pd.DataFrame) -> str:
    """The finding of the comparison with chance: how many errors a calibrated predictor would hardly show."""
    outside = int((table["estimate"] > table["null_high"]).sum())
    return f"{outside} of {len(table)} calibration errors lie above what perfect calibration shows by chance"


def temperature_title(fitted: pd.DataFrame) -> str:
    """The finding of temperature scaling: how many runs were overconfident, a temperature above one."""
    usable = fitted[fitted["temperature"].notna()]
    if usable.empty:
        return "No temperature could be fitted"
    hot = int((usable["temperature"] > 1).sum())
    edge = int(usable["at_edge"].sum())
    rest = f"; {edge} lie at the edge of the range, without an optimum" if edge else ""
    return f"{hot} of {len(usable)} temperatures lie above 1, which lowers confidence{rest}"


def ranking_title(ranks: pd.DataFrame) -> str:
    """The finding of the definitions: in how many of the other definitions and measures the order is the same."""
    others = ranks[(ranks["definition"] != ranks["definition"].iloc[0]) & ranks["order"].notna()]
    if others.empty:
        return "There is no second definition to compare"
    return (
        f"{others['agrees'].sum()} of {len(others)} other rankings keep the order of the primary confidence"
    )


def ranking_table(ranks: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Rankings with titles for names, one row a definition, one column a measure; ``*`` where the order is another."""
    texts = []
    for row in ranks.itertuples():
        names = "" if pd.isna(row.order) else " > ".join(titles[name] for name in row.order.split(" > "))
        texts.append(f"{names} ({row.held:.0%}){'' if row.agrees else ' *'}" if names else "–")
    table = ranks.assign(
        text=texts,
        definition=ranks["definition"].map(DEFINITION_TITLES),
        measure=ranks["measure"].map(MEASURE_TITLES),
    )
    wide = table.pivot(index="definition", columns="measure", values="text")
    return wide.reindex(table["definition"].unique())


def tokens_per_answer(predictions: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Into how many tokens each backbone's tokenizer cuts the same reference answers, and what that does to a mean.

    Returns:
        One row for each task and backbone: `tokens` (mean, end of answer included), `bytes`, and
        `mean of a half`: the token mean of an answer of average length whose whole probability is a half.
    """
    once = predictions.drop_duplicates(["backbone", "item"])
    once = once.assign(size=[len(text.encode()) for text in once["reference"]])
    table = once.groupby(["task", "backbone"], sort=False).agg(
        tokens=("reference_tokens", "mean"), bytes=("size", "mean")
    )
    table["mean of a half"] = HALF ** (1 / table["tokens"])
    table = titled(table.reset_index())
    return table.assign(backbone=table["backbone"].map(titles)).set_index(["task", "backbone"])


def off_the_list(answers: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """Of answers to questions with a closed list, the share off the list, and the share that is not its likeliest.

    Args:
        answers: rows of `confidence.with_confidence`.
    """
    lists = Candidates.of(answers)
    rows = answers.assign(off=~(lists.given >= 0), other=lists.given != lists.logprobs.argmax(1))[lists.exist]
    table = rows.groupby("backbone", sort=False).agg(
        answers=("item", "size"), off=("off", "mean"), other=("other", "mean")
    )
    table.index = [titles[name] for name in table.index]
    return table.rename(columns={"off": "off the list", "other": "not the likeliest of the list"})


def decomposition(estimates: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The Brier score and its parts, one row for each task and backbone."""
    parts = ["brier", "reliability", "resolution", "uncertainty", "within"]
    rows = titled(estimates[estimates["measure"].isin(parts)])
    rows = rows.assign(backbone=rows["backbone"].map(titles))
    wide = rows.pivot(index=["task", "backbone"], columns="measure", values="estimate")[parts]
    return wide.reindex(pd.MultiIndex.from_frame(rows[["task", "backbone"]].drop_duplicates()))
