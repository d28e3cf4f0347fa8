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
from barnlib.data.records import first_of_each_kind
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


def test_probes_are_fitted_on_the_first_training_pictures_and_scored_on_all_test_pictures(
    planted, tiny_study
):
    train = first_of_each_kind(load_pictures(tiny_study, "train"), 5)
    test = load_pictures(tiny_study, "test")
    assert len(train) == 10
    seen, unseen = (np.stack([planted[one.image] for one in side]) for side in (train, test))
    expected = probe(seen, train, unseen, test).assign(encoder="Tiny")
    pd.testing.assert_frame_equal(bounds.probed(tiny_study, pictures=5), expected)


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
        [{"item": f"{n}", "question_type": name} for n, name in enumerate(("colour", "count", "shape"))]
    )
    probes = pd.DataFrame(
        {
            "property": ["colour", "shape", "latitude_deg"],
            "measure": ["accuracy"] * 2 + ["R²"],
            "value": [0.9, 0.8, 0.7],
        }
    )
    accuracy = accuracy_table(rows, ("backbone", "question_type"), rng=np.random.default_rng(0), resamples=5)
    found = bounds.seen_and_said(probes, accuracy).set_index("question_type")["probe"]
    assert found.to_dict() == {"colour": 0.9, "shape": 0.8}
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
