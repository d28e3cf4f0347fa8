"""Charts of hidden states carry what every chart must, draw, and give way where there is nothing to draw."""

import numpy as np
import pandas as pd
import pytest
from chart_checks import complete
from IPython.display import Markdown

from barnlib.parameters import load_study
from barnlib.report import charts_representations as layered
from barnlib.report.theme import Note, palette

STUDY = load_study("smoke")
PALETTE = palette(STUDY)
NOTE = Note("smoke", 48, "test items on 32 pictures", "95 % jackknife interval")
TASKS = ("VQA-Scene", "Seismic text description")


def curves() -> pd.DataFrame:
    rows = [
        {"backbone": backbone, "task": task, "depth": layer / layers, "estimate": 0.1 * layer + 0.1 * number}
        for number, (backbone, layers) in enumerate(zip(STUDY.backbones, (3, 4, 5), strict=True))
        for task in TASKS
        for layer in range(1, layers + 1)
    ]
    table = pd.DataFrame(rows)
    return table.assign(
        low=table["estimate"] - 0.05, high=table["estimate"] + 0.05, chance=0.25, images=16, seeds=2
    )


def maps(layers: int = 3) -> pd.DataFrame:
    rows = [
        {"pair": pair, "layer_a": a, "layer_b": b, "estimate": a * b / layers**2}
        for pair in ("LLaMA-1 → LLaMA-2", "seeds of LLaMA-1")
        for a in range(1, layers + 1)
        for b in range(1, layers + 1)
    ]
    table = pd.DataFrame(rows)
    return table.assign(low=table["estimate"] - 0.1, high=table["estimate"] + 0.1)


EXAMPLES = {
    "curves": layered.layer_curves(curves(), PALETTE, NOTE, title="T", label="CKA"),
    "curves with a baseline": layered.layer_curves(
        curves(), PALETTE, NOTE, title="T", label="accuracy", baseline="chance", columns=1
    ),
    "maps": layered.layer_maps(maps(), NOTE, title="T", label="CKA"),
    "large maps": layered.layer_maps(maps(12), NOTE, title="T", label="CKA"),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_chart_is_complete(name):
    complete(EXAMPLES[name], NOTE)


def test_the_alternative_text_has_the_last_layer():
    text = EXAMPLES["curves"].to_dict()["description"]
    assert "VQA-Scene, LLaMA-1 style, last layer: 30% (25% to 35%)" in text
    assert "seeds of LLaMA-1, last layers: 1.00 (0.90 to 1.10)" in EXAMPLES["maps"].to_dict()["description"]


def test_numbers_stand_in_cells_that_have_room():
    marks = [
        [layer["mark"]["type"] for layer in EXAMPLES[n].to_dict()["spec"]["layer"]]
        for n in ("maps", "large maps")
    ]
    assert marks == [["rect", "text"], ["rect"]]


def test_the_baseline_is_drawn_and_named():
    spec = EXAMPLES["curves with a baseline"].to_dict()
    assert spec["title"]["subtitle"].endswith("dashed: chance")
    assert spec["spec"]["layer"][0]["mark"]["type"] == "rule"


def test_rows_without_an_interval_are_not_drawn_and_none_is_a_sentence():
    table = curves()
    table.loc[table["task"] == TASKS[0], "low"] = np.nan
    chart = layered.drawn(layered.layer_curves, table, PALETTE, NOTE, why="Too few.", title="T", label="CKA")
    assert TASKS[0] not in chart.to_dict()["description"]
    nothing = layered.drawn(
        layered.layer_curves, table.assign(low=np.nan), PALETTE, NOTE, why="Too few.", title="T", label="CKA"
    )
    assert isinstance(nothing, Markdown) and nothing.data == "*Too few.*"


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="no column 'depth'"):
        layered.layer_curves(curves().drop(columns="depth"), PALETTE, NOTE, title="T", label="CKA")
    with pytest.raises(ValueError, match="does not hold its value"):
        layered.layer_maps(maps().assign(low=2.0), NOTE, title="T", label="CKA")
