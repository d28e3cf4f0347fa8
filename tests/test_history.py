"""Learning curves are read back, and the jump is where a curve crosses half its rise."""

import math

import pandas as pd
import pytest

from barnlib.history import history_table, read_history, steps_to_jump, validation


def history() -> pd.DataFrame:
    rows = [
        {"stage": "align", "step": 0, "caption_nats": 90.0},
        {"stage": "align", "step": 10, "loss": 1.0, "caption_nats": 50.0},
        {
            "stage": "finetune",
            "step": 10,
            "vqa_scene_score": 0.2,
            "vqa_scene_nats": 3.0,
            "vqa_scene_accuracy": 0.2,
        },
        {"stage": "finetune", "step": 11, "loss": 0.9},
    ]
    rows += [
        {
            "stage": "finetune",
            "step": step,
            "vqa_scene_score": score,
            "vqa_scene_nats": 1.0,
            "vqa_scene_accuracy": score,
        }
        for step, score in ((30, 0.3), (50, 0.7), (70, 0.8))
    ]
    table = pd.DataFrame(rows)
    return table.assign(images=table["step"] * 4, seconds=table["step"] * 0.5)


def test_validation_is_long_and_survives_the_file(tmp_path):
    history().to_csv(tmp_path / "history.csv", index=False)
    table = validation(read_history(tmp_path / "history.csv"))
    assert list(table.columns) == ["stage", "step", "images", "seconds", "task", "nats", "score", "accuracy"]
    assert table["task"].tolist() == ["caption"] * 2 + ["vqa_scene"] * 4
    assert table.loc[table["task"] == "caption", "nats"].tolist() == [90.0, 50.0]
    assert table["score"].tolist()[2:] == [0.2, 0.3, 0.7, 0.8] and math.isnan(table["score"][0])


def test_columns_stand_in_a_fixed_order():
    rows = [{"step": 0, "stage": "align", "caption_nats": 9.0}, {"loss": 1.0, "step": 1, "stage": "align"}]
    table = history_table(rows)
    assert list(table.columns) == [
        "stage",
        "step",
        "images",
        "seconds",
        "loss",
        "learning_rate",
        "gradient_norm",
        "caption_nats",
    ]
    assert table["loss"].tolist()[1:] == [1.0] and math.isnan(table["loss"][0])


def test_the_jump_is_interpolated_at_half_the_rise():
    # half way between 0.2 and 0.8 is 0.5: half way between the looks at 30 and 50, 30 steps after finetuning began
    found = steps_to_jump(history())
    assert found["vqa_scene"] == pytest.approx(30.0)
    assert "seismic_coordinates" not in found, "nobody looked"


def test_a_curve_that_hardly_rises_has_no_jump():
    flat = history().replace({"vqa_scene_score": {0.7: 0.25, 0.8: 0.29}})
    assert math.isnan(steps_to_jump(flat)["vqa_scene"])
