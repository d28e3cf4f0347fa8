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


def test_the_hardest_to_read_is_so_for_the_studys_encoder():
    table = pd.DataFrame(
        [
            ("colour", "trained encoder", 0.9, 0.2),
            ("shape", "trained encoder", 0.6, 0.3),
            ("size", "random encoder", 0.1, 0.5),
        ],
        columns=["property", "kind", "value", "chance"],
    )
    assert said.hardest_attribute_title(table) == "The hardest attribute to read is shape: 60%, by chance 30%"
    assert said.hardest_number_title(table) == "The hardest number to read is shape: R² 0.60"


def test_encoders_are_compared_by_their_mean_score():
    table = pd.DataFrame({"encoder": ["CLIP", "SigLIP", "CLIP"], "estimate": [0.2, 0.5, 0.4]})
    assert said.encoders_title(table) == "Mean score over tasks and backbones: CLIP 30%, SigLIP 50%"


def test_gains_are_said_in_points_by_task():
    gains = pd.DataFrame(
        {"a": "a", "b": "b", "task": ["vqa_scene", "seismic_coordinates"], "estimate": [0.124, -0.031]}
    )
    assert said.gains_title(gains, TITLES) == (
        "First → Second, points: VQA-Scene +12, Seismic coordinate prediction -3"
    )


def test_the_largest_share_of_the_variance_between_runs_is_said():
    columns = ["term", "share_of_runs", "share_of_runs_low", "share_of_runs_high"]
    scenes = pd.DataFrame(
        [("backbone", 0.6, 0.2, 0.9), ("seed", 0.4, 0.1, 0.8), ("items", np.nan, np.nan, np.nan)],
        columns=columns,
    )
    places = pd.DataFrame([("seed", 1.0, np.nan, np.nan)], columns=columns)
    nothing = scenes.assign(share_of_runs=np.nan)
    tables = {"vqa_scene": scenes, "seismic_description": nothing, "seismic_coordinates": places}
    assert said.variance_title(tables) == (
        "Runs differ most: VQA-Scene by backbone (60%, 20% to 90%), Seismic coordinate prediction by seed (100%)"
    )
    same = "All runs score the same: there is nothing to split"
    assert said.variance_title({"vqa_scene": nothing}) == same
    assert said.variance_title({}) == same


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
