"""What hidden states hold of a place, whether or not the model can write it: a regression head on the sphere.

In:  hidden states of one layer and position, and the true places of the same items.
Out: places read from the states of other items, scored as answers are; the notebook on coordinates puts them beside
     the answers that the model wrote.

A place is a unit vector, so that 180 E and 180 W are one, and the head is a ridge regression on its three components.
What it predicts is brought back to the sphere by its direction.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barnlib.data.answers import great_circle_km
from barnlib.data.descriptions import write_coordinates
from barnlib.states_table import POSITION

Array = NDArray[np.float64]
States = NDArray[np.floating]
PENALTIES = tuple(float(penalty) for penalty in np.logspace(-1, 5, 13))


class Reading(NamedTuple):
    """What a head reads, and how it was chosen.

    Attributes:
        places: float64[n, 2], latitude and longitude in degrees.
        penalty: of the ridge regression.
        validation_km: median distance on the validation items, the lowest of all penalties.
    """

    places: Array
    penalty: float
    validation_km: float


class HoldsStates(Protocol):
    """Hidden states of one run, as barnlib.states_table reads them."""

    backbone: str
    seed: int

    @property
    def layers(self) -> int:
        """Layers of the language model; entry 0 is the embedding."""

    def items(self, split: str = "test", task: str | None = None) -> pd.DataFrame:
        """Items with the columns ``item`` and ``facts``."""

    def layer(
        self, entry: int, view: str, position: str, *, split: str = "test", task: str | None = None
    ) -> Any:
        """float32[items, hidden]."""


def unit_vectors(places_deg: Array) -> Array:
    """float64[n, 3] of float64[n, 2], latitude and longitude in degrees."""
    latitude, longitude = np.radians(np.asarray(places_deg, dtype=np.float64)).T
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], 1)


def places_of(vectors: Array) -> Array:
    """float64[n, 2], latitude and longitude in degrees, of vectors of any length but 0, float64[n, 3]."""
    x, y, z = np.asarray(vectors, dtype=np.float64).T
    return np.degrees(np.stack([np.arctan2(z, np.hypot(x, y)), np.arctan2(y, x)], 1))


def read_places(
    train: States,
    train_places: Array,
    validation: States,
    validation_places: Array,
    test: States,
    penalties: Sequence[float] = PENALTIES,
) -> Reading:
    """Places that a ridge regression reads from hidden states.

    Fitted on training items with each penalty; that with the lowest median distance on validation items reads the
    test items. Test items play no part in the choice.

    Args:
        train, validation, test: float[n, D], hidden states.
        train_places, validation_places: float64[n, 2], degrees.

    Raises:
        ValueError: no item to fit on or to choose with; states not finite; other numbers of states than places.
    """
    for name, states, places in (
        ("train", train, train_places),
        ("validation", validation, validation_places),
    ):
        if len(states) != len(places) or not len(states):
            raise ValueError(
                f"{name}: {len(states)} states and {len(places)} places; expected as many, at least one"
            )
    for name, states in (("train", train), ("validation", validation), ("test", test)):
        if not np.isfinite(states).all():
            raise ValueError(f"{name}: hidden states hold values that are not finite")
    best, chosen, read = np.inf, float(penalties[0]), np.zeros((len(test), 2))
    for penalty in penalties:
        head = make_pipeline(StandardScaler(), Ridge(penalty)).fit(train, unit_vectors(train_places))
        error = float(np.median(distances_km(places_of(head.predict(validation)), validation_places)))
        if error < best:
            best, chosen = error, float(penalty)
            read = places_of(head.predict(test)) if len(test) else read
    return Reading(read, chosen, best)


def distances_km(places_deg: Array, other_places_deg: Array) -> Array:
    """Great-circle distances in km, float64[n], between float64[n, 2] and float64[n, 2] in degrees."""
    (latitude, longitude), (other_latitude, other_longitude) = (
        np.asarray(places, dtype=np.float64).reshape(-1, 2).T for places in (places_deg, other_places_deg)
    )
    return great_circle_km(latitude, longitude, other_latitude, other_longitude)


def as_answers(items: pd.DataFrame, places_deg: Array, reader: str) -> pd.DataFrame:
    """Rows of the predictions table in which a reader's places stand as answers, so that they are scored as such.

    What the score said of the answers before (`details`) is left out.

    Args:
        items: rows of the predictions table, one for each place: the items of one run.
        places_deg: float64[n, 2].
        reader: entered as `backbone`.
    """
    answers = [write_coordinates(latitude, longitude) for latitude, longitude in places_deg]
    return items.drop(columns="details", errors="ignore").assign(answer=answers, backbone=reader, stop="eos")


def states_as_answers(runs: Sequence[HoldsStates], predictions: pd.DataFrame) -> pd.DataFrame:
    """What a head reads from every layer of every run, as answers to the coordinate questions.

    The states are those of the last prompt token: the model has seen picture and question, and nothing of the answer.

    Args:
        runs: hidden states of the splits train, validation and test.
        predictions: coordinate answers of the test split to the items' own pictures, of which the items with hidden
            states are taken, so that what is read and what was said are compared on the same cards.

    Returns:
        The rows of these items for each run and layer, with the place that was read as `answer`; the columns `layer`
        and `validation_km` beside those of `predictions`, which lose `details`.

    Raises:
        ValueError: a run whose items have no predictions; everything that :func:`read_places` refuses.
    """
    task = "seismic_coordinates"
    tables = []
    for run in runs:
        own = predictions[(predictions["backbone"] == run.backbone) & (predictions["seed"] == run.seed)]
        wanted = run.items("test", task)["item"].tolist()
        missing = set(wanted) - set(own["item"])
        if missing:
            raise ValueError(
                f"{run.backbone}, seed {run.seed}: hidden states of {len(missing)} items without predictions, such as "
                f"'{min(missing)}'"
            )
        rows = own.set_index("item").loc[wanted].reset_index()[list(own.columns)]
        places = {
            split: np.array(
                [(facts["latitude"], facts["longitude"]) for facts in run.items(split, task)["facts"]]
            ).reshape(-1, 2)
            for split in ("train", "validation")
        }
        for entry in range(run.layers + 1):
            states = {
                split: run.layer(entry, "clean", POSITION, split=split, task=task)
                for split in ("train", "validation", "test")
            }
            read = read_places(
                states["train"],
                places["train"],
                states["validation"],
                places["validation"],
                states["test"],
            )
            answers = as_answers(rows, read.places, run.backbone)
            tables.append(answers.assign(layer=entry, validation_km=read.validation_km))
    columns = [*(name for name in predictions.columns if name != "details"), "layer", "validation_km"]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=columns)


def best_layers(read: pd.DataFrame) -> pd.DataFrame:
    """Of the answers of :func:`states_as_answers`, those of each run's best layer, by its validation items."""
    best = read.groupby(["backbone", "seed"])["validation_km"].transform("min")
    kept = read[read["validation_km"] == best]
    return kept[kept["layer"] == kept.groupby(["backbone", "seed"])["layer"].transform("min")]
