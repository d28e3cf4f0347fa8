"""What can be read linearly from the frozen features: the ceiling of what a projector can hand to a language model.

In:  patch features (float32[N, T, D]) and the pictures that they show.
Out: one row per probed property: accuracy or R², beside chance and, by calling twice, beside a random encoder.

Probes are fitted on training pictures and scored on validation pictures. Attributes are read from the patches that a
thing covers (multinomial logistic regression); places and times from all patches of the picture (ridge regression).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barnlib.data.records import Picture
from barnlib.geometry import patch_weights

ATTRIBUTES = ("colour", "shape", "size", "texture", "position")
NUMBERS = {
    "latitude_deg": "°",
    "longitude_deg": "°",
    "p_time_s": "s",
    "s_time_s": "s",
    "magnitude": "",
    "depth_km": "km",
}
PENALTIES = np.logspace(0, 6, 13)


def probe(
    train: np.ndarray, train_pictures: Sequence[Picture], test: np.ndarray, test_pictures: Sequence[Picture]
) -> pd.DataFrame:
    """Probe every property that the pictures have; nothing says what is on a photograph, so none of it is probed.

    Args:
        train, test: float32[N, T, D] patch features of the pictures.

    Returns:
        Columns property, measure ("accuracy" or "R²"), value, chance, error (median absolute error, NaN for
        attributes), unit, n (things or pictures scored).
    """
    rows = []
    if any("things" in picture.facts for picture in train_pictures):
        seen, unseen = _things(train, train_pictures), _things(test, test_pictures)
        rows += [_attribute(name, seen, unseen) for name in ATTRIBUTES]
    if any(picture.kind == "card" for picture in train_pictures):
        cards, others = _cards(train, train_pictures), _cards(test, test_pictures)
        rows += [_number(name, unit, cards, others) for name, unit in NUMBERS.items()]
    return pd.DataFrame(rows)


def _things(features: np.ndarray, pictures: Sequence[Picture]) -> tuple[np.ndarray, list[dict]]:
    grid = round(features.shape[1] ** 0.5)
    read, facts = [], []
    for patches, picture in zip(features, pictures, strict=True):
        for thing in picture.facts.get("things", ()):
            x, y, radius = thing["x"], thing["y"], thing["radius"]
            read.append(patch_weights((x - radius, y - radius, x + radius, y + radius), grid) @ patches)
            facts.append(thing)
    return np.stack(read), facts


def _cards(features: np.ndarray, pictures: Sequence[Picture]) -> tuple[np.ndarray, list[dict]]:
    rows = [row for row, picture in enumerate(pictures) if picture.kind == "card"]
    return features[rows].reshape(len(rows), -1), [pictures[row].facts for row in rows]


def _attribute(name: str, seen: tuple, unseen: tuple) -> dict:
    (x, facts), (x_test, facts_test) = seen, unseen
    y, y_test = ([fact[name] for fact in side] for side in (facts, facts_test))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(x, y)
    most = max(set(y), key=y.count)
    return {
        "property": name,
        "measure": "accuracy",
        "value": float(model.score(x_test, y_test)),
        "chance": y_test.count(most) / len(y_test),
        "error": float("nan"),
        "unit": "",
        "n": len(y_test),
    }


def _number(name: str, unit: str, seen: tuple, unseen: tuple) -> dict:
    (x, facts), (x_test, facts_test) = seen, unseen
    y, y_test = (np.array([fact[name] for fact in side], float) for side in (facts, facts_test))
    if (
        name == "longitude_deg"
    ):  # the map runs from 30 W eastwards, so that its edge is where the longitude jumps
        y, y_test = (y + 30) % 360, (y_test + 30) % 360
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(x, y)
    error = y_test - model.predict(x_test)
    return {
        "property": name,
        "measure": "R²",
        "value": float(1 - np.sum(error**2) / np.sum((y_test - y.mean()) ** 2)),
        "chance": 0.0,
        "error": float(np.median(np.abs(error))),
        "unit": unit,
        "n": len(y_test),
    }
