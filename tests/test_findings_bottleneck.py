"""barnlib.report.findings_bottleneck: titles say what their tables say."""

import numpy as np
import pandas as pd
import pytest

from barnlib.report import findings_bottleneck as said

TITLES = {"a": "First", "b": "Second"}


def test_the_widest_gap_to_the_best_backbone_is_said():
    table = pd.DataFrame(
        [
            ("colour", "a", 0.3, 0.9),
            ("colour", "b", 0.6, 0.9),
            ("shape", "a", 0.5, 0.95),
            ("shape", "b", 0.1, 0.95),
        ],
        columns=["question_type", "backbone", "estimate", "probe"],
    )
    told = said.probe_title(table, TITLES)
    assert told == "Shape: a probe reads 95% from the features, First says 50%"
    facts = table.rename(columns={"question_type": "fact"}).replace({"fact": {"shape": "depth_class"}})
    told = said.probe_title(facts, TITLES, "fact")
    assert told == "Depth class: a probe reads 95% from the features, First says 50%"


def test_the_hardest_to_read_is_so_for_the_studys_encoder():
    table = pd.DataFrame(
        [
            ("colour", "trained encoder", 0.9, 0.2),
            ("shape", "trained encoder", 0.6, 0.3),
            ("colour", "random encoder", 0.1, 0.2),
            ("shape", "random encoder", 0.5, 0.3),
        ],
        columns=["property", "kind", "value", "chance"],
    )
    attributes, numbers = table.assign(measure="accuracy"), table.assign(measure="R²")
    hardest = "The hardest attribute to read is shape: 60%, by chance 30%"
    assert said.hardest_attribute_title(attributes) == f"{hardest}, with random weights 50%"
    hardest = "The hardest number to read is shape: R² 0.60"
    assert said.hardest_number_title(numbers) == f"{hardest}, with random weights 0.50"
    random = numbers[numbers["kind"] == "random encoder"]
    assert said.hardest_number_title(random) == "The hardest number to read is colour: R² 0.10"


def test_what_training_adds_is_said_for_each_measure_and_without_position():
    values = {
        ("accuracy", "colour"): (1.0, 0.98),
        ("accuracy", "shape"): (0.9, 0.5),
        ("accuracy", "position"): (1.0, 0.1),
        ("R²", "depth"): (0.8, 0.7),
        ("R²", "longitude"): (0.7, 0.72),
    }
    table = pd.DataFrame(
        (measure, name, kind, value)
        for place, kind in enumerate(("trained encoder", "random encoder"))
        for (measure, name), pair in values.items()
        for value in pair[place : place + 1]
    ).set_axis(["measure", "property", "kind", "value"], axis=1)
    assert said.training_sentence(table) == (
        "The trained encoder is ahead of random weights in accuracy most on shape (90% against 50%), least on colour "
        "(100% against 98%); in R² most on depth (0.80 against 0.70), least on longitude (0.70 against 0.72)."
    )
    alone = table[table["kind"] == "random encoder"]
    assert said.training_sentence(alone) == "The study's encoder itself has random weights."


def test_what_probes_were_fitted_and_scored_on_is_said():
    named = ["magnitude_class", "depth_class", "position"]
    table = pd.DataFrame({"property": named, "chance": [0.31, 0.37, 0.12], "n": 1500})
    assert said.fit_sentence(table, 1000) == (
        "Fitted on up to 1,000 training pictures, scored on test pictures (n = 1,500). "
        "The most frequent value alone is right on: magnitude class 31%, depth class 37%."
    )
    assert said.fit_sentence(table[:0], 1000) == "Nothing was probed."


def test_a_probe_below_a_backbone_is_no_ceiling():
    near = pd.DataFrame({"backbone": ["a", "b", "probe"], "estimate": [0.5, 0.75, 0.4]})
    assert said.place_sentence(near, "probe", TITLES) == (
        "Second is within the tolerance on 75%, the probe on 40%: a linear probe is no ceiling here."
    )
    above = said.place_sentence(near.assign(estimate=[0.5, 0.3, 0.9]), "probe", TITLES)
    assert above == (
        "First is within the tolerance on 50%, the probe on 90%: what the probe reads is not all said."
    )


