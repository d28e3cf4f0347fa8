"""How steady each backbone's hidden states are, layer by layer, as tables and as evidence on claim C4.

In:  the hidden states of a study's runs (states_table.py).
Out: tables of estimates with intervals for charts_representations.py and the notebook, and rows of evidence.

One primary measure for each view (representations.py says why there are two kinds):

- ``noise``, ``blur``, ``occlusion``, ``paraphrase``: *displacement* of the last prompt token, which decides the first
  word of the answer;
- drift from before to after finetuning: 1 - debiased CKA, because an offset or a scale that finetuning gives to all
  items alike says nothing about the items;
- seeds: debiased CKA between two seeds of one backbone.

A backbone's figure is the mean over its layers, embedding excluded (there the last prompt token is the same for all
items), so that every tenth of the depth weighs the same in backbones of different depth. All tasks together is the mean
over tasks. Layers compare at relative depth, layer / number of layers.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from barnlib.data.records import TASKS
from barnlib.evidence import Evidence
from barnlib.jackknife import Jackknifed, Tested, combined, estimated, jackknifed, mean
from barnlib.representations import FEWEST, Gram, cka, displacement, gram
from barnlib.states_table import States

Key = tuple[str, str]  # backbone and task
Estimates = dict[Key, list[Jackknifed]]  # one for each layer, from the first on; rows are runs

POSITION = "last_prompt_token"
JACKKNIFE = "jackknife over pictures crossed with seeds, Student's t"
ESTIMATE = ("estimate", "low", "high", "p", "images", "seeds")


def displaced(runs: Sequence[States], view: str, position: str = POSITION) -> Estimates:
    """Displacement between the clean view and another one. Items without that view (no paraphrase) are left out."""

    def measure(run: States, task: str, entry: int) -> tuple[float, np.ndarray]:
        clean, moved = (run.layer(entry, one, position, task=task) for one in ("clean", view))
        kept = np.isfinite(moved).all(1)
        return displacement(clean[kept], moved[kept])

    return _by_run(
        runs, measure, lambda run, task: pictures_of(run, task, view, position), bounds=(0.0, np.inf)
    )


def drifted(runs: Sequence[States], position: str = POSITION) -> Estimates:
    """1 - CKA between the states before finetuning (LoRA off, the same projector) and after it."""

    def measure(run: States, task: str, entry: int) -> tuple[float, np.ndarray]:
        before, after = (gram(run.layer(entry, view, position, task=task)) for view in ("before", "clean"))
        value, left = cka(before, after)
        return 1 - value, 1 - left

    return _by_run(runs, measure, pictures_of, bounds=(0.0, 2.0))


def adjacent(runs: Sequence[States], position: str = POSITION) -> Estimates:
    """CKA between each layer and the one before it, from the second layer on; nothing for a single layer."""

    def measure(run: States, task: str, entry: int) -> tuple[float, np.ndarray]:
        below, above = (gram(run.layer(e, "clean", position, task=task)) for e in (entry - 1, entry))
        return cka(below, above)

    return _by_run(runs, measure, pictures_of, first=2)


def agreement(runs: Sequence[States], position: str = POSITION) -> Estimates:
    """CKA between two seeds of one backbone, mean over all pairs of seeds; empty for a single seed.

    Pairs share seeds, so the rows of a result are not pairs but pseudo-values, one for each seed left out, whose mean
    is the estimate; with two seeds there is one pair and one row, and its interval speaks of pictures only.
    """
    found: Estimates = {}
    for (backbone, task), seeds in by_task(runs).items():
        if len(seeds) < 2:
            continue
        pictures = pictures_of(seeds[0], task)
        found[backbone, task] = [
            _over_seed_pairs(
                [gram(run.layer(entry, "clean", position, task=task)) for run in seeds], pictures
            )
            for entry in range(1, seeds[0].layers + 1)
        ]
    return found


def _over_seed_pairs(grams: Sequence[Gram], pictures: Sequence[str]) -> Jackknifed:
    pairs = list(combinations(range(len(grams)), 2))
    made = [cka(grams[a], grams[b]) for a, b in pairs]
    values = np.array([value for value, _ in made])
    left = np.mean([without for _, without in made], 0)
    whole = jackknifed([values.mean()], left[None], pictures, (-1.0, 1.0))
    if len(grams) == 2:
        return whole
    without_seed = [
        values[[seed not in pair for pair in pairs]].mean() for seed in range(len(grams))
    ]  # float64[seeds]
    pseudo = len(grams) * values.mean() - (len(grams) - 1) * np.array(without_seed)
    return Jackknifed(pseudo, np.repeat(whole.influence, len(grams), 0), whole.pictures, whole.bounds)


def attention_on_image(runs: Sequence[States]) -> Estimates:
    """Attention mass of the last prompt token on the image tokens; empty where a backbone's cannot be watched."""
    found: Estimates = {}
    for (backbone, task), seeds in by_task(runs).items():
        masses = [run.measure("image_attention", task) for run in seeds]
        if any(mass is None for mass in masses):
            continue
        stacked = np.stack([mass for mass in masses if mass is not None])  # [seeds, layers, items]
        pictures = pictures_of(seeds[0], task)
        found[backbone, task] = [of_means(stacked[:, layer], pictures) for layer in range(stacked.shape[1])]
    return found


