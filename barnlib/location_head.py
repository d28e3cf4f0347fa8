"""What hidden states hold of a place, whether or not the model can write it: a regression head on the sphere.

In:  hidden states of one layer and position, and the true places of the same items.
Out: places read from the states of other items, scored as answers are; the notebook on coordinates puts them beside.

A place is a unit vector, so that 180 E and 180 W are one, and the head is a ridge regression on its three components.
What it predicts is brought back to the sphere by its direction.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from barnlib.data.answers import great_circle_km
from barnlib.data.descriptions import write_coordinates

Array = NDArray[np.float64]
States = NDArray[np.floating]
PENALTIES = tuple(float(penalty) for penalty in np.logspace(-1, 5, 13))


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
) -> tuple[Array, float]:
    """Places that a ridge regression reads from hidden states.

    Fitted on training items with each penalty; that with the lowest median distance on validation items reads the
    test items. Test items play no part in the choice.

    Args:
        train, validation, test: float[n, D], hidden states.
        train_places, validation_places: float64[n, 2], degrees.

    Returns:
        float64[n, 2], latitude and longitude in degrees of the test items, and the penalty chosen.

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
    return read, chosen


def distances_km(places_deg: Array, other_places_deg: Array) -> Array:
    """Great-circle distances in km, float64[n], between float64[n, 2] and float64[n, 2] in degrees."""
    (latitude, longitude), (other_latitude, other_longitude) = (
        np.asarray(places, dtype=np.float64).reshape(-1, 2).T for places in (places_deg, other_places_deg)
    )
    return great_circle_km(latitude, longitude, other_latitude, other_longitude)


def as_answers(items: pd.DataFrame, places_deg: Array, reader: str) -> pd.DataFrame:
    """Rows of the predictions table in which a reader's places stand as answers, so that they are scored as such.

    Args:
        items: rows of the predictions table, one for each place: the items of one run.
        places_deg: float64[n, 2].
        reader: entered as `backbone`.
    """
    answers = [write_coordinates(latitude, longitude) for latitude, longitude in places_deg]
    return items.assign(answer=answers, backbone=reader, stop="eos")
