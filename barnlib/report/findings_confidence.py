"""How well confidence keeps its word, in words, and the tables that the confidence notebook draws.

In:  tables of calibration_tables.py, calibration_curves.py and confidence.py.
Out: tables and titles. Every figure comes from a table.
"""

from collections.abc import Mapping

import pandas as pd

from barnlib.analyses.confidence import RUN_AND_TASK, Candidates
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
    "ece": "calibration error",
    "squared_error": "squared calibration error",
    "brier": "Brier score",
    "auroc": "AUROC",
    "aurc": "area under risk–coverage",
    "excess_aurc": "excess area under risk–coverage",
    "overconfidence": "overconfidence",
}
OF_RANKS = ("accuracy", "auroc", "aurc", "excess_aurc")  # measures that need no more than an order of answers
HALF = 0.5  # what a temperature moves confidence to, and the whole answer's probability in the example of token means


def known(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    """Rows of a table of estimates with these values that have an estimate."""
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table[table["estimate"].notna()]


def of_chances(table: pd.DataFrame, answers: pd.DataFrame) -> pd.DataFrame:
    """Estimates without those that would take for a chance of being right what is none.

    A share of a closed list is meant as one, and so is what has been scaled to it; the probability of a whole text is
    not, where an answer is right within tolerances and in other words too.

    Args:
        table: of ``task``, ``definition`` and ``measure``.
        answers: of :func:`~barnlib.analyses.confidence.with_confidence`.
    """
    closed = answers.loc[answers["closed_list"].notna(), "task"].unique()
    chance = table["task"].isin(closed) | (table["definition"] == "scaled")
    return table[chance | table["measure"].isin(OF_RANKS)]


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
    """The finding of temperature scaling: from where to where the temperatures of each task lie."""
    usable = titled(fitted[fitted["temperature"].notna()])
    told = []
    for task, rows in usable.groupby("task", sort=False):
        edge = int(rows["at_edge"].sum())
        rest = f", {edge} at the edge of the range" if edge else ""
        hot = f"{(rows['temperature'] > 1).sum()} of {len(rows)} above 1"
        told.append(f"{task} {_from_to(rows['temperature'], '.2f')} ({hot}{rest})")
    return f"Temperatures: {'; '.join(told)}" if told else "No temperature could be fitted"


def edge_sentence(fitted: pd.DataFrame, validation: pd.DataFrame) -> str:
    """Of runs whose temperature has no optimum: how many answers are right, and on which side of one half they lie.

    Args:
        fitted: `confidence.temperatures` of these answers.
        validation: rows of `confidence.with_confidence`.
    """
    edge = fitted.loc[fitted["at_edge"], list(RUN_AND_TASK)]
    told = []
    for task, rows in titled(validation.merge(edge, on=list(RUN_AND_TASK))).groupby("task", sort=False):
        right = rows.groupby(["backbone", "seed"])["correct"].mean()
        below = (rows["primary"] < HALF).mean()
        told.append(
            f"{task}: a run gets {_from_to(right, '.0%')} right, with a confidence below one half in {below:.0%}"
        )
    return f"At the edge, {'; '.join(told)}" if told else "No temperature lies at the edge of the range"


def _from_to(values: pd.Series, format: str) -> str:
    """The least and the largest value, or one where they read the same."""
    return " to ".join(dict.fromkeys(f"{end:{format}}" for end in (values.min(), values.max())))


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
    wide = rows.pivot(index=["task", "backbone"], columns="measure", values="estimate").reindex(columns=parts)
    return wide.reindex(pd.MultiIndex.from_frame(rows[["task", "backbone"]].drop_duplicates()))
