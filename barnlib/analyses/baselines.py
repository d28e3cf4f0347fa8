"""Answers without looking: what a guess from the training answers is worth.

In:  the items of the training split, and of the split that is reported.
Out: rows shaped like the predictions table of predict.py, with the baseline's name as backbone and scored by the
     same `scoring.score`, which metrics.py puts beside the backbones.

- `most_frequent`: the best constant. Scene questions get the most frequent training answer among questions of
  the same type with the same closed list (the wording gives the list away, so this is stronger than the type
  alone; where training has none such, as can be with questions that others asked, among all of the task);
  descriptions the facts that are right most often under the scoring tolerances; coordinates the training
  epicentre with most others within the study's tolerance.
- `random_answer`: the answer of a random training question of the same type and list, or else of the task.
- `mean_location`, `median_location`: coordinates only. The mean of the training epicentres as unit vectors, and
  the medians of latitude and of longitude on the card's map, whose left edge is 30 W.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.neighbors import BallTree

from barnlib.analyses.intervals import Rng
from barnlib.analyses.metrics import PREDICTION_COLUMNS
from barnlib.data.answers import EARTH_RADIUS_KM
from barnlib.data.descriptions import FACTS, write_coordinates, write_description
from barnlib.data.records import Item
from barnlib.scoring import fact_is_right
from barnlib.tasks.registry import score

BASELINES = ("most_frequent", "random_answer", "mean_location", "median_location")
MAP_EDGE_DEG = -30.0

Guess = Callable[[Item], str | None]
Kind = tuple[Any, ...]


def baseline_predictions(
    train: Sequence[Item],
    items: Sequence[Item],
    *,
    study: str,
    split: str,
    tolerance_km: float,
    rng: Rng,
    names: Sequence[str] = BASELINES,
) -> pd.DataFrame:
    """Rows of the predictions table for each baseline and each item that it has an answer for.

    Args:
        train: items that the baselines learn from.
        items: items that they answer.
        study, split: entered into the rows. The condition is `image`: the items are those of that condition.
        tolerance_km: the study's tolerance of coordinates.
        rng: draws random answers and the wording of descriptions.
        names: some of `BASELINES`.

    Returns:
        `PREDICTION_COLUMNS`; log-probabilities, tokens and stop reason are missing, the seed is 0.

    Raises:
        ValueError: an unknown baseline, or a question of a task that training does not have.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise ValueError(f"unknown baseline {', '.join(unknown)}; there are {', '.join(BASELINES)}")
    rng = np.random.default_rng(rng)
    makers = {
        "most_frequent": lambda: most_frequent(train, tolerance_km, rng),
        "random_answer": lambda: random_answer(train, rng),
        "mean_location": lambda: constant_location(train, mean_location),
        "median_location": lambda: constant_location(train, median_location),
    }
    rows = []
    for name in names:
        guess = makers[name]()
        answers = ((item, guess(item)) for item in items)
        rows += [
            _row(name, item, text, study, split, tolerance_km) for item, text in answers if text is not None
        ]
    return pd.DataFrame(rows, columns=list(PREDICTION_COLUMNS))


def most_frequent(train: Sequence[Item], tolerance_km: float, rng: np.random.Generator) -> Guess:
    """The best constant answer of each kind of question, learned from the training items."""
    counts = {kind: Counter(answers) for kind, answers in _answers(train).items()}
    facts = typical_facts([item.facts for item in train if item.task == "seismic_description"])
    places = _places(train)
    densest = write_coordinates(*densest_location(places, tolerance_km)) if len(places) else ""

    def guess(item: Item) -> str:
        seen = counts[_known(item, counts)]
        if item.task == "seismic_description":
            return write_description(facts, rng)
        return densest if item.task == "seismic_coordinates" else seen.most_common(1)[0][0]

    return guess


def random_answer(train: Sequence[Item], rng: np.random.Generator) -> Guess:
    """The answer of a random training question of the same type and closed list, or else of the task."""
    answers = _answers(train)

    def guess(item: Item) -> str:
        seen = answers[_known(item, answers)]
        return seen[int(rng.integers(len(seen)))]

    return guess