def with_even_attention(table: pd.DataFrame, runs: Sequence[States]) -> pd.DataFrame:
    """A `layer_table` of attention with ``even attention``, the image's share of all tokens, mean over backbones."""
    shares: dict[str, list[float]] = {}
    for (_, task), seeds in by_task(runs).items():
        share = seeds[0].measure("image_share", task)  # the same for all seeds: it counts tokens
        shares.setdefault(task, []).extend([] if share is None else [float(share.mean())])
    even = {task: float(np.mean(found)) for task, found in shares.items() if found}
    return table.assign(**{"even attention": table["task"].map(even)})


def answer_depths(runs: Sequence[States]) -> Estimates:
    """Relative depth from which on the logit lens shows the final first answer token; one estimate, not one a layer."""
    found: Estimates = {}
    for (backbone, task), seeds in by_task(runs).items():
        depths = [run.measure("answer_depth", task) for run in seeds]
        if any(depth is None for depth in depths):
            continue
        relative = np.stack([depth for depth in depths if depth is not None]) / seeds[0].layers
        found[backbone, task] = [of_means(relative, pictures_of(seeds[0], task))]
    return found


def of_means(values: np.ndarray, pictures: Sequence[str]) -> Jackknifed:
    """The mean over items of shares (0 to 1), float[runs, items], with each item left out."""
    count = values.shape[1]
    left = (values.sum(1, keepdims=True) - values) / max(count - 1, 1)
    return jackknifed(values.mean(1), left, pictures, (0.0, 1.0))


def layer_table(estimates: Estimates, first: int = 1) -> pd.DataFrame:
    """One row per backbone, task and layer: `depth` (0 to 1), `estimate`, `low`, `high`, `p`, `images`, `seeds`.

    Args:
        first: the layer that the first estimate is of; 2 for :func:`adjacent`.
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
    backbones = list(dict.fromkeys(run.backbone for run in runs))
    seeds = len({run.seed for run in runs})
    table = compared(estimates)
    rows = {(row.a, row.b): row for row in table[table["task"].isna()].itertuples()}
    found = []
    for a, b in combinations(backbones, 2):
        row = rows.get((a, b))
        estimate, low, high, p = (None if pd.isna(x) else float(x) for x in _numbers(row))
        note = _why(row, seeds) if None in (estimate, low, high) else _of_one_pair(measure, seeds)
        found.append(
            Evidence(
                claim="C4",
                measure=measure,
                a=a,
                b=b,
                estimate=estimate,
                low=low,
                high=high,
                p=p,
                test=JACKKNIFE,
                n=0 if row is None else int(row.images),
                seeds=seeds,
                note=note,
            )
        )
    return found


def _numbers(row: object) -> list[float]:
    return [getattr(row, name, float("nan")) for name in ("estimate", "low", "high", "p")]


def _why(row: object, seeds: int) -> str:
    if row is None:
        return "needs two seeds of each backbone" if seeds < 2 else "its states were not kept"
    images = getattr(row, "images", 0)
    return f"too few pictures ({images}; alignment needs {FEWEST + 1}), or states all alike or not kept"


def _of_one_pair(measure: str, seeds: int) -> str:
    if seeds == 1:
        return "one seed: the interval speaks of other pictures only"
    return (
        "one pair of seeds: the interval speaks of other pictures only"
        if "seed" in measure and seeds == 2
        else ""
    )


def _by_run(
    runs: Sequence[States],
    measure: Callable[[States, str, int], tuple[float, np.ndarray]],
    pictures: Callable[[States, str], Sequence[str]],
    first: int = 1,
    bounds: tuple[float, float] = (-1.0, 1.0),
) -> Estimates:
    """A statistic of each run by itself, at each entry from ``first`` on."""
    found: Estimates = {}
    for (backbone, task), seeds in by_task(runs).items():
        layers = []
        for entry in range(first, seeds[0].layers + 1):
            made = [measure(run, task, entry) for run in seeds]
            left = np.stack([without for _, without in made])
            layers.append(jackknifed([value for value, _ in made], left, pictures(seeds[0], task), bounds))
        if layers:
            found[backbone, task] = layers
    return found


def by_task(runs: Sequence[States]) -> dict[Key, list[States]]:
    """The seeds of each backbone for each task that has items, backbones and tasks in order."""
    return {(backbone, task): seeds for backbone, seeds in _seeds(runs) for task in _tasks(seeds[0])}


def _seeds(runs: Sequence[States]) -> Iterator[tuple[str, list[States]]]:
    for backbone in dict.fromkeys(run.backbone for run in runs):
        yield backbone, [run for run in runs if run.backbone == backbone]


def _tasks(run: States) -> list[str]:
    present = set(run.items()["task"])
    return [task for task in TASKS if task in present]


def pictures_of(run: States, task: str, view: str = "clean", position: str = POSITION) -> list[str]:
    """Pictures of the items that have a view: one for each item."""
    images = run.items(task=task)["image"].to_numpy()
    if view == "paraphrase":
        images = images[np.isfinite(run.layer(run.layers, view, position, task=task)).all(1)]
    return [str(image) for image in images]


def estimate_columns(found: Tested) -> dict[str, float]:
    """The columns `ESTIMATE` of a row."""
    return {
        "estimate": found.estimate,
        "low": found.low,
        "high": found.high,
        "p": found.p,
        "images": found.pictures,
        "seeds": found.runs,
    }
