"""How steady each backbone's hidden states are, as tables and as evidence on claim C4.

In:  `Estimates` of layer_estimates.py.
Out: tables of estimates with intervals for charts_representations.py and the notebook, and rows of evidence.

A backbone's figure is the mean over its layers, embedding excluded, so that every tenth of the depth weighs the same in
backbones of different depth. All tasks together is the mean over tasks. Layers compare at relative depth, layer /
number of layers.
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from barnlib.analyses.evidence import Evidence
from barnlib.analyses.evidence_rows import evidence_rows
from barnlib.analyses.jackknife import Jackknifed, Tested, combined, estimated, mean
from barnlib.analyses.layer_estimates import Estimates, by_task
from barnlib.analyses.representations import FEWEST
from barnlib.data.records import TASKS
from barnlib.states_table import States

JACKKNIFE = "jackknife over pictures crossed with seeds, Student's t"
ENDS = ["estimate", "low", "high"]
ESTIMATE = ("estimate", "se", "se_runs", "low", "high", "p", "images", "seeds")


def layer_table(estimates: Estimates, first: int = 1) -> pd.DataFrame:
    """One row per backbone, task and layer: `depth` (0 to 1) and the columns of an estimate, `ESTIMATE`.

    Args:
        first: the layer that the first estimate is of; 2 for `layer_estimates.adjacent`.
    """
    rows = []
    for (backbone, task), layers in estimates.items():
        last = len(layers) + first - 1
        for number, layer in enumerate(layers, first):
            rows.append(
                {
                    "backbone": backbone,
                    "task": task,
                    "depth": number / last,
                    **estimate_columns(estimated(layer)),
                }
            )
    return pd.DataFrame(rows, columns=["backbone", "task", "depth", *ESTIMATE])


def with_even_attention(table: pd.DataFrame, runs: Sequence[States]) -> pd.DataFrame:
    """A `layer_table` of attention with ``even attention``, the image's share of all tokens, mean over backbones."""
    shares: dict[str, list[float]] = {}
    for (_, task), seeds in by_task(runs).items():
        share = seeds[0].measure("image_share", task)  # the same for all seeds: it counts tokens
        shares.setdefault(task, []).extend([] if share is None else [float(share.mean())])
    even = {task: float(np.mean(found)) for task, found in shares.items() if found}
    return table.assign(**{"even attention": table["task"].map(even)})


def summary(estimates: Estimates) -> dict[tuple[str, str | None], Jackknifed]:
    """The mean over layers by backbone and task, and over all tasks, where task is None."""
    found: dict[tuple[str, str | None], Jackknifed] = {
        key: mean(layers) for key, layers in estimates.items() if layers
    }
    for backbone in dict.fromkeys(backbone for backbone, _ in estimates):
        tasks = [found[key] for key in estimates if key[0] == backbone and key in found]
        if tasks:
            found[backbone, None] = mean(tasks)
    return found


def summary_table(estimates: Estimates) -> pd.DataFrame:
    """`summary` as a table: `backbone`, `task` (None for all), and the columns of an estimate."""
    rows = [
        {"backbone": backbone, "task": task, **estimate_columns(estimated(statistic))}
        for (backbone, task), statistic in summary(estimates).items()
    ]
    return pd.DataFrame(rows, columns=["backbone", "task", *ESTIMATE])


def compared(estimates: Estimates) -> pd.DataFrame:
    """Newer less older, for every pair of backbones, by task and over all, on the same pictures and seeds.

    Returns:
        `a` (older), `b` (newer), `task` (None for all) and the columns of an estimate.
    """
    figures = summary(estimates)
    backbones = list(dict.fromkeys(backbone for backbone, _ in estimates))
    rows = []
    for a, b in combinations(backbones, 2):
        for task in [*TASKS, None]:
            if (a, task) in figures and (b, task) in figures:
                difference = combined([figures[b, task], figures[a, task]], [1.0, -1.0])
                rows.append({"a": a, "b": b, "task": task, **estimate_columns(estimated(difference))})
    return pd.DataFrame(rows, columns=["a", "b", "task", *ESTIMATE])


def evidence(measure: str, estimates: Estimates, runs: Sequence[States]) -> list[Evidence]:
    """`compared` over all tasks as evidence on claim C4; with a note where there is nothing to compare.

    The claim is about a model and not about a task, so one row stands for each pair of backbones; tasks stand in the
    notebook.

    Args:
        measure: as the study file's rules name it.
        runs: all runs, so that backbones and seeds are known where there is no estimate.
    """
    seeds = len({run.seed for run in runs})
    pairs = pd.DataFrame(combinations(dict.fromkeys(run.backbone for run in runs), 2), columns=["a", "b"])
    found = compared(estimates)
    whole = found[found["task"].isna()].drop(columns=["task", "seeds"])
    table = pairs.merge(whole, on=["a", "b"], how="left").assign(seeds=seeds)
    missing = table[ENDS].isna().any(axis=1)
    notes = [
        _why(images, seeds) if nothing else _of_one_pair(measure, seeds)
        for images, nothing in zip(table["images"], missing, strict=True)
    ]
    table = table.assign(items=table["images"].fillna(0), note=notes)
    return evidence_rows(table, claim="C4", measure=measure, test=JACKKNIFE)


def _why(images: float, seeds: int) -> str:
    """Why there is no estimate, or no interval.

    Args:
        images: on which there would be one; NaN where nothing was estimated at all.
    """
    if np.isnan(images):
        return "needs two seeds of each backbone" if seeds < 2 else "its states were not kept"
    return f"too few pictures ({images:.0f}; alignment needs {FEWEST + 1}), or states all alike or not kept"


def _of_one_pair(measure: str, seeds: int) -> str:
    if seeds == 1:
        return "one seed: the interval speaks of other pictures only"
    return (
        "one pair of seeds: the interval speaks of other pictures only"
        if "seed" in measure and seeds == 2
        else ""
    )


def estimate_columns(found: Tested) -> dict[str, float]:
    """The columns `ESTIMATE` of a row."""
    return {
        "estimate": found.estimate,
        "se": found.se,
        "se_runs": found.se_runs,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "images": found.pictures,
        "seeds": found.runs,
    }