def constant_location(train: Sequence[Item], middle: Callable[[np.ndarray], tuple[float, float]]) -> Guess:
    """One place for every coordinate question, such as the `mean_location` of training; None for other tasks.

    The guess raises ValueError where it is asked for a place and training holds none.
    """
    places = _places(train)
    text = write_coordinates(*middle(places)) if len(places) else None

    def guess(item: Item) -> str | None:
        if item.task != "seismic_coordinates":
            return None
        if text is None:
            raise ValueError("training holds no coordinates to guess from")
        return text

    return guess


def typical_facts(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """For each fact of a description the value that is right, within its tolerance, for most of the given facts."""
    typical = {}
    for name in FACTS if facts else ():
        values = Counter(fact[name] for fact in facts)
        typical[name] = max(values, key=lambda guess: _times_right(name, guess, values))
    return typical


def mean_location(places: np.ndarray) -> tuple[float, float]:
    """(latitude_deg, longitude_deg) of the mean of places, float64[n, 2] in degrees, as unit vectors."""
    latitude, longitude = np.radians(places).T
    x, y, z = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)
    across = float(np.degrees(np.arctan2(y.mean(), x.mean())))
    return float(np.degrees(np.arctan2(z.mean(), np.hypot(x.mean(), y.mean())))), across


def median_location(places: np.ndarray) -> tuple[float, float]:
    """(latitude_deg, longitude_deg): medians over places, float64[n, 2] in degrees, the longitude on the map."""
    on_map = (places[:, 1] - MAP_EDGE_DEG) % 360
    longitude = float(np.median(on_map)) + MAP_EDGE_DEG
    return float(np.median(places[:, 0])), (longitude + 180) % 360 - 180


def densest_location(places: np.ndarray, tolerance_km: float) -> tuple[float, float]:
    """The one of the places, float64[n, 2] in degrees, with most of the others within `tolerance_km`."""
    radians = np.radians(places)
    tree = BallTree(radians, metric="haversine")
    near = tree.query_radius(radians, tolerance_km / EARTH_RADIUS_KM, count_only=True)
    latitude, longitude = places[int(near.argmax())]
    return float(latitude), float(longitude)


def _places(items: Sequence[Item]) -> np.ndarray:
    """float64[n, 2], latitude and longitude in degrees of the coordinate items."""
    places = [
        (item.facts["latitude"], item.facts["longitude"])
        for item in items
        if item.task == "seismic_coordinates"
    ]
    return np.array(places, dtype=np.float64).reshape(-1, 2)


def _times_right(name: str, guess: Any, values: Counter[Any]) -> int:
    return sum(count for truth, count in values.items() if fact_is_right(name, guess, truth))


def _answers(train: Sequence[Item]) -> dict[Kind, list[str]]:
    """Training answers by type and closed list, and by task, in the order of the items."""
    answers: defaultdict[Kind, list[str]] = defaultdict(list)
    for item in train:
        for kind in _kinds(item):
            answers[kind].append(item.answer)
    return dict(answers)


def _kinds(item: Item) -> tuple[Kind, Kind]:
    """What an item shares with the questions that its answer is guessed from: type and closed list, else the task."""
    return (item.task, item.question_type, item.choices), (item.task,)


def _known(item: Item, seen: Mapping[Kind, Any]) -> Kind:
    kind = next((kind for kind in _kinds(item) if kind in seen), None)
    if kind is None:
        raise ValueError(f"training holds no question of the task {item.task} to guess from")
    return kind


def _row(name: str, item: Item, answer: str, study: str, split: str, tolerance_km: float) -> dict[str, Any]:
    result = score(item.task, answer, item.facts, item.answer, tolerance_km=tolerance_km)
    return {
        "study": study,
        "run": name,
        "backbone": name,
        "seed": 0,
        "split": split,
        "condition": "image",
        "task": item.task,
        "question_type": item.question_type,
        "difficulty": item.difficulty,
        "item": item.id,
        "image": item.image,
        "prompt": item.question,
        "reference": item.answer,
        "answer": answer,
        "parsed": None if result.parsed is None else json.dumps(result.parsed),
        "score": result.score,
        "correct": result.correct,
        "bytes": len(answer.encode()),
    }
