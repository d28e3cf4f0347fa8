"""Probes read what is planted in the states, and nothing more."""

import numpy as np
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler

from barnlib.analyses import state_probes
from barnlib.probes import PENALTIES
from tests.small_states import records, write, write_study

ITEMS = {"test": records("test", 30), "train": records("train", 90), "validation": []}
ANSWER, _, LATITUDE, LONGITUDE = state_probes.TARGETS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One run, whose states are drawn apart from what the items say."""
    return write(tmp_path_factory.mktemp("run"), ITEMS)


def test_what_is_not_there_is_not_read(run):
    table = state_probes.probe_table([run])
    assert len(table) == 4 * run.layers
    words = table[table["measure"] == "accuracy"]
    assert (words["chance"] == 0.5).all(), "two answers and two classes, each of half the items"
    assert (words["estimate"] - words["chance"]).abs().max() < 0.3, "three standard errors of 30 items"
    numbers = table[table["measure"] == "R²"]
    assert (numbers["chance"] == 0).all() and numbers["estimate"].max() < 0.3


def test_what_is_planted_is_read_in_its_layer_alone(run, monkeypatch):
    plain = type(run).layer

    def planted(self, entry, view, position, *, split="test", task=None):
        if entry != 2:
            return plain(self, entry, view, position, split=split, task=task)
        rows = self.items(split, task)
        told = [
            (
                row.answer == "yes",
                row.facts.get("magnitude_class") == "strong",
                row.facts.get("latitude", 0.0),
                (row.facts.get("longitude", 0.0) + 30) % 360,
            )
            for row in rows.itertuples()
        ]
        noise = np.random.default_rng(0).normal(size=(len(rows), 3))
        return np.hstack([np.array(told, float), noise]).astype(np.float32)

    monkeypatch.setattr(type(run), "layer", planted)
    table = state_probes.probe_table([run])
    there = (table["depth"] * run.layers).round() == 2
    found = table[there].set_index("target")["estimate"]
    assert found["answer to the question"] == 1.0 and found["magnitude class"] == 1.0
    assert found["latitude"] > 0.99 and found["longitude"] > 0.99
    assert table[~there]["estimate"].max() < 0.85


def test_r2_is_that_of_a_ridge_regression_with_each_picture_left_out(run):
    truth, fitted_on = (
        np.array([LATITUDE.value(row) for row in run.items(split, LATITUDE.task).to_dict("records")])
        for split in ("test", "train")
    )
    seen, unseen = (
        run.layer(1, "clean", "last_prompt_token", split=split, task=LATITUDE.task).astype(float)
        for split in ("train", "test")
    )
    scaler = StandardScaler().fit(seen)
    ridge = RidgeCV(PENALTIES).fit(scaler.transform(seen), fitted_on)
    errors = (ridge.predict(scaler.transform(unseen)) - truth) ** 2

    def r2(kept):
        return 1 - errors[kept].sum() / ((truth[kept] - truth[kept].mean()) ** 2).sum()

    found = state_probes._over_runs([run], LATITUDE, 1, "last_prompt_token")
    everything = np.arange(len(truth))
    assert found.values == pytest.approx([r2(everything)])
    left = np.array([r2(everything[everything != n]) for n in everything])
    np.testing.assert_allclose(found.influence[0], np.sqrt(29 / 30) * (left.mean() - left))


def test_longitudes_jump_at_the_edge_of_the_map_alone():
    east, west, edge, before = (
        LONGITUDE.value({"facts": {"longitude": degrees}}) for degrees in (179.5, -179.5, -30.0, -30.5)
    )
    assert west - east == pytest.approx(1) and edge == 0 and before == pytest.approx(359.5)


def test_only_words_among_the_choices_count():
    words = np.array(["blue", "no", "yes"])
    guesses = np.tile([9.0, 1.0, 2.0], (3, 1))
    items = [
        {"choices": ["yes", "no"], "answer": "yes"},
        {"choices": [], "answer": "blue"},
        {"choices": ["green"], "answer": "green"},
    ]
    assert state_probes._hits(guesses, words, items, ANSWER).tolist() == [1.0, 1.0, 0.0]


def test_chance_is_the_most_frequent_training_word_that_an_item_allows(tmp_path):
    def item(split, number, answer, choices):
        made = records(split, 1, ("vqa_scene",))[0]
        return made | {"item": f"{number}", "image": f"{number}.png", "answer": answer, "choices": choices}

    train = [item("train", n, answer, []) for n, answer in enumerate(["red"] * 3 + ["yes"] * 2 + ["no"])]
    test = [
        item("test", 0, "red", []),
        item("test", 1, "yes", ["yes", "no"]),
        item("test", 2, "no", ["yes", "no"]),
        item("test", 3, "blue", ["blue", "green"]),  # no training picture has any of them
    ]
    run = write(tmp_path, {"train": train, "test": test, "validation": []})
    assert state_probes.chance(run, ANSWER) == 0.5
    assert state_probes.chance(run, LATITUDE) == 0.0


def test_targets_of_tasks_without_items_are_left_out(tmp_path):
    runs = write_study(tmp_path, seeds=1, count=8, tasks=("vqa_scene", "seismic_coordinates"))
    table = state_probes.probe_table(runs)
    assert set(table["target"]) == {ANSWER.name, LATITUDE.name, LONGITUDE.name}
    assert table.groupby("backbone")["depth"].max().to_dict() == {"b0": 1.0, "b1": 1.0}


@pytest.mark.parametrize("count", [1, 2])
def test_few_pictures_have_a_score_without_an_interval_or_none(tmp_path, count):
    table = state_probes.probe_table(write_study(tmp_path, seeds=1, count=count, backbones=1))
    assert len(table) == 4 * 3
    numbers = table[table["measure"] == "R²"]
    assert numbers["low"].isna().all() and np.isfinite(numbers["estimate"]).all() == (count == 2)
