"""Baselines against values by hand, and as rows that the analyses take beside a backbone's."""

import json

import numpy as np
import pandas as pd
import pytest
from prediction_tables import FACTS as TRUTH

from barnlib.analyses.baselines import (
    BASELINES,
    baseline_predictions,
    densest_location,
    mean_location,
    median_location,
    typical_facts,
)
from barnlib.analyses.coordinates import coordinate_errors, coordinate_ladder
from barnlib.analyses.metrics import PREDICTION_COLUMNS, accuracy_table, fact_table, paired_differences
from barnlib.data.answers import extract_facts
from barnlib.data.descriptions import write_coordinates, write_description
from barnlib.data.records import Item

RNG = np.random.default_rng


def scene(
    number: int, answer: str, question_type: str = "colour", choices: tuple[str, ...] = ("red", "blue")
) -> Item:
    return Item(f"s{number}", f"s{number}.png", "vqa_scene", question_type, "easy", "?", answer, choices, {})


def describe(number: int, **facts: object) -> Item:
    truth = {**TRUTH, **facts}
    text = write_description(truth, RNG(number))
    return Item(
        f"d{number}", f"c{number}.png", "seismic_description", "description", "medium", "?", text, (), truth
    )


def locate(number: int, latitude: float, longitude: float) -> Item:
    text = write_coordinates(latitude, longitude)
    place = {"latitude": latitude, "longitude": longitude}
    return Item(
        f"l{number}", f"c{number}.png", "seismic_coordinates", "coordinates", "hard", "?", text, (), place
    )


TRAIN = [
    *[scene(k, "red") for k in range(3)],
    *[scene(3 + k, "blue") for k in range(2)],
    *[scene(5 + k, "yes", "negation", ("yes", "no")) for k in range(4)],
    *[scene(9 + k, "3", "negation", ("2", "3")) for k in range(2)],
    *[describe(k, region="Turkey", p_time_s=300) for k in range(3)],
    *[describe(3 + k, region="Nepal", p_time_s=600 + 10 * k) for k in range(4)],
    *[locate(k, 10.0 + k, 170.0) for k in range(3)],
    locate(3, -60.0, -170.0),
]
TEST = [scene(100, "red"), scene(101, "2", "negation", ("2", "3")), describe(100), locate(100, 11.0, 171.0)]


def rows(items: list[Item] = TEST, **options: object) -> pd.DataFrame:
    settings = {"study": "toy", "split": "test", "tolerance_km": 1000.0, "rng": RNG(0), **options}
    return baseline_predictions(TRAIN, items, **settings)


def test_the_most_frequent_answer_of_type_and_list() -> None:
    found = rows(names=["most_frequent"]).set_index("item")
    assert found.loc["s100", "answer"] == "red" and found.loc["s100", "correct"]
    assert found.loc["s101", "answer"] == "3" and not found.loc["s101", "correct"]
    facts = extract_facts(found.loc["d100", "answer"])
    assert facts["region"] == "Nepal"
    assert json.loads(found.loc["l100", "answer"])["longitude"] == 170.0
    assert found.loc["l100", "correct"]


def test_the_typical_number_is_right_for_most_within_its_tolerance() -> None:
    values = [300, 300, 300, 560, 600, 640, 650]  # 600 is within 10 % of four of them, 300 of three
    facts = [{**TRUTH, "p_time_s": value} for value in values]
    assert typical_facts(facts)["p_time_s"] == 600


def test_locations_by_hand() -> None:
    places = np.array([[0.0, 170.0], [0.0, -170.0]])
    latitude, longitude = mean_location(places)
    assert (latitude, abs(longitude)) == pytest.approx((0, 180))
    assert median_location(np.array([[0.0, 170.0], [10.0, 175.0], [50.0, -175.0]])) == pytest.approx(
        (10, 175)
    )
    assert median_location(np.array([[0.0, -29.0], [0.0, -31.0], [0.0, -31.0]]))[1] == pytest.approx(-31)
    dense = np.array([[60.0, 0.0], [0.0, 100.0], [1.0, 101.0], [2.0, 102.0]])
    assert densest_location(dense, 200.0) == (1.0, 101.0)


def test_every_baseline_fills_the_predictions_table() -> None:
    found = rows()
    assert list(found) == list(PREDICTION_COLUMNS)
    assert tuple(found["backbone"].unique()) == BASELINES
    assert found.groupby("backbone").size().to_dict() == {
        "most_frequent": 4,
        "random_answer": 4,
        "mean_location": 1,
        "median_location": 1,
    }
    assert found["score"].between(0, 1).all()
    assert (found["condition"] == "image").all() and (found["seed"] == 0).all()
    assert found["parsed"].map(json.loads).notna().all()


def test_a_type_that_training_lacks_is_guessed_from_all_of_the_task() -> None:
    unseen = [scene(k, "circle", "shape", ("circle", "square")) for k in range(300)]
    found = rows(unseen, names=["most_frequent", "random_answer"])
    answers = found.groupby("backbone")["answer"]
    assert answers.unique()["most_frequent"].tolist() == ["yes"]  # 4 of the 11 scene questions of training
    drawn = answers.value_counts(normalize=True)["random_answer"]
    assert set(drawn.index) == {"red", "blue", "yes", "3"}
    assert drawn["yes"] == pytest.approx(4 / 11, abs=0.1)


def test_random_answers_come_from_training() -> None:
    items = [scene(200 + k, "red") for k in range(400)]
    found = rows(items, names=["random_answer"])
    assert found["answer"].isin(["red", "blue"]).all()
    assert found["correct"].mean() == pytest.approx(0.6, abs=0.1)
    again = rows(items, names=["random_answer"])
    assert found["answer"].tolist() == again["answer"].tolist()


def test_the_analyses_take_baselines() -> None:
    found = rows()
    assert accuracy_table(found, rng=RNG(0), resamples=20).shape[0] == 8
    seismic = found[found["task"] != "vqa_scene"]
    assert not fact_table(seismic, rng=RNG(0), resamples=20).empty
    assert len(coordinate_errors(seismic, rng=RNG(0), resamples=20)) == 4
    assert not coordinate_ladder(seismic, rng=RNG(0), resamples=20).empty
    pair = [("random_answer", "most_frequent")]
    assert len(paired_differences(found, rng=RNG(0), pairs=pair, resamples=20)) == 3


def test_what_cannot_be_guessed_is_named() -> None:
    with pytest.raises(ValueError, match="unknown baseline oracle; there are most_frequent"):
        rows(names=["oracle"])
    with pytest.raises(ValueError, match="training holds no question of the task vqa_scene to guess from"):
        baseline_predictions(
            [locate(1, 0.0, 0.0)],
            [scene(1, "circle", "shape", ("circle", "square"))],
            study="toy",
            split="test",
            tolerance_km=1000.0,
            rng=RNG(0),
            names=["most_frequent"],
        )
    with pytest.raises(ValueError, match="training holds no coordinates"):
        baseline_predictions(
            TRAIN[:3],
            [locate(1, 0.0, 0.0)],
            study="toy",
            split="test",
            tolerance_km=1000.0,
            rng=RNG(0),
            names=["mean_location"],
        )
