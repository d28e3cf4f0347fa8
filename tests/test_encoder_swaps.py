"""Control studies are found, read together with the study, and refused where they cannot be compared."""

import json
import shutil

import pandas as pd
import pytest
import yaml
from prediction_tables import answers

from barnlib import parameters
from barnlib.analyses import encoder_swaps
from barnlib.artefacts import seal
from barnlib.data.build import build_data
from barnlib.parameters import load_study


@pytest.fixture
def studies(tmp_path, monkeypatch, tiny_params):
    """The tiny study with a control, one that differs in more than the encoder, and a broken file of another name."""
    params = shutil.copytree(tiny_params, tmp_path / "params")
    checkpoint = yaml.safe_load((params / "encoders/clip.yaml").read_text())["nano"]["checkpoint"]
    (params / "encoders/random.yaml").write_text(
        f"title: Random weights\nkind: random\nnano: {{checkpoint: '{checkpoint}', seed: 1}}\n"
    )
    (params / "studies/tiny_random.yaml").write_text("base: tiny\nseeds: [0]\nencoder: {name: random}\n")
    (params / "studies/tiny_other.yaml").write_text("base: tiny\nalign: {epochs: 3.0}\n")
    (params / "studies/elsewhere.yaml").write_text("this is no study")
    monkeypatch.setattr(parameters, "PARAMS", params)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    return load_study("tiny")


def write_all(study) -> None:
    """Data, and made-up answers of every run."""
    build_data(study)
    for backbone in study.backbones:
        for seed in study.seeds:
            folder = study.folder / "evaluate" / f"{backbone}-seed{seed}"
            folder.mkdir(parents=True)
            made = answers({backbone: 0.5}, seeds=1, images=4, questions=2)
            made.assign(seed=seed, study=study.name).to_parquet(folder / "predictions.parquet")
            seal(folder, {})


def test_controls_are_the_studies_that_differ_in_the_encoder_only(studies):
    assert [one.name for one in encoder_swaps.control_studies(studies)] == ["tiny_random", "tiny"]


def test_a_control_that_was_not_run_is_named_with_its_command(studies):
    write_all(studies)
    found, missing = encoder_swaps.read_controls(studies)
    assert set(found["encoder"]) == {"Tiny"} == {encoder_swaps.own_encoder(studies)}
    assert list(missing) == ["Random weights"]
    assert "make study STUDY=tiny_random" in missing["Random weights"]


def test_controls_that_were_run_stand_beside_the_study(studies):
    write_all(studies)
    write_all(load_study("tiny_random"))
    found, missing = encoder_swaps.read_controls(studies)
    assert list(dict.fromkeys(found["encoder"])) == ["Random weights", "Tiny"] and not missing
    assert set(found["study"]) == {"tiny"}, "so that tables may hold both"
    assert found.groupby("encoder")["seed"].nunique().to_dict() == {"Random weights": 1, "Tiny": 2}


def test_the_study_itself_must_have_been_run(studies):
    with pytest.raises(ValueError, match="make study STUDY=tiny`"):
        encoder_swaps.read_controls(studies)


def test_a_control_that_was_run_in_part_says_what_is_missing(studies):
    write_all(studies)
    other = load_study("tiny_random")
    write_all(other)
    shutil.rmtree(other.folder / "evaluate" / "grouped-seed0")
    _, missing = encoder_swaps.read_controls(studies)
    assert "grouped-seed0" in missing["Random weights"]


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
        encoder_swaps.read_controls(studies)


def test_shares_of_the_variance_become_evidence_on_the_seeds_that_all_have(studies):
    ends = ("", "_low", "_high")
    values = {"encoder": (0.7, 0.5, 0.8), "backbone": (0.1, float("nan"), 0.2), "seed": (0.2, 0.1, 0.3)}
    split = pd.DataFrame(
        [
            {"term": term, **dict(zip((f"share_of_runs{end}" for end in ends), found, strict=True))}
            for term, found in values.items()
        ]
    )
    runs = {("Random weights", 0): 0.2, ("Tiny", 0): 0.5, ("Tiny", 1): 0.5}
    table = pd.concat(
        [
            answers(dict.fromkeys(("plain", "grouped"), skill), seeds=1, images=4, questions=2).assign(
                encoder=encoder, seed=seed
            )
            for (encoder, seed), skill in runs.items()
        ]
    )
    encoder, backbone = encoder_swaps.share_evidence(studies, table, {"vqa_scene": split})
    assert (encoder.claim, encoder.measure, encoder.task) == ("C6", "encoder_variance_share", "vqa_scene")
    assert (encoder.a, encoder.b, encoder.n, encoder.images, encoder.seeds) == ("plain", "grouped", 8, 4, 1)
    assert encoder.se is None, "its interval is of percentiles"
    assert (encoder.estimate, encoder.low, encoder.high) == values["encoder"]
    assert "encoders: Random weights, Tiny; backbones: all of the study" in encoder.note
    assert (backbone.measure, backbone.estimate, backbone.low) == ("backbone_variance_share", 0.1, None)
