"""What the bottleneck analyses say, in words: titles of their charts, every figure from a table.

In:  tables of ceiling.py, encoder_swaps.py, bounds.py, gains.py and variance.py. Out: one line each, for the notebook.
"""

from collections.abc import Mapping, Sequence

import pandas as pd

from barnlib.tasks.registry import TASK_TITLES


def hardest_attribute_title(probes: pd.DataFrame) -> str:
    """The attribute that a probe reads worst from the study's features.

    Args:
        probes: the accuracies of ``ceiling.perception_ceiling``.
    """
    hardest = _hardest(probes)
    return (
        f"The hardest attribute to read is {hardest['property']}: {hardest['value']:.0%}, by chance "
        f"{hardest['chance']:.0%}"
    )


def hardest_number_title(probes: pd.DataFrame) -> str:
    """The number that a probe reads worst from the study's features.

    Args:
        probes: the R² of ``ceiling.perception_ceiling``.
    """
    hardest = _hardest(probes)
    return f"The hardest number to read is {hardest['property']}: R² {hardest['value']:.2f}"


def probe_title(table: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """For the attribute with the widest gap: what the probe reads and what the best backbone says.

    Args:
        table: ``bounds.seen_and_said``.
    """
    best = table.loc[table.groupby("question_type")["estimate"].idxmax()]
    row = best.loc[(best["probe"] - best["estimate"]).idxmax()]
    return (
        f"{row['question_type'].capitalize()}: a probe reads {row['probe']:.0%} from the features, "
        f"{titles[row['backbone']]} says {row['estimate']:.0%}"
    )


def encoders_title(accuracy: pd.DataFrame) -> str:
    """How far the mean score over tasks and backbones goes with the encoder.

    Args:
        accuracy: ``metrics.accuracy_table`` by encoder, task and backbone.
    """
    mean = accuracy.groupby("encoder", sort=False)["estimate"].mean()
    told = ", ".join(f"{name} {value:.0%}" for name, value in mean.items())
    return f"Mean score over tasks and backbones: {told}"


def gains_title(gains: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """What the newest backbone gains over the oldest, by task."""
    row = gains.iloc[0]
    told = ", ".join(f"{TASK_TITLES[one.task]} {100 * one.estimate:+.0f}" for one in gains.itertuples())
    return f"{titles[row['a']]} → {titles[row['b']]}, points: {told}"


def variance_title(tables: Mapping[str, pd.DataFrame]) -> str:
    """What makes runs differ: the largest share of the variance between runs with its interval, by task.

    Args:
        tables: ``variance.variance_table`` by task.
    """
    told = []
    for task, table in tables.items():
        runs = table.dropna(subset=["share_of_runs"])
        if len(runs):
            most = runs.loc[runs["share_of_runs"].idxmax()]
            share, low, high = (most[f"share_of_runs{end}"] for end in ("", "_low", "_high"))
            ends = "" if pd.isna(low) else f", {low:.0%} to {high:.0%}"
            told.append(f"{TASK_TITLES[task]} by {most['term']} ({share:.0%}{ends})")
    return (
        f"Runs differ most: {', '.join(told)}"
        if told
        else "All runs score the same: there is nothing to split"
    )


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


def _hardest(probes: pd.DataFrame) -> pd.Series:
    """The row with the lowest value among those of the study's features, which come first."""
    own = probes[probes["kind"] == probes["kind"].iloc[0]]
    return own.loc[own["value"].idxmin()]
