"""Gains against hand-made answers, and intervals that hold a known difference."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers

from barnlib.analyses.gains import gain_difference, gains
from barnlib.analyses.metrics import ESTIMATE_COLUMNS

RNG = np.random.default_rng
TASKS = ("vqa_scene", "seismic_description")


def two_tasks(shift: dict[str, float], *, seeds: int = 3, images: int = 60, seed: int = 0) -> pd.DataFrame:
    """Answers of `old` and `new` on tasks, where `new` is better by a known amount on each."""
    parts = []
    for number, (task, gain) in enumerate(shift.items()):
        part = answers(
            {"old": 0.4, "new": 0.4 + gain}, seeds=seeds, images=images, questions=2, seed=10 * seed + number
        )
        parts.append(part.assign(task=task, item=task + part["item"], image=task + part["image"]))
    return pd.concat(parts, ignore_index=True)


def test_gains_are_paired_differences_and_none_of_one_backbone():
    rows = two_tasks({"vqa_scene": 0.2, "seismic_description": 0.0})
    found = gains(rows, "old", "new", rng=RNG(0), resamples=50).set_index("task")
    mean = rows.groupby(["task", "backbone"])["score"].mean().unstack()
    assert found["estimate"].to_dict() == pytest.approx((mean["new"] - mean["old"]).to_dict())
    alone = gains(rows, "old", "old", rng=RNG(0), resamples=50)
    assert alone.empty and list(alone) == ["task", "a", "b", *ESTIMATE_COLUMNS]


def test_the_difference_of_gains_is_that_of_the_means():
    rows = two_tasks({"vqa_scene": 0.3, "seismic_description": 0.05})
    found = gain_difference(rows, "old", "new", tasks=TASKS, rng=RNG(0), resamples=500).iloc[0]
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
        found = gain_difference(rows, "old", "new", tasks=TASKS, rng=RNG(trial), resamples=100).iloc[0]
        hits += found["low"] <= -0.2 <= found["high"]
    assert hits >= 34


def test_a_difference_of_gains_is_told_from_none():
    rows = two_tasks({"vqa_scene": 0.3, "seismic_description": 0.1}, images=400)
    found = gain_difference(rows, "old", "new", tasks=TASKS, rng=RNG(0), resamples=200).iloc[0]
    assert found["high"] < 0, "400 pictures tell a difference of gains of 0.2 from none"


def test_backbones_that_share_nothing_have_no_difference_of_gains():
    rows = two_tasks({"vqa_scene": 0.3})
    with pytest.raises(ValueError, match="share no seed and item of task 'seismic_description'"):
        gain_difference(rows, "old", "new", tasks=TASKS, rng=RNG(0), resamples=5)
