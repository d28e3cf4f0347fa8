"""A head on the sphere reads a place that is in the states, and none that is not."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prediction_tables import coordinates, table

from barnlib.analyses.coordinates import coordinate_rows
from barnlib.analyses.location_head import (
    as_answers,
    best_layers,
    distances_km,
    places_of,
    read_places,
    states_as_answers,
    unit_vectors,
)
from barnlib.data.descriptions import write_coordinates

RNG = np.random.default_rng


def sphere(count: int, rng: np.random.Generator) -> np.ndarray:
    """Places spread evenly over the sphere, float64[count, 2] in degrees."""
    return np.stack([np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)], 1)


@given(st.floats(-89, 89), st.floats(-179.9, 179.9), st.floats(0.01, 100))
def test_a_vector_of_any_length_gives_its_place_back(
    latitude: float, longitude: float, length: float
) -> None:
    place = np.array([[latitude, longitude]])
    np.testing.assert_allclose(places_of(length * unit_vectors(place)), place, atol=1e-9)


def test_known_directions() -> None:
    np.testing.assert_allclose(
        unit_vectors([[0, 0], [90, 50], [0, -90]]), [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12
    )


def test_a_place_that_is_in_the_states_is_read_even_across_the_date_line() -> None:
    rng = RNG(0)
    places = sphere(300, rng)
    states = unit_vectors(places) @ rng.normal(size=(3, 24)) + rng.normal(0, 0.01, (300, 24)) + 5
    read = read_places(states[:200], places[:200], states[200:240], places[200:240], states[240:]).places
    assert np.median(distances_km(read, places[240:])) < 100
    near_line = np.abs(places[240:, 1]) > 170
    assert near_line.any() and distances_km(read[near_line], places[240:][near_line]).max() < 500


def test_states_without_the_place_read_no_better_than_the_best_constant() -> None:
    rng = RNG(1)
    places, states = sphere(300, rng), rng.normal(size=(300, 24))
    read, penalty, _ = read_places(states[:200], places[:200], states[200:240], places[200:240], states[240:])
    assert np.median(distances_km(read, places[240:])) > 7000  # a quarter of the circumference is 10,008 km
    assert penalty > 0.1


def test_the_test_items_play_no_part_in_the_choice() -> None:
    rng = RNG(2)
    places, states = sphere(120, rng), rng.normal(size=(120, 8))
    split = (states[:60], places[:60], states[60:90], places[60:90])
    whole, chosen, _ = read_places(*split, states[90:])
    one, same, _ = read_places(*split, states[90:91])
    np.testing.assert_allclose(one, whole[:1])
    assert chosen == same
    assert read_places(*split, states[:0]).places.shape == (0, 2)


def test_what_cannot_be_fitted_is_refused() -> None:
    states, places = np.zeros((4, 3)), np.zeros((4, 2))
    with pytest.raises(ValueError, match=r"train: 4 states and 3 places; expected as many, at least one"):
        read_places(states, places[:3], states, places, states)
    with pytest.raises(ValueError, match=r"validation: 0 states and 0 places"):
        read_places(states, places, states[:0], places[:0], states)
    with pytest.raises(ValueError, match=r"test: hidden states hold values that are not finite"):
        read_places(states, places, states, places, states + np.inf)


def test_what_is_read_is_scored_as_an_answer() -> None:
    items = table([coordinates("a", "in Fiji"), coordinates("b", "nowhere", stop="length")])
    rows = coordinate_rows(as_answers(items, np.array([[-6.0, 128.0], [6.0, -190.0]]), "states"))
    assert rows["stage"].tolist() == ["range"] * 2 and rows["error_km"].iloc[0] == 0
    assert rows["backbone"].tolist() == ["states"] * 2 and rows["stop"].tolist() == ["eos"] * 2


def test_what_was_said_of_the_answer_before_is_not_taken_for_what_is_read() -> None:
    said_far = '{"stage": "range", "error_km": 9000.0, "lenient_error_km": 9000.0}'
    items = table([coordinates("a", "in Fiji")]).assign(details=said_far)
    assert coordinate_rows(as_answers(items, np.array([[-6.0, 128.0]]), "states"))["error_km"].tolist() == [0]


class Held:
    """Hidden states of a run whose second layer holds the place, and whose others hold nothing."""

    layers = 2

    def __init__(self, backbone: str, seed: int) -> None:
        self.backbone, self.seed = backbone, seed
        self.places = {split: sphere(count, RNG(count)) for split, count in COUNTS.items()}

    def items(self, split: str = "test", task: str | None = None) -> pd.DataFrame:
        facts = [{"latitude": a, "longitude": b} for a, b in self.places[split]]
        return pd.DataFrame({"item": [f"{split}-{n}" for n in range(len(facts))], "facts": facts})

    def layer(self, entry: int, view: str, position: str, *, split: str = "test", task: str | None = None):
        assert (view, position, task) == ("clean", "last_prompt_token", "seismic_coordinates")
        noise = RNG([entry, COUNTS[split]]).normal(size=(COUNTS[split], 12))
        signal = unit_vectors(self.places[split]) @ RNG(0).normal(size=(3, 12))
        return (noise * 0.01 + signal if entry == 1 else noise).astype(np.float32)


COUNTS = {"train": 150, "validation": 40, "test": 30}


def said(run: Held) -> pd.DataFrame:
    places = run.places["test"]
    rows = [
        coordinates(
            f"test-{n}", "in Fiji", backbone=run.backbone, seed=run.seed, reference=write_coordinates(*place)
        )
        for n, place in enumerate(places)
    ]
    return table(rows[::-1])  # another order than that of the states


def test_every_layer_is_read_and_the_best_is_chosen_by_validation() -> None:
    runs = [Held("a", 0), Held("a", 1), Held("b", 0)]
    read = states_as_answers(runs, pd.concat([said(run) for run in runs]))
    assert len(read) == 3 * 3 * COUNTS["test"] and set(read["layer"]) == {0, 1, 2}
    errors = coordinate_rows(read).groupby(read["layer"])["error_km"].median()
    assert errors[1] < 100 and errors[[0, 2]].min() > 5000
    best = best_layers(read)
    assert set(best["layer"]) == {1} and len(best) == 3 * COUNTS["test"]
    assert best.groupby(["backbone", "seed"])["item"].nunique().eq(COUNTS["test"]).all()


def test_states_of_items_without_predictions_are_refused() -> None:
    run = Held("a", 0)
    with pytest.raises(
        ValueError, match=r"a, seed 0: hidden states of 1 items without predictions, such as 'test-29'"
    ):
        states_as_answers([run], said(run).iloc[1:])
    assert states_as_answers([], said(run)).empty
    assert "details" not in states_as_answers([], said(run).assign(details="{}")).columns