def test_without_control_encoders_the_cause_is_not_tested():
    cause = "whether a task is limited by what the encoder sees"
    nothing = f"{cause} is not tested, and probes can only suggest it."
    assert said.controls_sentence([], ["Random", "Oracle"]) == (
        f"No results under a control encoder (Random, Oracle): {nothing}"
    )
    assert said.controls_sentence([], []) == f"This study has no control encoders: {nothing}"
    assert said.controls_sentence(["Oracle"], ["Random"]) == (
        f"Control encoders with results: Oracle; without: Random. W{cause[1:]} is tested in part."
    )
    assert (
        said.controls_sentence(["Random", "Oracle"], []) == "Control encoders with results: Random, Oracle."
    )


def test_encoders_are_compared_by_their_mean_score():
    table = pd.DataFrame({"encoder": ["CLIP", "SigLIP", "CLIP"], "estimate": [0.2, 0.5, 0.4]})
    assert said.encoders_title(table) == "Mean score over tasks and backbones: CLIP 30%, SigLIP 50%"
    alone = said.encoders_title(table[table["encoder"] == "CLIP"])
    assert alone == "Scores under one encoder, CLIP: there is no other to compare it with"


def test_gains_are_said_in_points_by_task():
    gains = pd.DataFrame(
        {"a": "a", "b": "b", "task": ["vqa_scene", "seismic_coordinates"], "estimate": [0.124, -0.031]}
    )
    assert said.gains_title(gains, TITLES) == (
        "First → Second, points: VQA-Scene +12, Seismic coordinate prediction -3"
    )


def test_a_source_of_variance_is_named_only_where_its_interval_lies_above_one_half():
    columns = ["term", "share_of_runs", "share_of_runs_low", "share_of_runs_high"]
    clear = pd.DataFrame(
        [("backbone", 0.8, 0.6, 0.9), ("seed", 0.2, 0.1, 0.4), ("items", np.nan, np.nan, np.nan)],
        columns=columns,
    )
    wide = pd.DataFrame([("backbone", 0.0, 0.0, 0.53), ("seed", 1.0, 0.47, 1.0)], columns=columns)
    no_interval = pd.DataFrame(
        [("seed", 1.0, np.nan, np.nan), ("backbone", 0.0, np.nan, np.nan)], columns=columns
    )
    alone = pd.DataFrame([("backbone", 1.0, 1.0, 1.0)], columns=columns)
    nothing = clear.assign(share_of_runs=np.nan)
    tables = {"vqa_scene": clear, "seismic_description": nothing, "seismic_coordinates": wide}
    named = "Runs differ most: VQA-Scene by backbone (80%, 60% to 90%)"
    unknown = "What makes runs differ most cannot be told with"
    assert said.variance_title(tables, 3) == f"{named}. {unknown} 3 seeds: Seismic coordinate prediction"
    assert said.variance_title({"vqa_scene": clear}, 3) == named
    assert said.variance_title({"vqa_scene": no_interval}, 3) == f"{unknown} 3 seeds: VQA-Scene"
    assert said.variance_title({"vqa_scene": alone}, 1) == f"{unknown} 1 seed: VQA-Scene"
    same = "All runs score the same: there is nothing to split"
    assert said.variance_title({"vqa_scene": nothing}, 3) == same
    assert said.variance_title({}, 3) == same


def test_reading_captions_is_one_row_for_each_task():
    bounds = pd.DataFrame(
        [
            ("colour", "a", 0.5),
            ("count", "a", 1.0),
            ("unasked", "a", 0.0),
            ("description", "a", 0.25),
            ("coordinates_as_json", "a", 0.75),
            ("coordinates_as_json", "b", 0.5),
        ],
        columns=["question", "backbone", "accuracy"],
    )
    table = said.text_table(bounds, TITLES, ["colour", "count"])
    assert table["First"].to_dict() == {
        "VQA-Scene": pytest.approx(0.75),
        "Seismic text description": 0.25,
        "Seismic coordinate prediction": 0.75,
    }
    assert table.loc["Seismic coordinate prediction", "Second"] == 0.5
    assert np.isnan(table.loc["VQA-Scene", "Second"])
