"""What the results say, in words: which question types were learned, and the lines of the front page.

In:  tables of estimates from :mod:`barnlib.analyses.metrics` and :mod:`barnlib.analyses.instances`.
Out: tables and Markdown for the results notebook, which glues them for the front page. Every figure comes from a table.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from barnlib.analyses.intervals import Rng
from barnlib.analyses.metrics import accuracy_table, paired_differences
from barnlib.data.records import TASKS
from barnlib.tasks.registry import TASK_TITLES

REGIONS = {"test": "regions seen in training", "heldout": "regions never seen"}
TYPE = ["backbone", "task", "question_type"]


def titled(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each task's title in place of its name, in the order of the tasks."""
    order = {task: number for number, task in enumerate(TASKS)}
    ordered = table.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable")
    return ordered.assign(task=ordered["task"].map(TASK_TITLES))


def learned(predictions: pd.DataFrame, baselines: pd.DataFrame, *, rng: Rng, resamples: int) -> pd.DataFrame:
    """Which question types each backbone answers from the picture.

    A type is learned if the score with the picture is above the score with a blank one (paired, interval above zero)
    and its interval lies above the best baseline of that type. Each row is tested on its own: nothing is corrected for
    their number.

    Args:
        predictions: one split, the conditions ``image`` and ``blank``.
        baselines: predictions of baselines that never look, same split, condition ``image``.

    Returns:
        One row per backbone and question type: task, ``estimate``, ``low``, ``high`` with the picture, ``blank``,
        ``baseline`` (the best of them), ``gain``, ``gain_low`` and ``gain_high`` of picture over blank, ``learned``.
    """
    with_picture = predictions[predictions["condition"] == "image"]
    without = predictions[predictions["condition"] == "blank"]
    table = accuracy_table(with_picture, TYPE, rng=rng, resamples=resamples)
    blank = accuracy_table(without, TYPE, rng=rng, resamples=resamples).rename(columns={"estimate": "blank"})
    guessed = accuracy_table(baselines, ["backbone", "question_type"], rng=rng, resamples=resamples)
    gain = paired_differences(
        predictions, TYPE, rng=rng, between="condition", pairs=[("blank", "image")], resamples=resamples
    ).rename(columns={"estimate": "gain", "low": "gain_low", "high": "gain_high"})
    table = beside(table.merge(blank[[*TYPE, "blank"]], on=TYPE), [guessed], "question_type", name="baseline")
    table = table.merge(gain[[*TYPE, "gain", "gain_low", "gain_high"]], on=TYPE)
    return table.assign(learned=(table["gain_low"] > 0) & (table["low"] > table["baseline"]))


