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
    assert "4 pairs of backbone and type were tested" in line


def test_learned_asks_for_more_than_the_best_guess_of_a_type(table):
    """A guess that is right on all colours takes them away, whatever another guess is worth."""
    weak = table[(table["condition"] == "blank") & (table["backbone"] == "a") & (table["seed"] == 0)]
    weak = weak.assign(backbone="majority", condition="image", score=0.0)
    strong = weak.assign(backbone="lucky", score=(weak["question_type"] == "colour").astype(float))
    how = {"rng": 1, "resamples": 200}
    assert findings.learned(table, weak, **how)["learned"].any()
    found = findings.learned(table, pd.concat([strong, weak]), **how)
    assert not found["learned"].any()
    assert found.set_index("question_type")["baseline"].to_dict() == {"colour": 1.0, "count": 0.0}


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
    assert line.endswith("No difference between two backbones can be told from zero.")


def test_interval_and_titles():
    row = pd.DataFrame({"estimate": [0.614], "low": [0.5801], "high": [0.6449]}).itertuples()
    assert findings.interval(next(row)) == "61% (58% to 64%)"
    tasks = pd.DataFrame({"task": ["seismic_coordinates", "vqa_scene"]})
    assert findings.titled(tasks)["task"].tolist() == ["VQA-Scene", "Seismic coordinate prediction"]
    assert findings.bullets(["one", "two"]) == "- one\n- two"


def test_headline_counts_sure_differences_and_ranks_nobody_by_chance():
    """Beta has the higher score on both tasks, which is a lead only where the interval leaves zero out."""
    scores = pd.DataFrame(
        {"backbone": ["a", "b"] * 2, "task": list("xxyy"), "estimate": [0.1, 0.6, 0.1, 0.4]}
    )
    apart = pd.DataFrame({"a": "a", "b": "b", "task": ["x", "y"], "estimate": [0.5, 0.3]})
    sure = apart.assign(low=[0.4, 0.1], high=[0.6, 0.5])
    assert findings.headline(scores, sure, TITLES) == "Beta is ahead of every other backbone on every task"
    turned = sure.assign(estimate=-sure["estimate"], low=-sure["high"], high=-sure["low"])
    assert findings.headline(scores, turned, TITLES) == "Alpha is ahead of every other backbone on every task"
    one_open = apart.assign(low=[0.4, -0.1], high=[0.6, 0.7])
    expected = "No backbone is ahead on every task: 1 of 2 differences can be told from zero"
    assert findings.headline(scores, one_open, TITLES) == expected
    each_once = sure.assign(estimate=[0.5, -0.3], low=[0.4, -0.5], high=[0.6, -0.1])
    assert findings.headline(scores, each_once, TITLES).startswith(
        "No backbone is ahead on every task: 2 of 2"
    )
    alone = scores[scores["backbone"] == "a"].assign(task=["vqa_scene", "seismic_coordinates"])
    assert findings.headline(alone, sure.iloc[:0], TITLES) == "All estimates are 10%"


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
    assert findings.apart(table, "gains") == "1 of 2 gains can be told from zero"
    assert findings.apart(table.iloc[1:], "gains") == "0 of 1 gains can be told from zero"


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
        "from a run of Alpha to one of Gamma, 20% of the test items are gained and 12% lost; two runs" in line
        and "11%" in line
    )
    alone = findings.exchange_line(table[table["kind"] == "backbones"], TITLES | {"c": "Gamma"})
    assert alone.endswith("is not known.")


def test_exchange_title_names_its_basis():
    """Gained and lost together, over pairs of backbones; seeds are a floor where there are any."""
    table = pd.DataFrame(
        {
            "kind": ["backbones", "backbones", "seeds"],
            "gained": [0.1, 0.2, 0.05],
            "lost": [0.1, 0.2, 0.06],
        }
    )
    title = findings.exchange_title(table, "single runs")
    assert (
        title == "Between single runs, two backbones exchange 30% of the items, two seeds of one backbone 11%"
    )
    most = findings.exchange_title(table.iloc[:1], "majorities of seeds")
    assert most == "Between majorities of seeds, two backbones exchange 20% of the items"


def ladder(**rungs: tuple[float, float]) -> pd.DataFrame:
    """Shares of two backbones on each rung, given with underscores for blanks."""
    return pd.DataFrame(
        [
            {"rung": rung.replace("_", " "), "backbone": backbone, "estimate": share}
            for rung, shares in rungs.items()
            for backbone, share in zip("ab", shares, strict=True)
        ]
    )


def test_ladder_title_says_how_near_what_can_be_read_lies():
    rungs = {"json": (1.0, 1.0), "range": (1.0, 0.998), "lenient": (1.0, 1.0)}
    near = {"within_1000_km": (0.77, 0.72), "within_500_km": (0.5, 0.5), "within_250_km": (0.201, 0.199)}
    title = findings.ladder_title(ladder(**rungs, **near))
    assert title == "Readable 99.8% to 100%; within 1000 km 72% to 77%; within 250 km 20%"
    one = findings.ladder_title(ladder(range=(0.0, 0.0), within_90_km=(0.0, 0.001)))
    assert one == "Readable 0%; within 90 km 0% to 0.1%"


def test_facts_at_the_floor_are_named():
    """One backbone above the best answer without looking is enough; an interval that reaches it is not."""
    recall = pd.DataFrame(
        {
            "fact": ["region", "region", "depth_class", "depth_class"],
            "low": [0.5, 0.1, 0.2, 0.3],
            "without looking": [0.4, 0.4, 0.3, 0.3],
        }
    )
    title = findings.facts_title(recall)
    assert title == "1 of 2 facts are right more often than without looking: not depth class"
    line = findings.facts_line(recall)
    assert "no backbone has depth class right" in line and "at least one has 1 of the 2 facts" in line
    assert "each is right more often" in findings.facts_line(recall.iloc[:2])


def test_never_seen_regions_have_a_line_where_there_are_any():
    table = pd.DataFrame(
        {
            "task": ["seismic_coordinates"] * 4,
            "backbone": ["a", "b"] * 2,
            "split": ["test", "test", "heldout", "heldout"],
            "estimate": [0.7, 0.8, 0.1, 0.1],
        }
    )
    (line,) = findings.regions_line(table)
    assert line == (
        "**Never-seen regions**: Seismic coordinate prediction 70% to 80% in regions seen in training, "
        "10% in regions never seen."
    )
    assert findings.regions_line(table[table["split"] == "test"]) == []
