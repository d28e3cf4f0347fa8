"""What the hidden states say, in words: every branch of each title, from tables made by hand."""

import pandas as pd
import pytest

from barnlib.report import findings_representations as said
from tests.small_states import records, write

OLD, NEW = TITLES = {"b0": "Old", "b1": "New"}


def frame(columns: str, *rows: tuple) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split())


def test_tasks_get_their_titles_with_all_tasks_first():
    table = frame("task estimate", ("seismic_coordinates", 1), (None, 2), ("vqa_scene", 3), (None, 4))
    found = said.with_task_titles(table)
    assert list(zip(found["task"], found["estimate"], strict=True)) == [
        (said.ALL_TASKS, 2),
        (said.ALL_TASKS, 4),
        ("VQA-Scene", 3),
        ("Seismic coordinate prediction", 1),
    ]


def test_views_stand_under_each_other_by_title():
    found = said.by_view({view: frame("estimate", (n,)) for n, view in enumerate(("blur", "swapped"))})
    assert found.to_dict("list") == {"estimate": [0, 1], "view": ["blurred picture", "another picture"]}


def test_the_share_of_another_picture_is_over_all_tasks_and_of_pictures_alone():
    moved = {"noise": 0.1, "blur": 0.3, "occlusion": 0.2, "paraphrase": 9.0, "swapped": 0.4}
    rows = {
        view: frame("backbone task estimate", (OLD, None, far), (OLD, "vqa_scene", 7.0), (NEW, None, 0 * far))
        for view, far in moved.items()
    }
    found = said.share_of_swap(said.by_view(rows)).set_index(["backbone", "view"])["share"]
    assert found[OLD].to_dict() == pytest.approx(
        {"noise on the picture": 0.25, "blurred picture": 0.75, "a part hidden": 0.5}
    )
    assert found[NEW].isna().all() and len(found) == 6, "another picture moves nothing there"


def test_a_measure_that_a_backbone_lacks_says_why(tmp_path):
    items = {"test": records("test", 3), "train": [], "validation": []}
    missing = {"image_attention": "attention is 'eager'"}
    runs = [
        write(tmp_path / "b0", items, absent=missing),
        write(tmp_path / "b0-seed1", items, seed=1, absent=missing),
        write(tmp_path / "b1", items, backbone=1),
    ]
    assert said.absent(runs, "image_attention", TITLES) == "Old: attention is 'eager'"
    assert said.absent(runs, "answer_depth", TITLES) == ""


def test_a_range_is_of_the_rows_that_have_an_estimate():
    table = frame("backbone view estimate", (OLD, "blur", 0.25), (NEW, "blur", None), (NEW, "noise", 0.5))
    assert said.range_title(table, "view", TITLES) == "From 25% (Old, blur) to 50% (New, noise)"
    assert said.range_title(table[1:2], "view", TITLES) == said.NOTHING


def test_the_last_layer_is_that_at_depth_one():
    table = frame(
        "backbone task depth estimate",
        (OLD, "word", 0.5, 0.9),
        (OLD, "word", 1.0, 0.25),
        (NEW, "word", 1.0, 0.5),
        (NEW, "place", 1.0, None),
    )
    expected = "In the last layer: from 25% (Old, word) to 50% (New, word)"
    assert said.last_layer_title(table, "task", TITLES) == expected
    assert said.last_layer_title(table[:2], "task", TITLES) == "In the last layer: 25% (Old, word)"
    alike = table.assign(estimate=0.5)
    assert said.last_layer_title(alike, "task", TITLES) == "In the last layer: all estimates are 50%"
    assert said.last_layer_title(table[:1], "task", TITLES) == said.NOTHING