def headline(accuracy: pd.DataFrame, differences: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The finding of the main chart: whether one backbone is ahead of all others everywhere, and how much is sure.

    A backbone is ahead of another on a task where the interval of their difference leaves zero out: a ranking by
    scores alone would be a finding of chance.

    Args:
        accuracy: ``accuracy_table`` by backbone and task.
        differences: ``paired_differences`` by task; without rows where there is one backbone.
    """
    tasks, names = accuracy["task"].nunique(), set(accuracy["backbone"])
    if len(names) == 1:
        return spread(titled(accuracy), "task", titles)
    sure = differences[_leaves_zero_out(differences)]
    ahead = sure["b"].where(sure["estimate"] > 0, sure["a"]).value_counts()
    for name, count in ahead.items():
        if count == tasks * (len(names) - 1):
            return f"{titles[str(name)]} is ahead of every other backbone on every task"
    return f"No backbone is ahead on every task: {apart(differences, 'differences')}"


def beside(
    table: pd.DataFrame, floors: Sequence[pd.DataFrame], on: str, *, name: str = "without looking"
) -> pd.DataFrame:
    """The table with a column of the best that any floor reaches in the same group, whichever backbone it is.

    Args:
        floors: tables of estimates: baselines, a blank picture.
        on: the column that names the group.
    """
    best = pd.concat(floors).groupby(on)["estimate"].max().rename(name)
    return table.merge(best, left_on=on, right_index=True, how="left")


def task_lines(
    accuracy: pd.DataFrame, blank: pd.DataFrame, differences: pd.DataFrame, titles: Mapping[str, str]
) -> list[str]:
    """One line of Markdown per task: every backbone's score, the blank picture's, and the largest sure difference.

    Args:
        accuracy, blank: ``accuracy_table`` by backbone and task, with the picture and with a blank one.
        differences: ``paired_differences`` by task.
        titles: title of each backbone.
    """
    lines = []
    for task in (task for task in TASKS if task in set(accuracy["task"])):
        rows = accuracy[accuracy["task"] == task].sort_values("estimate", ascending=False)
        scores = ", ".join(f"{titles[row.backbone]} {interval(row)}" for row in rows.itertuples())
        unseen = blank.loc[blank["task"] == task, "estimate"].max()
        lines.append(
            f"**{TASK_TITLES[task]}**: {scores}; with a blank picture {unseen:.0%} at most. "
            f"{_largest(differences[differences['task'] == task], titles)}"
        )
    return lines


def named_pairs(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """The table with a column ``pair`` that names ``a`` and ``b``: "LLaMA-1 → LLaMA-2", or "seeds of LLaMA-1"."""
    pairs = [
        f"seeds of {titles[a]}" if a == b else f"{titles[a]} → {titles[b]}"
        for a, b in zip(table["a"], table["b"], strict=True)
    ]
    return table.assign(pair=pd.Series(pairs, table.index, dtype=str))  # text, also where there is none


def apart(table: pd.DataFrame, what: str) -> str:
    """The finding of a chart of differences: how many of those with an interval have one that leaves zero out.

    Nothing is corrected for their number; a page that shows such a chart says so.
    """
    known = table.dropna(subset=["low", "high"])
    return f"{_leaves_zero_out(known).sum()} of {len(known)} {what} can be told from zero"


def spread(table: pd.DataFrame, group: str, titles: Mapping[str, str], format: str = ".0%") -> str:
    """The finding of a chart of estimates: the highest and the lowest, each with its group and backbone.

    Args:
        table: `backbone`, `estimate` and the column `group`; one row or more, each with an index of its own.
        format: how an estimate is written.
    """
    texts = {f"{value:{format}}" for value in table["estimate"]}
    if len(texts) == 1 and len(table) > 1:
        return f"All estimates are {texts.pop()}"
    lowest, highest = (table.loc[end] for end in (table["estimate"].idxmin(), table["estimate"].idxmax()))
    told = [
        f"{row['estimate']:{format}} ({titles[row['backbone']]}, {str(row[group]).replace('_', ' ')})"
        for row in (lowest, highest)
    ]
    return f"From {told[0]} to {told[1]}" if len(table) > 1 else told[0]


def ladder_title(ladder: pd.DataFrame) -> str:
    """The finding of the chart of the ladder: how many answers can be read, and how many are near, then very near.

    Where the backbones differ, the lowest and the highest share stand for them.

    Args:
        ladder: all rungs of ``coordinates.coordinate_ladder``, by backbone, from the widest distance to the narrowest.
    """
    shares = {str(rung): from_to(rows["estimate"]) for rung, rows in ladder.groupby("rung", sort=False)}
    distances = [rung for rung in shares if rung.startswith("within ")]
    near = [f"{rung} {shares[rung]}" for rung in dict.fromkeys([*distances[:1], *distances[-1:]])]
    return "; ".join([f"Readable {shares['range']}", *near])


def from_to(shares: pd.Series) -> str:
    """``72% to 77%``: the lowest and the highest share, or one where both are written alike.

    Only what is all or nothing is written as 100% or 0%.
    """
    return " to ".join(dict.fromkeys(_share(value) for value in (shares.min(), shares.max())))


def _share(value: float) -> str:
    rounded, fine = f"{value:.0%}", f"{value:.1%}"
    return fine if rounded in ("0%", "100%") and fine not in ("0.0%", "100.0%") else rounded


def facts_title(recall: pd.DataFrame) -> str:
    """The finding of the chart of facts: how many are right more often than without looking, and which are not.

    Args:
        recall: by backbone and ``fact``: ``low`` of its interval, and ``without looking`` (see :func:`beside`).
    """
    above = _above_the_floor(recall)
    missed = [name.replace("_", " ") for name, any_backbone in above.items() if not any_backbone]
    rest = f": not {', not '.join(missed)}" if missed and above.any() else ""
    return f"{above.sum()} of {len(above)} facts are right more often than without looking{rest}"


def facts_line(recall: pd.DataFrame) -> str:
    """One line of Markdown: which facts no backbone states rightly more often than it could without looking."""
    above = _above_the_floor(recall)
    missed = [name.replace("_", " ") for name, any_backbone in above.items() if not any_backbone]
    if not missed:
        return "**Facts of descriptions**: each is right more often than without looking, with at least one backbone."
    return (
        f"**Facts of descriptions**: no backbone has {' or '.join(missed)} right more often than the best answer "
        f"without looking; at least one has {above.sum()} of the {len(above)} facts."
    )


def _above_the_floor(recall: pd.DataFrame) -> pd.Series:
    """Of each fact, whether the interval of at least one backbone lies above the best answer without looking."""
    above = recall.assign(above=recall["low"] > recall["without looking"])
    return above.groupby("fact", sort=False)["above"].any()


def regions_line(accuracy: pd.DataFrame) -> list[str]:
    """One line of Markdown: what is left of each task where a region was never seen; none where all were seen.

    Args:
        accuracy: ``accuracy_table`` of event cards by backbone, task and split.
    """
    if "heldout" not in set(accuracy["split"]):
        return []
    told = []
    for task in (task for task in TASKS if task in set(accuracy["task"])):
        rows = accuracy[accuracy["task"] == task]
        shares = [
            f"{from_to(rows.loc[rows['split'] == split, 'estimate'])} in {region}"
            for split, region in REGIONS.items()
        ]
        told.append(f"{TASK_TITLES[task]} {', '.join(shares)}")
    return [f"**Never-seen regions**: {'; '.join(told)}."]


def exchange_title(exchanged: pd.DataFrame, between: str) -> str:
    """How much backbones exchange, on average over their pairs, and how much seeds alone, where that is known.

    Args:
        exchanged: ``kind`` and the shares ``gained`` and ``lost``, one row a pair.
        between: of what the shares are: "single runs", "majorities of seeds".
    """
    mean = exchanged.assign(share=exchanged["gained"] + exchanged["lost"]).groupby("kind")["share"].mean()
    floor = f", two seeds of one backbone {mean['seeds']:.0%}" if "seeds" in mean else ""
    return f"Between {between}, two backbones exchange {mean['backbones']:.0%} of the items{floor}"


def learned_title(table: pd.DataFrame) -> str:
    """The finding of the chart by question type: how many types at least one backbone has learned."""
    by_type = table.groupby("question_type")["learned"].any()
    return f"{by_type.sum()} of {len(by_type)} question types are learned by at least one backbone"


def learned_line(table: pd.DataFrame) -> str:
    """One line of Markdown: how many question types at least one backbone has learned, and which none has."""
    by_type = table.groupby("question_type", sort=False)["learned"].any()
    missed = [name.replace("_", " ") for name, any_backbone in by_type.items() if not any_backbone]
    rest = f"No backbone has learned {', '.join(missed)}." if missed else "None is left out."
    return (
        f"**Learned**: at least one backbone answers {by_type.sum()} of {len(by_type)} question types from the "
        f"picture, above a blank picture and above the best answer without looking. {rest} {len(table)} pairs of "
        "backbone and type were tested, and nothing is corrected for their number."
    )


def exchange_line(exchanged: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """One line of Markdown: what the step from the first to the last backbone gains and loses, beside seeds alone.

    Args:
        exchanged: ``instances.exchange_over_runs`` over all items together.
    """
    pairs = exchanged[exchanged["kind"] == "backbones"]
    if pairs.empty:
        return "**Different questions**: the study has one backbone, which exchanges nothing with another."
    row = pairs[pairs["a"] == pairs["a"].iloc[0]].iloc[-1]
    line = (
        f"**Different questions**: from a run of {titles[row['a']]} to one of {titles[row['b']]}, "
        f"{row['gained']:.0%} of the test items are gained and {row['lost']:.0%} lost"
    )
    floor = exchanged.loc[exchanged["kind"] == "seeds", "exchanged"]
    if floor.empty:
        return f"{line}; with a single seed, what chance alone exchanges is not known."
    return f"{line}; two runs of one backbone exchange {floor.mean():.0%} of them."


def interval_over(clusters: str, seeds: int) -> str:
    """What an interval speaks of, for a chart's note: a single seed varies nothing.

    Args:
        clusters: what is resampled beside the seeds: "pictures", "cards".
    """
    return f"95 % interval over {clusters}" + (f" and {seeds} seeds" if seeds > 1 else "; one seed")


def bullets(lines: Sequence[str]) -> str:
    """Lines as a Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def interval(row: Any) -> str:
    """``61% (58% to 64%)`` of a row with ``estimate``, ``low`` and ``high``."""
    return f"{row.estimate:.0%} ({row.low:.0%} to {row.high:.0%})"


def _largest(differences: pd.DataFrame, titles: Mapping[str, str]) -> str:
    if differences.empty:
        return "There is no second backbone to compare."
    sure = differences[_leaves_zero_out(differences)]
    if sure.empty:
        return "No difference between two backbones can be told from zero."
    row = sure.loc[sure["estimate"].abs().idxmax()]
    a, b, sign = (row["a"], row["b"], 1) if row["estimate"] > 0 else (row["b"], row["a"], -1)
    low, high = sorted(100 * sign * row[side] for side in ("low", "high"))
    points = f"{100 * sign * row['estimate']:.0f} points ({low:.0f} to {high:.0f})"
    return f"{titles[b]} is ahead of {titles[a]} by {points}."


def _leaves_zero_out(differences: pd.DataFrame) -> pd.Series:
    """Which differences have an interval on one side of zero."""
    return (differences["low"] > 0) | (differences["high"] < 0)
