"""How hidden states move, drift and agree, layer by layer: one statistic for each backbone, task and layer.

In:  the hidden states of a study's runs (states_table.py).
Out: `Estimates`: each statistic of each run, and how it depends on each picture (jackknife.py). Next:
     representation_tables.py makes tables of them.

One primary measure for each view (representations.py says why there are two kinds):

- ``noise``, ``blur``, ``occlusion``, ``paraphrase``: *displacement* of the last prompt token, which decides the first
  word of the answer;
- drift from before to after finetuning: 1 - debiased CKA, because an offset or a scale that finetuning gives to all
  items alike says nothing about the items;
- seeds: debiased CKA between two seeds of one backbone.

The embedding, entry 0, is never asked: there the last prompt token is the same for all items.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

import numpy as np

from barnlib.analyses.jackknife import Jackknifed, jackknifed
from barnlib.analyses.representations import Gram, cka, displacement, gram
from barnlib.data.records import TASKS
from barnlib.states_table import POSITION, States

Key = tuple[str, str]  # backbone and task
Estimates = dict[Key, list[Jackknifed]]  # one for each layer, from the first on; rows are runs


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
    values, left = np.array([value for value, _ in made]), np.array([without for _, without in made])
    if len(grams) > 2:
        values, left = (_pseudo_values(of_pairs, pairs, len(grams)) for of_pairs in (values, left))
    return jackknifed(values, left, pictures, (-1.0, 1.0))


def _pseudo_values(of_pairs: np.ndarray, pairs: Sequence[tuple[int, int]], seeds: int) -> np.ndarray:
    """A mean over pairs of seeds, float64[pairs, ...], as one value for each seed, float64[seeds, ...], by the
    jackknife: what the mean over all pairs owes to those of that seed."""
    without = [of_pairs[[seed not in pair for pair in pairs]].mean(0) for seed in range(seeds)]
    return seeds * of_pairs.mean(0) - (seeds - 1) * np.array(without)


def attention_on_image(runs: Sequence[States]) -> Estimates:
    """Attention mass of the last prompt token on the image tokens; empty where a backbone's cannot be watched."""
    return {
        key: [of_means(masses[:, layer], pictures) for layer in range(masses.shape[1])]
        for key, pictures, masses in _measured(runs, "image_attention")  # [seeds, layers, items]
    }


def answer_depths(runs: Sequence[States]) -> Estimates:
    """Relative depth from which on the logit lens shows the final first answer token; one estimate, not one a layer."""
    layers = {run.backbone: run.layers for run in runs}
    return {
        key: [of_means(depths / layers[key[0]], pictures)]
        for key, pictures, depths in _measured(runs, "answer_depth")  # [seeds, items]
    }


def _measured(runs: Sequence[States], name: str) -> Iterator[tuple[Key, list[str], np.ndarray]]:
    """A measure of all seeds, float[seeds, ..., items], of the backbones whose runs all have it."""
    for (backbone, task), seeds in by_task(runs).items():
        found = [values for run in seeds if (values := run.measure(name, task)) is not None]
        if len(found) == len(seeds):
            yield (backbone, task), pictures_of(seeds[0], task), np.stack(found)


def of_means(values: np.ndarray, pictures: Sequence[str]) -> Jackknifed:
    """The mean over items of shares (0 to 1), float[runs, items], with each item left out."""
    count = values.shape[1]
    left = (values.sum(1, keepdims=True) - values) / max(count - 1, 1)
    return jackknifed(values.mean(1), left, pictures, (0.0, 1.0))


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
    found: dict[Key, list[States]] = {}
    for backbone in dict.fromkeys(run.backbone for run in runs):
        seeds = [run for run in runs if run.backbone == backbone]
        present = set(seeds[0].items()["task"])
        found |= {(backbone, task): seeds for task in TASKS if task in present}
    return found


def pictures_of(run: States, task: str, view: str = "clean", position: str = POSITION) -> list[str]:
    """Pictures of the items that have a view: one for each item."""
    images = run.items(task=task)["image"].to_numpy()
    if view == "paraphrase":
        images = images[np.isfinite(run.layer(run.layers, view, position, task=task)).all(1)]
    return [str(image) for image in images]
