"""What the bottleneck analyses say, in words: titles of their charts, every figure from a table.

In:  tables of ceiling.py, encoder_swaps.py, bounds.py, gains.py and variance.py. Out: one line each, for the notebook.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from barnlib.analyses.bounds import GIVEN
from barnlib.tasks.registry import TASK_TITLES

RANDOM = "random encoder"  # as ceiling.py calls the kind
FORMATS = {"accuracy": ".0%", "R²": ".2f"}  # of what probes are measured by
MOST = 0.5  # share of the variance between runs above which a source makes most of it


def hardest_attribute_title(probes: pd.DataFrame) -> str:
    """The attribute that a probe reads worst from the study's features.

    Args:
        probes: the accuracies of ``ceiling.perception_ceiling``.
    """
    hardest = _hardest(probes)
    return (
        f"The hardest attribute to read is {hardest['property']}: {hardest['value']:.0%}, by chance "
        f"{hardest['chance']:.0%}{_untrained(probes, hardest)}"
    )


def hardest_number_title(probes: pd.DataFrame) -> str:
    """The number that a probe reads worst from the study's features.

    Args:
        probes: the R² of ``ceiling.perception_ceiling``.
    """
    hardest = _hardest(probes)
    worst = f"The hardest number to read is {hardest['property']}: R² {hardest['value']:.2f}"
    return f"{worst}{_untrained(probes, hardest)}"


def training_sentence(probes: pd.DataFrame) -> str:
    """Where the study's features are most, and least, ahead of those of random weights, by measure.

    A thing's position is left out: it is told by which patches the probe is handed.

    Args:
        probes: ``ceiling.perception_ceiling``.
    """
    own = probes["kind"].iloc[0]
    if own == RANDOM:
        return "The study's encoder itself has random weights."
    told = []
    for measure, rows in probes[probes["property"] != GIVEN].groupby("measure", sort=False):
        values = rows.pivot(index="property", columns="kind", values="value")
        ahead, form = values[own] - values[RANDOM], FORMATS[str(measure)]
        most, least = (
            f"{name} ({values.loc[name, own]:{form}} against {values.loc[name, RANDOM]:{form}})"
            for name in (ahead.idxmax(), ahead.idxmin())
        )
        told.append(f"in {measure} most on {most}, least on {least}")
    return f"The {own} is ahead of random weights {'; '.join(told)}."


def controls_sentence(present: Sequence[str], missing: Sequence[str]) -> str:
    """Whether control encoders were run, and what cannot be told without them.

    Args:
        present, missing: titles of control encoders with and without results.
    """
    cause = "whether a task is limited by what the encoder sees"
    if not missing:
        if present:
            return f"Control encoders with results: {', '.join(present)}."
        return f"This study has no control encoders: {cause} is not tested, and probes can only suggest it."
    were = f"Control encoders with results: {', '.join(present)}; without: {', '.join(missing)}."
    if present:
        return f"{were} {cause.capitalize()} is tested in part."
    return (
        f"No results under a control encoder ({', '.join(missing)}): {cause} is not tested, and probes can only "
        "suggest it."
    )


def probe_title(table: pd.DataFrame, titles: Mapping[str, str], by: str = "question_type") -> str:
    """For what has the widest gap: what the probe reads and what the best backbone says.

    Args:
        table: ``bounds.seen_and_said`` with the same `by`.
    """
    best = table.loc[table.groupby(by)["estimate"].idxmax()]
    row = best.loc[(best["probe"] - best["estimate"]).idxmax()]
    return (
        f"{row[by].replace('_', ' ').capitalize()}: a probe reads {row['probe']:.0%} from the features, "
        f"{titles[row['backbone']]} says {row['estimate']:.0%}"
    )


def fit_sentence(probes: pd.DataFrame, pictures: int) -> str:
    """How many pictures probes were fitted on, and what a guess that never looks would get.

    Args:
        probes: ``bounds.probed`` or ``bounds.probed_classes``.
        pictures: how many training pictures were asked for.
    """
    if probes.empty:
        return "Nothing was probed."
    asked = probes[probes["property"] != GIVEN]
    chance = ", ".join(f"{row.property.replace('_', ' ')} {row.chance:.0%}" for row in asked.itertuples())
    return (
        f"Fitted on up to {pictures:,} training pictures, scored on test pictures (n = {probes['n'].max():,}). "
        f"The most frequent value alone is right on: {chance}."
    )


def place_sentence(near: pd.DataFrame, probe: str, titles: Mapping[str, str]) -> str:
    """Whether the probe of places bounds the backbones, or lies below them.

    Args:
        near: share of answers within the tolerance, by backbone, the probe among them.
        probe: what `backbone` calls the probe.
    """
    share = near.set_index("backbone")["estimate"]
    read, best = share[probe], share.drop(probe).idxmax()
    told = f"{titles[best]} is within the tolerance on {share[best]:.0%}, the probe on {read:.0%}"
    if share[best] > read:
        return f"{told}: a linear probe is no ceiling here."
    return f"{told}: what the probe reads is not all said."


def encoders_title(accuracy: pd.DataFrame) -> str:
    """How far the mean score over tasks and backbones goes with the encoder.

    Args:
        accuracy: ``metrics.accuracy_table`` by encoder, task and backbone.
    """
    mean = accuracy.groupby("encoder", sort=False)["estimate"].mean()
    if len(mean) == 1:
        return f"Scores under one encoder, {mean.index[0]}: there is no other to compare it with"
    told = ", ".join(f"{name} {value:.0%}" for name, value in mean.items())
    return f"Mean score over tasks and backbones: {told}"


def gains_title(gains: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What the newest backbone gains over the oldest, by task."""
    row = gains.iloc[0]
    told = ", ".join(f"{TASK_TITLES[one.task]} {100 * one.estimate:+.0f}" for one in gains.itertuples())
    return f"{titles[row['a']]} → {titles[row['b']]}, points: {told}"


