"""What can be read linearly from each layer: what the task needs, at the token that predicts the answer.

In:  the hidden states of a study's runs (states_table.py); probes are fitted on training pictures.
Out: a table of scores on test pictures by layer, beside chance, for charts_representations.py.

All probes are ridge regressions, with the penalty chosen by leave-one-out on training items (scikit-learn's RidgeCV):
for a number it is the regression itself, for a word one column for each word, of which the largest wins. Pictures of
test and training are disjoint by the study's splits, so nothing is fitted on a picture that is scored.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barnlib.analyses.baselines import MAP_EDGE_DEG
from barnlib.analyses.jackknife import Jackknifed, estimated, jackknifed
from barnlib.analyses.layer_estimates import by_task, of_means
from barnlib.analyses.representation_tables import ESTIMATE, estimate_columns
from barnlib.probes import PENALTIES
from barnlib.states_table import POSITION, States

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Target:
    """What a probe reads.

    Attributes:
        name: as a reader knows it.
        task: whose items hold it.
        value: from an item's record to a word or a number.
        measure: "accuracy" or "R²".
    """

    name: str
    task: str
    value: Callable[[Mapping[str, Any]], Any]
    measure: str


TARGETS = (
    Target("answer to the question", "vqa_scene", lambda item: item["answer"], "accuracy"),
    Target(
        "magnitude class", "seismic_description", lambda item: item["facts"]["magnitude_class"], "accuracy"
    ),
    Target("latitude", "seismic_coordinates", lambda item: item["facts"]["latitude"], "R²"),
    Target(
        "longitude",
        "seismic_coordinates",
        lambda item: (
            (item["facts"]["longitude"] - MAP_EDGE_DEG) % 360
        ),  # it jumps at the edge of the map alone
        "R²",
    ),
)


def probe_table(runs: Sequence[States], position: str = POSITION) -> pd.DataFrame:
    """Probe every layer of every run.

    Returns:
        One row per backbone, target and layer: `backbone`, `target`, `measure`, `depth` (0 to 1), the columns of an
        estimate over test pictures and seeds (the probe's own fit is taken as it is), and `chance`: accuracy of the
        most frequent training word among an item's choices, or an R² of 0.
    """
    rows = []
    for target in TARGETS:
        for (backbone, task), seeds in by_task(runs).items():
            if task != target.task:
                continue
            layers = seeds[0].layers
            for entry in range(1, layers + 1):
                score = _over_runs(seeds, target, entry, position)
                rows.append(
                    {
                        "backbone": backbone,
                        "target": target.name,
                        "measure": target.measure,
                        "depth": entry / layers,
                        **estimate_columns(estimated(score)),
                        "chance": chance(seeds[0], target),
                    }
                )
    return pd.DataFrame(rows, columns=["backbone", "target", "measure", "depth", *ESTIMATE, "chance"])


def chance(run: States, target: Target) -> float:
    """What a probe reaches that does not look: accuracy of the most frequent training word an item allows, or 0."""
    if target.measure != "accuracy":
        return 0.0
    words, counts = np.unique(
        [target.value(row) for row in _records(run, "train", target)], return_counts=True
    )
    tested_on = _records(run, "test", target)
    guesses = np.tile(counts.astype(float), (len(tested_on), 1))
    return float(_hits(guesses, words, tested_on, target).mean())


def _over_runs(runs: Sequence[States], target: Target, entry: int, position: str) -> Jackknifed:
    """Accuracy or R² on the test items, with each left out."""
    tested_on = _records(runs[0], "test", target)
    pictures = [row["image"] for row in tested_on]
    scored = np.stack([_scored(run, target, entry, position) for run in runs])
    if target.measure == "accuracy":
        return of_means(scored, pictures)
    truth = np.array([target.value(row) for row in tested_on], float)
    offset = truth - truth.mean()
    whole = (offset**2).sum()
    spread = whole - offset**2 * len(truth) / max(len(truth) - 1, 1)  # about the mean of the others
    with np.errstate(divide="ignore", invalid="ignore"):
        left = 1 - (scored.sum(1, keepdims=True) - scored) / spread
        return jackknifed(1 - scored.sum(1) / whole, left, pictures, (-np.inf, 1.0))


def _scored(run: States, target: Target, entry: int, position: str) -> Array:
    """For each test item whether the probe is right, or its squared error."""
    seen, unseen = (
        run.layer(entry, "clean", position, split=split, task=target.task).astype(np.float64)
        for split in ("train", "test")
    )
    fitted_on, tested_on = (_records(run, split, target) for split in ("train", "test"))
    values = [target.value(row) for row in fitted_on]
    probe = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    if target.measure != "accuracy":
        truth = np.array([target.value(row) for row in tested_on], float)
        return (probe.fit(seen, np.array(values, float)).predict(unseen) - truth) ** 2
    words, numbers = np.unique(values, return_inverse=True)
    columns = np.eye(len(words))[numbers]
    guesses = probe.fit(seen, columns).predict(unseen).reshape(len(unseen), len(words))
    return _hits(guesses, words, tested_on, target)


def _hits(guesses: Array, words: NDArray, items: Sequence[Mapping[str, Any]], target: Target) -> Array:
    """Whether the word with the largest value is right, among the item's choices where it has some: 0 or 1."""
    hits = []
    for values, item in zip(guesses, items, strict=True):
        allowed = np.isin(words, item["choices"]) if item["choices"] else np.ones(len(words), bool)
        if not allowed.any():
            hits.append(0.0)
            continue
        hits.append(float(words[np.where(allowed, values, -np.inf).argmax()] == target.value(item)))
    return np.array(hits)


def _records(run: States, split: str, target: Target) -> list[dict[str, Any]]:
    return run.items(split, target.task).to_dict("records")