def test_accuracy_and_r2_are_told_apart():
    table = frame(
        "backbone target measure estimate",
        (OLD, "word", "accuracy", 0.25),
        (NEW, "word", "accuracy", 0.5),
        (OLD, "latitude", "R²", -0.18),
    ).assign(depth=1.0)
    assert said.probe_title(table, TITLES) == (
        "In the last layer: accuracy from 0.25 (Old, word) to 0.50 (New, word); R² -0.18 (Old, latitude)"
    )
    assert said.probe_title(table[:0], TITLES) == said.NOTHING


def test_alignment_is_that_of_the_last_layers_of_each_pair():
    table = frame(
        "a b layer_a layer_b estimate",
        (OLD, NEW, 2, 3, 0.4),
        (OLD, NEW, 2, 2, 0.9),
        (OLD, NEW, 1, 3, 0.9),
        (OLD, OLD, 2, 2, 0.75),
        (NEW, NEW, 3, 3, 0.25),
        (NEW, NEW, 2, 3, 0.9),
    )
    both = "Alignment of the last layers: two backbones 0.40, two seeds of one 0.50"
    assert said.alignment_title(table) == both
    assert said.alignment_title(table[:3]) == "Alignment of the last layers: two backbones 0.40"
    assert said.alignment_title(table[3:]) == "Alignment of the last layers: two seeds of one 0.50"
    assert said.alignment_title(table.assign(estimate=float("nan"))) == said.NOTHING


def test_neighbours_are_counted_by_pair_and_task():
    table = frame("estimate chance_high", (0.5, 0.3), (0.2, 0.3), (0.1, 0.1))
    assert said.neighbour_title(table) == (
        "In 1 of 3 comparisons, a pair on a task, more neighbours are shared than by chance"
    )


def test_what_is_shared_stands_beside_its_chance():
    table = frame(
        "a b task estimate low high images seeds chance chance_low chance_high",
        (OLD, NEW, "vqa_scene", 0.5, 0.4, 0.6, 24, 3, 0.3, 0.2, 0.35),
    )
    shared, chance = said.against_chance(table, TITLES).to_dict("records")
    assert shared["target"] == chance["target"] == "VQA-Scene: Old, New"
    assert (shared["kind"], shared["estimate"], shared["low"], shared["high"]) == ("shared", 0.5, 0.4, 0.6)
    assert chance["kind"] == "items exchanged at random" and chance["seeds"] == 3
    assert (chance["estimate"], chance["low"], chance["high"]) == (0.3, 0.2, 0.35)


@pytest.mark.parametrize(
    ("low", "high", "more", "expected"),
    [
        (
            -0.1,
            0.1,
            False,
            "no difference between New and Old can be told from zero (difference +0.000, -0.100",
        ),
        (0.1, 0.3, False, "New is less steady than Old (difference +0.200, +0.100 to +0.300)."),
        (-0.3, -0.1, False, "New is steadier than Old (difference -0.200, -0.300 to -0.100)."),
        (0.1, 0.3, True, "New is steadier than Old"),
        (-0.3, -0.1, True, "New is less steady than Old"),
    ],
)
def test_a_line_says_who_is_steadier(low, high, more, expected):
    table = frame(
        "a b task estimate low high",
        (OLD, NEW, "vqa_scene", 9.0, 8.0, 10.0),
        (OLD, NEW, None, (low + high) / 2, low, high),
    )
    line = said.steadier_line(table, "blur", TITLES, more=more)
    assert line.startswith("**blur**: ") and expected in line


def test_the_line_is_of_the_oldest_and_the_newest_backbone():
    table = frame(
        "a b task estimate low high",
        ("x", "y", None, 0.1, 0.0, 0.2),
        ("x", "z", None, 0.4, 0.3, 0.5),
        ("y", "z", None, 0.3, 0.2, 0.4),
    )
    line = said.steadier_line(table, "seeds", {"x": "X", "y": "Y", "z": "Z"}, more=True)
    assert line.startswith("**seeds**: Z is steadier than X (difference +0.400")
    nothing = said.steadier_line(table.assign(low=float("nan")), "seeds", TITLES, more=True)
    assert nothing == "**seeds**: there is nothing to compare."
