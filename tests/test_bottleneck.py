"""Control studies read together, gains against hand-made answers, and intervals that hold a known difference."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers, table
from safetensors.numpy import save_file

from barnlib import bottleneck, parameters
from barnlib.artefacts import seal, write_json
from barnlib.data.build import build_data, load_pictures
from barnlib.metrics import accuracy_table
from barnlib.parameters import load_study

RNG = np.random.default_rng
HOW = {"resamples": 50}


@pytest.fixture
def studies(tmp_path, monkeypatch, tiny_params):
    """The tiny study with a control, tiny_random, and another study that differs in more than the encoder."""
    params = shutil.copytree(tiny_params, tmp_path / "params")
    checkpoint = load_encoder_checkpoint(params)
    (params / "encoders/random.yaml").write_text(
        f"title: Random weights\nkind: random\nnano: {{checkpoint: '{checkpoint}', seed: 1}}\n"
    )
    (params / "studies/tiny_random.yaml").write_text("base: tiny\nseeds: [0]\nencoder: {name: random}\n")
    (params / "studies/tiny_other.yaml").write_text("base: tiny\nalign: {epochs: 3.0}\n")
    monkeypatch.setattr(parameters, "PARAMS", params)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    return load_study("tiny")


def load_encoder_checkpoint(params) -> str:
    import yaml

    return yaml.safe_load((params / "encoders/clip.yaml").read_text())["nano"]["checkpoint"]


def write_run(study, backbone: str, seed: int) -> None:
    folder = study.folder / "evaluate" / f"{backbone}-seed{seed}"
    folder.mkdir(parents=True)
    made = answers({backbone: 0.5}, seeds=1, images=4, questions=2).assign(seed=seed, study=study.name)
    made.to_parquet(folder / "predictions.parquet")
    seal(folder, {})


def write_all(study) -> None:
    build_data(study)
    for backbone in study.backbones:
        for seed in study.seeds:
            write_run(study, backbone, seed)


def test_controls_are_the_studies_that_differ_in_the_encoder_only(studies):
    assert [one.name for one in bottleneck.control_studies(studies)] == ["tiny_random", "tiny"]


def test_a_control_that_was_not_run_is_named_with_its_command(studies):
    write_all(studies)
    found, missing = bottleneck.read_controls(studies)
    assert set(found["encoder"]) == {"Tiny"} == {bottleneck.own_encoder(studies)}
    assert list(missing) == ["Random weights"]
    assert "make study STUDY=tiny_random" in missing["Random weights"]


def test_controls_that_were_run_stand_beside_the_study(studies):
    write_all(studies)
    write_all(load_study("tiny_random"))
    found, missing = bottleneck.read_controls(studies)
    assert list(dict.fromkeys(found["encoder"])) == ["Random weights", "Tiny"] and not missing
    assert set(found["study"]) == {"tiny"}, "so that tables may hold both"
    assert found.groupby("encoder")["seed"].nunique().to_dict() == {"Random weights": 1, "Tiny": 2}


def test_the_study_itself_must_have_been_run(studies):
    with pytest.raises(ValueError, match="make study STUDY=tiny`"):
        bottleneck.read_controls(studies)


def test_a_control_on_other_data_is_refused(studies):
    write_all(studies)
    other = load_study("tiny_random")
    write_all(other)
    manifest = other.folder / "data" / "manifest.json"
    files = json.loads(manifest.read_text())
    (other.folder / "data" / "more.txt").write_text("more")
    seal(other.folder / "data", {})
    assert files != json.loads(manifest.read_text())
    with pytest.raises(ValueError, match="'tiny_random' was run on other data than 'tiny'"):
        bottleneck.read_controls(studies)


def cached(study, values: dict[str, np.ndarray]) -> None:
    folder = study.folder / "features"
    folder.mkdir(parents=True)
    save_file({"features": np.stack(list(values.values()))}, folder / "features.safetensors")
    write_json(folder / "images.json", list(values))
    seal(folder, {})


def test_features_and_probes_come_from_the_cache(studies):
    build_data(studies)
    rng, values = RNG(0), {}
    for split in ("train", "validation", "test"):
        for one in load_pictures(studies, split):
            tokens = rng.normal(size=(9, 8)).astype(np.float32)
            if one.kind == "card":  # the place stands in the first token
                angles = np.radians([one.facts["latitude_deg"], one.facts["longitude_deg"]])
                tokens[0, :3] = 50 * np.array(
                    [
                        np.cos(angles[0]) * np.cos(angles[1]),
                        np.cos(angles[0]) * np.sin(angles[1]),
                        np.sin(angles[0]),
                    ]
                )
            values[one.image] = tokens
    cached(studies, values)
    cards = [one for one in load_pictures(studies, "test") if one.kind == "card"]
    images = [one.image for one in cards]
    np.testing.assert_array_equal(bottleneck.read_features(studies, images[::-1])[-1], values[images[0]])
    places = bottleneck.probed_places(studies, images, pictures=6)
    assert places.shape == (len(cards), 2) and np.isfinite(places).all()
    with pytest.raises(ValueError, match=r"no features for image 'none\.png' \(1 missing\)"):
        bottleneck.read_features(studies, ["none.png"])


def two_tasks(shift: dict[str, float], *, seeds: int = 3, images: int = 60, seed: int = 0) -> pd.DataFrame:
    """Answers of `old` and `new` on two tasks, where `new` is better by a known amount on each."""
    parts = []
    for number, (task, gain) in enumerate(shift.items()):
        part = answers(
            {"old": 0.4, "new": 0.4 + gain}, seeds=seeds, images=images, questions=2, seed=10 * seed + number
        )
        parts.append(part.assign(task=task, item=task + part["item"], image=task + part["image"]))
    return pd.concat(parts, ignore_index=True)


def test_gains_are_paired_differences_and_none_of_one_backbone():
    rows = two_tasks({"vqa_scene": 0.2, "seismic_description": 0.0})
    found = bottleneck.gains(rows, "old", "new", rng=RNG(0), **HOW).set_index("task")
    mean = rows.groupby(["task", "backbone"])["score"].mean().unstack()
    assert found["estimate"].to_dict() == pytest.approx((mean["new"] - mean["old"]).to_dict())
    assert bottleneck.gains(rows, "old", "old", rng=RNG(0), **HOW).empty


def test_the_difference_of_gains_is_that_of_the_means():
    rows = two_tasks({"vqa_scene": 0.3, "seismic_description": 0.05})
    tasks = ("vqa_scene", "seismic_description")
    found = bottleneck.gain_difference(rows, "old", "new", tasks=tasks, rng=RNG(0), resamples=500).iloc[0]
    mean = rows.groupby(["task", "backbone"])["score"].mean().unstack()
    gain = mean["new"] - mean["old"]
    assert found["estimate"] == pytest.approx(gain["seismic_description"] - gain["vqa_scene"])
    assert found["low"] <= found["estimate"] <= found["high"] and found["seeds"] == 3
    assert found["images"] == 120 and found["items"] == 240


@pytest.mark.parametrize("seeds", [1, 3])
def test_its_interval_holds_a_known_difference(seeds):
    hits = 0
    for trial in range(40):
        rows = two_tasks({"vqa_scene": 0.3, "seismic_description": 0.1}, seeds=seeds, images=40, seed=trial)
        found = bottleneck.gain_difference(
            rows, "old", "new", tasks=("vqa_scene", "seismic_description"), rng=RNG(trial), resamples=100
        ).iloc[0]
        hits += found["low"] <= -0.2 <= found["high"]
    assert hits >= 34


def test_backbones_that_share_nothing_have_no_difference_of_gains():
    rows = two_tasks({"vqa_scene": 0.3})
    with pytest.raises(ValueError, match="share no seed and item of task 'seismic_description'"):
        bottleneck.gain_difference(
            rows, "old", "new", tasks=("vqa_scene", "seismic_description"), rng=RNG(0), resamples=5
        )


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
    accuracy = accuracy_table(rows, ("backbone", "question_type"), rng=RNG(0), resamples=5)
    found = bottleneck.seen_and_said(rows, probes, accuracy).set_index("question_type")["probe"]
    assert found.to_dict() == {"colour": 0.9, "shape": 0.8}


def test_text_bounds_come_from_the_cards_that_there_are(studies, tmp_path, monkeypatch):
    assert bottleneck.text_bounds(studies).empty
    known = bottleneck.text_bounds(studies.model_copy(update={"backbones": ()}))
    assert list(known.columns) == ["backbone", "question", "accuracy", "n"]
