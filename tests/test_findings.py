"""The words of the results: every figure comes from a table, and nothing is claimed that its interval does not hold."""

import numpy as np
import pandas as pd
import pytest

from barnlib.analyses.metrics import accuracy_table, paired_differences
from barnlib.report import findings

TITLES = {"a": "Alpha", "b": "Beta"}


def predictions(image: dict[str, float], blank: float = 0.3, images: int = 60) -> pd.DataFrame:
    """Answers of two seeds: share right by backbone with the picture, and with a blank one; colour and count."""
    rng = np.random.default_rng(0)
    rows = []
    for backbone, right in image.items():
        for seed in (0, 1):
            for number in range(images):
                for kind in ("colour", "count"):
                    for condition, share in (
                        ("image", right if kind == "colour" else blank),
                        ("blank", blank),
                    ):
                        score = float(rng.random() < share)
                        rows.append(
                            {
                                "study": "s",
                                "split": "test",
                                "condition": condition,
                                "backbone": backbone,
                                "seed": seed,
                                "task": "vqa_scene",
                                "question_type": kind,
                                "item": f"{number}-{kind}",
                                "image": f"{number}.png",
                                "score": score,
                            }
                        )
    return pd.DataFrame(rows)


@pytest.fixture
def table() -> pd.DataFrame:
    return predictions({"a": 0.9, "b": 0.3})


def test_learned_asks_for_the_picture(table):
    baseline = table[(table["condition"] == "blank") & (table["backbone"] == "a") & (table["seed"] == 0)]
    baseline = baseline.assign(backbone="majority", condition="image")
    found = findings.learned(table, baseline, rng=np.random.default_rng(1), resamples=200)
    verdicts = found.set_index(["backbone", "question_type"])["learned"].to_dict()
    assert verdicts == {
        ("a", "colour"): True,
        ("a", "count"): False,
        ("b", "colour"): False,
        ("b", "count"): False,
    }
    line = findings.learned_line(found)
    assert "1 of 2 question types" in line and "No backbone has learned count." in line


def test_task_lines_name_only_sure_differences(table):
    rng = np.random.default_rng(2)
    image = table[table["condition"] == "image"]
    by = ["backbone", "task"]
    accuracy = accuracy_table(image, by, rng=rng, resamples=200)
    blank = accuracy_table(table[table["condition"] == "blank"], by, rng=rng, resamples=200)
    apart = paired_differences(image, ["task"], rng=rng, resamples=200)
    (line,) = findings.task_lines(accuracy, blank, apart, TITLES)
    assert line.startswith("**VQA-Scene**: Alpha ") and "Alpha is ahead of Beta by" in line
    (line,) = findings.task_lines(accuracy, blank, apart.assign(low=-0.1, high=0.1), TITLES)
    assert line.endswith("No difference between two backbones is apart from zero.")


def test_interval_and_titles():
    row = pd.DataFrame({"estimate": [0.614], "low": [0.5801], "high": [0.6449]}).itertuples()
    assert findings.interval(next(row)) == "61% (58% to 64%)"
    tasks = pd.DataFrame({"task": ["seismic_coordinates", "vqa_scene"]})
    assert findings.titled(tasks)["task"].tolist() == ["VQA-Scene", "Seismic coordinate prediction"]
    assert findings.bullets(["one", "two"]) == "- one\n- two"


def test_headline_counts_the_leads():
    table = pd.DataFrame(
        {"backbone": ["a", "b"] * 3, "task": list("xxyyzz"), "estimate": [0.5, 0.6, 0.5, 0.4, 0.1, 0.3]}
    )
    expected = "The highest score differs with the task: Beta on 2, Alpha on 1 of 3"
    assert findings.headline(table, TITLES) == expected
    assert (
        findings.headline(table[table["task"] != "y"], TITLES) == "Beta has the highest score on all 2 tasks"
    )
    tied = findings.headline(table.assign(estimate=0.0), TITLES)
    assert tied == "Alpha and Beta share the highest score on all 3 tasks"
    once = table[table["task"] != "y"].assign(estimate=[0.6, 0.6, 0.1, 0.3])
    assert findings.headline(once, TITLES) == "Beta has the highest score on all 2 tasks"


def test_one_backbone_is_told_so(table):
    alone = table[table["backbone"] == "a"]
    images = alone[alone["condition"] == "image"]
    how = {"rng": np.random.default_rng(0), "resamples": 20}
    scores = accuracy_table(images, **how)
    (line,) = findings.task_lines(scores, scores, paired_differences(images, **how), TITLES)
    assert line.endswith("There is no second backbone to compare.")
    exchanged = pd.DataFrame({"kind": ["seeds"], "a": ["a"], "b": ["a"], "gained": 0.1, "lost": 0.1})
    assert "one backbone" in findings.exchange_line(exchanged, TITLES)
    nothing = findings.named_pairs(exchanged.iloc[:0], TITLES)
    assert (nothing["a"] + nothing["pair"]).empty, "text can be added to text where there is no pair"


def test_titles_of_charts_count_what_is_known():
    table = pd.DataFrame({"low": [0.1, -0.1, np.nan], "high": [0.2, 0.1, np.nan]})
    assert findings.apart(table, "gains") == "1 of 2 gains is apart from zero"
    assert findings.apart(table.iloc[1:], "gains") == "0 of 1 gains are apart from zero"


def test_the_spread_of_estimates():
    table = pd.DataFrame({"backbone": ["a", "b"], "estimate": [0.1, 0.4], "kind": "a_kind"})
    assert findings.spread(table, "kind", TITLES) == "From 10% (Alpha, a kind) to 40% (Beta, a kind)"
    assert findings.spread(table, "kind", TITLES, ".2f").endswith("0.40 (Beta, a kind)")
    assert findings.spread(table.assign(estimate=0.0), "kind", TITLES) == "All estimates are 0%"
    assert findings.spread(table.iloc[:1], "kind", TITLES) == "10% (Alpha, a kind)"


def test_a_single_seed_is_not_said_to_vary():
    assert findings.interval_over("cards", 3) == "95 % interval over cards and 3 seeds"
    assert findings.interval_over("cards", 1) == "95 % interval over cards; one seed"


def test_beside_takes_the_best_floor():
    table = pd.DataFrame({"backbone": ["a", "b", "a"], "task": ["x", "x", "y"]})
    majority = pd.DataFrame({"task": ["x", "y"], "estimate": [0.4, 0.1]})
    blank = pd.DataFrame({"task": ["x", "x", "y"], "estimate": [0.3, 0.45, 0.05]})
    found = findings.beside(table, [majority, blank], "task")
    assert found["without looking"].tolist() == [0.45, 0.45, 0.1]


def test_exchange_line_compares_the_ends_with_seeds():
    table = pd.DataFrame(
        {
            "kind": ["backbones"] * 3 + ["seeds"] * 2,
            "a": ["a", "a", "b", "a", "b"],
            "b": ["b", "c", "c", "a", "b"],
            "gained": [0.1, 0.2, 0.3, 0.05, 0.05],
            "lost": [0.1, 0.12, 0.3, 0.05, 0.07],
            "exchanged": [0.2, 0.32, 0.6, 0.10, 0.12],
        }
    )
    line = findings.exchange_line(table, TITLES | {"c": "Gamma"})
    assert (
        "from Alpha to Gamma, 20% of the test items are gained and 12% lost; two seeds" in line
        and "11%" in line
    )
    alone = findings.exchange_line(table[table["kind"] == "backbones"], TITLES | {"c": "Gamma"})
    assert alone.endswith("is not known.")
