"""What the hidden states say, in words: titles of charts, and the lines at the end of the notebook.

In:  tables of representation_tables.py, alignment.py and state_probes.py.
Out: texts in which every figure comes from a table. Next: representations.ipynb.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from barnlib.data.records import TASKS
from barnlib.report.findings import spread
from barnlib.states_table import States
from barnlib.tasks.registry import TASK_TITLES

ALL_TASKS = "All tasks"
VIEW_TITLES = {
    "noise": "noise on the picture",
    "blur": "blurred picture",
    "occlusion": "a part hidden",
    "paraphrase": "another wording",
    "swapped": "another picture",
}
DISTURBED = ("noise", "blur", "occlusion", "paraphrase")  # the views that claim C4 is about
NOTHING = "Nothing to compare"


def with_task_titles(table: pd.DataFrame) -> pd.DataFrame:
    """The table with each task's title in place of its name, `ALL_TASKS` in place of None, all tasks first."""
    titles: dict[str | None, str] = {None: ALL_TASKS}
    titles.update(TASK_TITLES)
    order = {name: number for number, name in enumerate([ALL_TASKS, *(TASK_TITLES[task] for task in TASKS)])}
    named = table.assign(task=[titles[None if pd.isna(task) else task] for task in table["task"]])
    return named.sort_values("task", key=lambda tasks: tasks.map(order), kind="stable")


def by_view(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several views as one, with a column ``view`` of their titles."""
    return pd.concat(
        [table.assign(view=VIEW_TITLES[view]) for view, table in tables.items()], ignore_index=True
    )


def share_of_swap(table: pd.DataFrame) -> pd.DataFrame:
    """How far each disturbance moves an item, over how far another picture does: `backbone`, `view`, `share`.

    Args:
        table: `by_view` of summaries. Only rows over all tasks are used, and not the view of another wording, which
            does not touch the picture. NaN where another picture moves nothing.
    """
    whole = table[table["task"].isna()]
    titles = [VIEW_TITLES[view] for view in ("noise", "blur", "occlusion")]
    swapped = whole[whole["view"] == VIEW_TITLES["swapped"]].set_index("backbone")["estimate"]
    rows = whole[whole["view"].isin(titles)]
    reach = rows["backbone"].map(swapped)
    return rows.assign(share=rows["estimate"] / reach.where(reach > 0))[["backbone", "view", "share"]]


def absent(runs: Sequence[States], measure: str, titles: Mapping[str, str]) -> str:
    """Why some backbones have no such measure, or an empty text where all have it."""
    reasons = {run.backbone: run.absent[measure] for run in runs if measure in run.absent}
    return "; ".join(f"{titles[backbone]}: {reason}" for backbone, reason in reasons.items())


def range_title(table: pd.DataFrame, group: str, titles: Mapping[str, str]) -> str:
    """`findings.spread` of the rows that have an estimate."""
    known = table.dropna(subset=["estimate"])
    return spread(known, group, titles) if len(known) else NOTHING


def last_layer_title(table: pd.DataFrame, group: str, titles: Mapping[str, str]) -> str:
    """The highest and the lowest estimate of the last layers."""
    last = table[table["depth"] == 1.0].dropna(subset=["estimate"])
    if last.empty:
        return NOTHING
    return f"In the last layer: {_lower(spread(last, group, titles))}"


def probe_title(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The highest and the lowest score of the last layers, accuracies and R² apart, for they share no scale.

    Args:
        table: `state_probes.probe_table`.
    """
    last = table[table["depth"] == 1.0].dropna(subset=["estimate"])
    told = [
        f"{measure} {_lower(spread(rows, 'target', titles, '.2f'))}"
        for measure, rows in last.groupby("measure", sort=False)
    ]
    return f"In the last layer: {'; '.join(told)}" if told else NOTHING


def _lower(text: str) -> str:
    """A title as part of another one; a backbone's name stays as it is."""
    first = text.split(" ", 1)[0]
    return text[0].lower() + text[1:] if first in ("From", "All") else text


def alignment_title(table: pd.DataFrame) -> str:
    """How alike the last layers of different backbones are, and of different seeds, on average."""
    top = table.groupby(["a", "b"])[["layer_a", "layer_b"]].transform("max")
    last = table[(table["layer_a"] == top["layer_a"]) & (table["layer_b"] == top["layer_b"])].dropna(
        subset=["estimate"]
    )
    if last.empty:
        return NOTHING
    seeds = last["a"] == last["b"]
    told = [
        f"{what} {last.loc[rows, 'estimate'].mean():.2f}"
        for what, rows in (("two backbones", ~seeds), ("two seeds of one", seeds))
        if rows.any()
    ]
    return f"Alignment of the last layers: {', '.join(told)}"


def neighbour_title(table: pd.DataFrame) -> str:
    """How often, over pairs of backbones and tasks, more neighbours are shared than exchanged items would."""
    above = (table["estimate"] > table["chance_high"]).sum()
    return (
        f"In {above} of {len(table)} comparisons, a pair on a task, more neighbours are shared than by chance"
    )


def against_chance(table: pd.DataFrame, titles: Mapping[str, str]) -> pd.DataFrame:
    """A `neighbour_table` for ``charts.references``: what is shared and what chance shares as rows of two kinds."""
    columns = ["target", "kind", "estimate", "low", "high", "images", "seeds"]
    tasks = with_task_titles(table)
    target = [
        f"{task}: {titles[a]}, {titles[b]}"
        for task, a, b in zip(tasks["task"], tasks["a"], tasks["b"], strict=True)
    ]
    tasks = tasks.assign(target=target)
    shared = tasks.assign(kind="shared")
    chance = tasks.assign(
        kind="items exchanged at random",
        estimate=tasks["chance"],
        low=tasks["chance_low"],
        high=tasks["chance_high"],
    )
    return pd.concat([shared, chance])[columns]


def steadier_line(compared: pd.DataFrame, what: str, titles: Mapping[str, str], *, more: bool) -> str:
    """One line of Markdown: is the newest backbone steadier than the oldest, over all tasks?

    Args:
        compared: `representation_tables.compared`.
        what: the measure in words.
        more: whether more of it is steadier (agreement), or less (displacement, drift).
    """
    whole = compared[compared["task"].isna()].dropna(subset=["estimate", "low", "high"])
    if whole.empty:
        return f"**{what}**: there is nothing to compare."
    row = whole[whole["a"] == whole["a"].iloc[0]].iloc[-1]
    a, b = titles[row["a"]], titles[row["b"]]
    if row["low"] <= 0 <= row["high"]:
        said = f"no difference between {b} and {a} can be told from zero"
    else:
        said = f"{b} is {'steadier' if (row['estimate'] > 0) == more else 'less steady'} than {a}"
    return f"**{what}**: {said} (difference {row['estimate']:+.3f}, {row['low']:+.3f} to {row['high']:+.3f})."
