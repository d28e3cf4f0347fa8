"""Features from the cache, what probes read from them, and what cards of backbones say."""

import shutil

import numpy as np
import pandas as pd
import pytest
import yaml
from prediction_tables import table
from safetensors.numpy import save_file

from barnlib import parameters
from barnlib.analyses import bounds
from barnlib.analyses.location_head import read_places
from barnlib.analyses.metrics import accuracy_table
from barnlib.artefacts import seal, write_json
from barnlib.data.build import build_data, load_pictures
from barnlib.probes import probe

SPLITS = ("train", "validation", "test")


def unit_vector(facts):
    latitude, longitude = np.radians([facts["latitude_deg"], facts["longitude_deg"]])
    return np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)


@pytest.fixture(scope="module")
def planted(tiny_study):
    """Cached features by image, noise but for the place of a card in its first token."""
    build_data(tiny_study)
    rng, values = np.random.default_rng(0), {}
    for split in SPLITS:
        for one in load_pictures(tiny_study, split):
            tokens = rng.normal(size=(9, 8)).astype(np.float32)
            if one.kind == "card":
                tokens[0, :3] = 50 * np.array(unit_vector(one.facts))
            values[one.image] = tokens
    folder = tiny_study.folder / "features"
    folder.mkdir(parents=True)
    save_file({"features": np.stack(list(values.values()))}, folder / "features.safetensors")
    write_json(folder / "images.json", list(values))
    seal(folder, {})
    return values


def test_features_come_in_the_order_that_was_asked_for(planted, tiny_study):
    images = list(planted)[3:7]
    found = bounds.read_features(tiny_study, images[::-1])
    np.testing.assert_array_equal(found, np.stack([planted[image] for image in images[::-1]]))
    with pytest.raises(ValueError, match=r"no features for image 'none\.png' \(1 missing\)"):
        bounds.read_features(tiny_study, ["none.png", images[0]])


def test_changed_features_are_refused(planted, tiny_study):
    path = tiny_study.folder / "features" / "images.json"
    before = path.read_bytes()
    path.write_bytes(before + b" ")
    with pytest.raises(ValueError, match=r"features/images\.json: expected SHA-256"):
        bounds.read_features(tiny_study, [])
    path.write_bytes(before)


def test_probes_are_fitted_on_the_first_training_scenes_and_scored_on_all_test_scenes(planted, tiny_study):
    scenes = [one for one in load_pictures(tiny_study, "train") if one.kind == "scene"][:5]
    test = [one for one in load_pictures(tiny_study, "test") if one.kind == "scene"]
    assert (len(scenes), len(test)) == (5, 3)
    seen, unseen = (np.stack([planted[one.image] for one in side]) for side in (scenes, test))
    expected = probe(seen, scenes, unseen, test)[bounds.PROBED].assign(encoder="Tiny")
    pd.testing.assert_frame_equal(bounds.probed(tiny_study, pictures=5), expected)


def test_pictures_that_nothing_is_known_of_are_not_probed(planted, tiny_study, monkeypatch):
    def only_cards(study, split):
        return [one for one in load_pictures(study, split) if one.kind == "card"]

    monkeypatch.setattr(bounds, "_pictures", only_cards)
    found = bounds.probed(tiny_study, pictures=5)
    assert found.empty and list(found) == [*bounds.PROBED, "encoder"]


def test_classes_are_read_where_the_features_hold_the_number(planted, tiny_study, monkeypatch):
    """Features that are the magnitude, and hold nothing of the depth."""

    def features(study, images):
        facts = {one.image: one.facts for split in SPLITS for one in load_pictures(study, split)}
        return np.array([[[facts[image]["magnitude"]]] for image in images], dtype=np.float32)

    monkeypatch.setattr(bounds, "read_features", features)
    monkeypatch.setattr(bounds, "PENALTIES", [1e-6])
    cards = [one for one in load_pictures(tiny_study, "test") if one.kind == "card"]
    found = bounds.probed_classes(tiny_study, [one.image for one in cards[::-1]], pictures=6)
    assert found["property"].tolist() == ["magnitude_class", "depth_class"]
    assert found["n"].tolist() == [3, 3]
    magnitude, depth = found.to_dict("records")
    assert magnitude["value"] == 1.0
    named = [min(int(one.facts["magnitude"]), 7) for one in cards]
    assert magnitude["chance"] == pytest.approx(max(map(named.count, named)) / 3)
    assert depth["value"] < 1.0, "nothing of the depth is there to be read"


