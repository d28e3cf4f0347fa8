"""How alike the hidden states of different backbones are: layer by layer, and by nearest neighbours.

In:  the hidden states of a study's runs (states_table.py).
Out: tables for charts_representations.py and the notebook.

Two measures, because each has a weakness: debiased linear CKA follows the directions of largest variance; shared
nearest neighbours (Huh et al. 2024, "The Platonic Representation Hypothesis", arXiv 2405.07987) see only who is close
to whom.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, product

import numpy as np
import pandas as pd

from barnlib.analyses.intervals import Rng
from barnlib.analyses.jackknife import Jackknifed, estimated, jackknifed, mean
from barnlib.analyses.layer_estimates import by_task, of_means, pictures_of
from barnlib.analyses.representation_tables import ESTIMATE, estimate_columns
from barnlib.analyses.representations import (
    Gram,
    cka,
    gram,
    neighbours,
    permuted_neighbours,
    shared_neighbours,
)
from barnlib.data.records import TASKS
from barnlib.states_table import POSITION, States

NEIGHBOURS = 10  # as Huh et al. take them
LAYER_COLUMNS = ("a", "b", "layer_a", "layer_b", "depth_a", "depth_b")
CHANCE = ("chance", "chance_low", "chance_high")


def layer_alignment(runs: Sequence[States], position: str = POSITION) -> pd.DataFrame:
    """CKA between the layers of two backbones, mean over tasks and over seeds (the same seed in both).

    A backbone against itself stands for other seeds of it, where there are some: what is left if only chance differs.

    Returns:
        `a`, `b`, `layer_a`, `layer_b` (1 to the number of layers), `depth_a`, `depth_b` (0 to 1), and the columns of an
        estimate. Where seeds are compared, pairs of seeds count as independent, though they share seeds.
    """
    groups = by_task(runs)
    grams = {key: [_grams(run, key[1], position) for run in seeds] for key, seeds in groups.items()}
    backbones = list(dict.fromkeys(run.backbone for run in runs))
    rows = []
    for a, b in [*combinations(backbones, 2), *((one, one) for one in backbones)]:
        tasks = [task for task in TASKS if (a, task) in grams and (b, task) in grams]
        if not tasks or (a == b and len(grams[a, tasks[0]]) < 2):
            continue
        layers = [len(grams[one, tasks[0]][0]) for one in (a, b)]
        for i, j in product(*map(range, layers)):
            parts = [
                _aligned(grams[a, task], grams[b, task], i, j, pictures_of(groups[a, task][0], task))
                for task in tasks
            ]
            places = (a, b, i + 1, j + 1, (i + 1) / layers[0], (j + 1) / layers[1])
            rows.append(
                {**dict(zip(LAYER_COLUMNS, places, strict=True)), **estimate_columns(estimated(mean(parts)))}
            )
    return pd.DataFrame(rows, columns=[*LAYER_COLUMNS, *ESTIMATE])


def _grams(run: States, task: str, position: str) -> list[Gram]:
    return [gram(run.layer(entry, "clean", position, task=task)) for entry in range(1, run.layers + 1)]


def _aligned(
    a: Sequence[Sequence[Gram]], b: Sequence[Sequence[Gram]], i: int, j: int, pictures: Sequence[str]
) -> Jackknifed:
    """Layer i of a with layer j of b: in the same seed, or, for one backbone, in every two seeds."""
    pairs = combinations(range(len(a)), 2) if a is b else ((seed, seed) for seed in range(len(a)))
    made = [cka(a[one][i], b[other][j]) for one, other in pairs]
    return jackknifed(
        [value for value, _ in made], np.stack([left for _, left in made]), pictures, (-1.0, 1.0)
    )


def neighbour_table(
    runs: Sequence[States], rng: Rng, permutations: int, position: str = POSITION
) -> pd.DataFrame:
    """Nearest neighbours that the last layers of two backbones share, against items exchanged at random.

    Args:
        rng: draws the permutations.
        permutations: how many; the smallest p is one over one more.

    Returns:
        One row per pair of backbones and task: `a`, `b`, `task`, `k`, the columns of an estimate (over items and seeds,
        each item's neighbours as they are; `p` one-sided, of the permutations), and of the permutations `chance`
        (mean), `chance_low` and `chance_high` (middle 95 %). Tasks with fewer than three items are left out.
    """
    rows = []
    for a, b, task, one, other in _task_pairs(runs):
        pictures = pictures_of(one[0], task)
        if len(pictures) < 3:
            continue
        k = min(NEIGHBOURS, (len(pictures) - 1) // 2)
        pairs = [
            (_last(x, task, position, k), _last(y, task, position, k))
            for x, y in zip(one, other, strict=True)
        ]
        shared = np.stack([shared_neighbours(x, y) for x, y in pairs])
        chance = permuted_neighbours(pairs, rng, permutations)
        reached = (chance >= shared.mean() - 1e-12).sum()
        ends = dict(zip(CHANCE, (chance.mean(), *np.quantile(chance, [0.025, 0.975])), strict=True))
        row = {
            **estimate_columns(estimated(of_means(shared, pictures))),
            "p": (1 + reached) / (1 + permutations),
            **ends,
        }
        rows.append({"a": a, "b": b, "task": task, "k": k, **row})
    return pd.DataFrame(rows, columns=["a", "b", "task", "k", *ESTIMATE, *CHANCE])


def _task_pairs(runs: Sequence[States]) -> Iterator[tuple[str, str, str, list[States], list[States]]]:
    groups = by_task(runs)
    for a, b in combinations(dict.fromkeys(run.backbone for run in runs), 2):
        for task in TASKS:
            if (a, task) in groups and (b, task) in groups:
                yield a, b, task, groups[a, task], groups[b, task]


def _last(run: States, task: str, position: str, k: int) -> np.ndarray:
    return neighbours(run.layer(run.layers, "clean", position, task=task), k)