def variance_title(tables: Mapping[str, pd.DataFrame], seeds: int) -> str:
    """What makes runs differ, by task: the source whose whole interval lies above one half, where there is one.

    A single source is no finding: it holds what the design cannot tell apart, as with one seed of each backbone.

    Args:
        tables: ``variance.variance_table`` by task.
        seeds: how many there are of each encoder and backbone.
    """
    told, open_tasks = [], []
    for task, table in tables.items():
        runs = table.dropna(subset=["share_of_runs"])
        clear = runs[(runs["share_of_runs_low"] > MOST) & (len(runs) > 1)]
        for row in clear.to_dict("records"):
            share, low, high = (row[f"share_of_runs{end}"] for end in ("", "_low", "_high"))
            told.append(f"{TASK_TITLES[task]} by {row['term']} ({share:.0%}, {low:.0%} to {high:.0%})")
        if len(runs) and clear.empty:
            open_tasks.append(TASK_TITLES[task])
    if not told and not open_tasks:
        return "All runs score the same: there is nothing to split"
    sentences = [f"Runs differ most: {', '.join(told)}"] if told else []
    if open_tasks:
        few = f"{seeds} seed{'' if seeds == 1 else 's'}"
        sentences.append(f"What makes runs differ most cannot be told with {few}: {', '.join(open_tasks)}")
    return ". ".join(sentences)


def text_table(bounds: pd.DataFrame, titles: Mapping[str, str], scene_types: Sequence[str]) -> pd.DataFrame:
    """Reading with perfect perception: accuracy on captions as text, by task and backbone (titles).

    Args:
        bounds: ``bounds.text_bounds``.
        scene_types: question types that count as VQA-Scene, over which the mean is taken.
    """
    named = {"description": "seismic_description", "coordinates_as_json": "seismic_coordinates"}
    named |= dict.fromkeys(scene_types, "vqa_scene")
    rows = bounds.assign(task=bounds["question"].map(named)).dropna(subset=["task"])
    mean = rows.groupby(["task", "backbone"], sort=False)["accuracy"].mean().unstack("backbone")
    return mean.rename(index=TASK_TITLES, columns=dict(titles))


def _untrained(probes: pd.DataFrame, row: pd.Series) -> str:
    """What random weights give in place of a row of the study's own features; "" where it is theirs."""
    if row["kind"] == RANDOM:
        return ""
    same = probes[(probes["property"] == row["property"]) & (probes["kind"] == RANDOM)]
    return f", with random weights {same['value'].iloc[0]:{FORMATS[row['measure']]}}"


def _hardest(probes: pd.DataFrame) -> pd.Series:
    """The row with the lowest value among those of the study's features, which come first."""
    own = probes[probes["kind"] == probes["kind"].iloc[0]]
    return own.loc[own["value"].idxmin()]