def test_numbers_beyond_the_classes_belong_to_the_last_of_them(planted, tiny_study, monkeypatch):
    """A regression may predict a depth above the ground, which no class holds."""

    class Far:
        def __init__(self, *_):
            self.value = 0.0

        def fit(self, seen, values):
            self.value = -100.0 if max(values) > 10 else 100.0  # depths in km, or magnitudes

        def predict(self, unseen):
            return np.full(len(unseen), self.value)

    monkeypatch.setattr(bounds, "make_pipeline", Far)
    cards = [one for one in load_pictures(tiny_study, "test") if one.kind == "card"]
    found = bounds.probed_classes(tiny_study, [one.image for one in cards], pictures=6)
    expected = [
        np.mean([one.facts["magnitude"] >= 7 for one in cards]),
        np.mean([one.facts["depth_km"] < 70 for one in cards]),
    ]
    assert found["value"].tolist() == pytest.approx(expected)


def test_places_are_read_by_a_head_that_training_cards_fit_and_validation_cards_choose(planted, tiny_study):
    cards = {
        split: [one for one in load_pictures(tiny_study, split) if one.kind == "card"] for split in SPLITS
    }
    cards["train"] = cards["train"][:4]
    flat = {split: np.stack([planted[one.image].ravel() for one in found]) for split, found in cards.items()}
    places = {
        split: np.array([(one.facts["latitude_deg"], one.facts["longitude_deg"]) for one in found])
        for split, found in cards.items()
    }
    asked = [one.image for one in cards["test"]]
    expected = read_places(
        flat["train"],
        places["train"],
        flat["validation"],
        places["validation"],
        flat["test"],
        bounds.FEATURE_PENALTIES,
    ).places
    np.testing.assert_allclose(bounds.probed_places(tiny_study, asked, pictures=4), expected)


def test_probes_stand_beside_the_questions_that_ask_for_the_same():
    rows = table(
        [
            {"item": f"{n}", "question_type": name}
            for n, name in enumerate(("colour", "count", "shape", "position"))
        ]
    )
    probes = pd.DataFrame(
        {
            "property": ["colour", "shape", "position", "latitude_deg"],
            "measure": ["accuracy"] * 3 + ["R²"],
            "value": [0.9, 0.8, 1.0, 0.7],
        }
    )
    accuracy = accuracy_table(rows, ("backbone", "question_type"), rng=np.random.default_rng(0), resamples=5)
    found = bounds.seen_and_said(probes, accuracy).set_index("question_type")["probe"]
    assert found.to_dict() == {"colour": 0.9, "shape": 0.8}
    facts = bounds.seen_and_said(probes, accuracy.rename(columns={"question_type": "fact"}), "fact")
    assert facts.set_index("fact")["probe"].to_dict() == found.to_dict()
    assert bounds.seen_and_said(probes[probes["measure"] == "R²"], accuracy).empty, (
        "nothing on a photograph is probed"
    )


def test_text_bounds_come_from_the_cards_that_there_are(tiny_study, tiny_params, tmp_path, monkeypatch):
    assert bounds.text_bounds(tiny_study).empty, "the tiny checkpoints have no cards"
    params = shutil.copytree(tiny_params, tmp_path / "params")
    made = tmp_path / "made"
    made.mkdir()
    known = {"colour": {"accuracy": 0.75, "n": 40}, "description": {"accuracy": 0.5, "n": 10}}
    write_json(made / "card.json", {"what": "made here", "text_accuracy": known})
    for name, checkpoint in (("plain", str(made)), ("grouped", "someone/model")):
        path = params / f"backbones/{name}.yaml"
        content = yaml.safe_load(path.read_text())
        content["nano"]["checkpoint"] = checkpoint
        path.write_text(yaml.safe_dump(content))
    monkeypatch.setattr(parameters, "PARAMS", params)
    found = bounds.text_bounds(tiny_study)
    assert found.to_dict("list") == {
        "backbone": ["plain", "plain"],
        "question": ["colour", "description"],
        "accuracy": [0.75, 0.5],
        "n": [40, 10],
    }
    write_json(made / "card.json", {"what": "made before cards had accuracies"})
    none = bounds.text_bounds(tiny_study)
    assert none.empty and list(none) == ["backbone", "question", "accuracy", "n"]
