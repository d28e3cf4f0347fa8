"""Titles and tables of the instances and confidence pages: each says what its table says, or that it is empty."""

import numpy as np
import pandas as pd
import pytest
from IPython.display import Markdown
from prediction_tables import answers, table

from barnlib import findings_confidence, findings_instances
from barnlib.agreement import agreement_table, compare_runs, ensembles, solved_by
from barnlib.confidence import with_confidence
from barnlib.metrics import accuracy_table
from barnlib.shown import shown

TITLES = {"a": "A", "b": "B", "c": "C"}
RNG = np.random.default_rng


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return answers({"a": 0.3, "b": 0.5, "c": 0.6}, seeds=2, images=20, questions=4)


def test_the_worked_example_is_what_it_says(rows: pd.DataFrame) -> None:
    example = findings_instances.example()
    assert set(example["panel"]) == {"worked example: φ -0.38, within types +0.00"}
    assert example["a"].tolist() == [7 / 8, 1 / 8] and example["b"].tolist() == [1 / 4, 3 / 4]
    measured = agreement_table(compare_runs(rows, rng=RNG(0), resamples=10))
    mixed = findings_instances.mixtures(rows, measured, TITLES)
    assert mixed["panel"].nunique() == 1 + 3 and mixed["panel"].str.contains("A and B: φ").sum() == 2
    accuracy = rows[(rows["backbone"] == "a") & (rows["question_type"] == "count")]["correct"].mean()
    assert mixed.loc[mixed["panel"].str.startswith("A and B"), "a"].iloc[0] == pytest.approx(accuracy)


def test_successive_steps_follow_the_study_and_not_the_table() -> None:
    pairs = pd.DataFrame({"a": ["c", "a", "b"], "b": ["a", "b", "c"], "x": [1, 2, 3]})
    found = findings_instances.successive(pairs, ["b", "c", "a"])
    assert found["a"].tolist() == ["b", "c"]
    assert findings_instances.successive(pairs.iloc[:0], ["a"]).empty


def test_titles_of_instances(rows: pd.DataFrame) -> None:
    floor = pd.DataFrame(
        {"estimate": [-0.3, 0.1, np.nan], "low": [-0.4, 0, np.nan], "high": [-0.1, 0.2, np.nan]}
    )
    assert (
        findings_instances.yardstick_title(floor)
        == "1 of 2 pairs of backbones agree less than their own seeds do"
    )
    assert "not known" in findings_instances.yardstick_title(floor.iloc[2:])
    assert findings_instances.interval_texts(floor) == [
        "-0.30 (-0.40 to -0.10)",
        "+0.10 (+0.00 to +0.20)",
        "–",
    ]
    assert findings_instances.interval_texts(floor.assign(low=np.nan))[0] == "-0.30"
    phi = [
        {"kind": "backbones", "a": "a", "b": "b", "measure": f"phi_{how}", "estimate": value}
        for how, value in (("pooled", -0.2), ("stratified", 0.15))
    ]
    assert findings_instances.pooling_title(pd.DataFrame(phi)).endswith("by 0.35 at most")
    assert findings_instances.pooling_title(pd.DataFrame(phi).iloc[:0]).startswith("One backbone")
    unknown = pd.DataFrame(phi).assign(estimate=[0.1, np.nan])
    assert findings_instances.pooling_title(unknown).startswith("No correlation exists")
    sets = solved_by(rows)
    solving = sets[["a", "b", "c"]].sum(axis=1)
    share = sets.loc[solving.between(1, 2), "share"].sum()
    assert findings_instances.sets_title(sets, ["a", "b", "c"]).startswith(f"{share:.0%} of the items")
    steps = pd.DataFrame({"a": ["a", "b"], "b": ["b", "c"], "gained": [0.1, 0.3], "lost": [0.1, 0.2]})
    assert (
        findings_instances.flow_title(steps, TITLES)
        == "B to C exchanges 50% of the items: 30% gained, 20% lost"
    )
    gaps = pd.DataFrame({"type": ["x", "x", "y", "y"], "estimate": [0.2, 0.6, 0.5, 0.6]})
    assert findings_instances.gap_title(gaps, "type") == "Backbones lie 40 points apart on x, 10 on y"
    assert findings_instances.gap_title(gaps.iloc[:2], "type") == "On x the backbones lie 40 points apart"
    alone = gaps.iloc[[0, 3]]
    assert findings_instances.gap_title(alone, "type") == "One backbone: 20% on x to 60% on y"
    assert findings_instances.seeds_note(2) and not findings_instances.seeds_note(3)


def test_titles_of_ensembles(rows: pd.DataFrame) -> None:
    made = ensembles(rows.assign(logprob=-1.0))
    found = accuracy_table(made, ["backbone", "rule", "task"], rng=RNG(0), resamples=10)
    oracle = made[(made["rule"] == "oracle") & (made["backbone"] == "all backbones")]["correct"].mean()
    assert findings_instances.headroom_title(found).startswith(f"Some backbone is right on {oracle:.0%}")
    assert "no ensemble" in findings_instances.headroom_title(found.iloc[:0])


def test_titles_of_confidence() -> None:
    over = pd.DataFrame({"backbone": ["a", "b", "c"], "low": [0.1, -0.1, -0.3], "high": [0.2, 0.1, -0.2]})
    told = findings_confidence.reliability_title(over, TITLES)
    assert told == "On average: A overconfident; C underconfident"
    assert findings_confidence.reliability_title(over.iloc[1:2], TITLES).startswith("No backbone is sure")
    null = pd.DataFrame({"estimate": [0.2, 0.1], "null_high": [0.15, 0.15]})
    assert findings_confidence.chance_title(null).startswith("1 of 2 calibration errors")
    fitted = pd.DataFrame({"temperature": [0.5, 20.0, np.nan], "at_edge": [False, True, False]})
    assert findings_confidence.temperature_title(fitted) == (
        "1 of 2 temperatures lie above 1, which lowers confidence; 1 lie at the edge of the range, without an optimum"
    )
    assert findings_confidence.temperature_title(fitted.iloc[2:]) == "No temperature could be fitted"
    ranks = pd.DataFrame(
        {
            "definition": ["primary", "whole", "token_mean"],
            "measure": "brier",
            "order": ["a > b", "b > a", None],
            "held": [0.9, 0.8, np.nan],
            "agrees": [True, False, False],
        }
    )
    assert findings_confidence.ranking_title(ranks).startswith("0 of 1 other rankings")
    assert findings_confidence.ranking_title(ranks.iloc[:1]) == "There is no second definition to compare"
    told = findings_confidence.ranking_table(ranks, TITLES)["Brier score"]
    assert told.tolist() == ["A > B (90%)", "B > A (80%) *", "–"]


def test_the_same_probability_has_another_token_mean() -> None:
    made = table(
        [
            {"item": "i", "backbone": name, "reference": "blue", "reference_tokens": count}
            for name, count in (("a", 2), ("b", 4))
        ]
    )
    found = findings_confidence.tokens_per_answer(made, TITLES)
    assert found["mean of a half"].tolist() == pytest.approx([0.5**0.5, 0.5**0.25])
    assert found["bytes"].tolist() == [4, 4]


def test_answers_off_the_list_are_counted() -> None:
    made = table(
        [
            {"item": f"i{k}", "answer": text, "logprob": -1.0, "tokens": 1}
            for k, text in enumerate(["yes", "no", "maybe"])
        ]
    ).assign(choices='{"yes": -0.1, "no": -2.0}')
    found = findings_confidence.off_the_list(with_confidence(made), TITLES).loc["A"]
    assert found.tolist() == pytest.approx([3, 1 / 3, 2 / 3])
    assert findings_confidence.off_the_list(with_confidence(made.drop(columns="choices")), TITLES).empty


def test_what_cannot_be_shown_says_why(rows: pd.DataFrame) -> None:
    assert shown(rows, len, otherwise="nothing") == len(rows)
    told = shown(rows.iloc[:0], len, otherwise="There is one backbone.")
    assert isinstance(told, Markdown) and told.data == "*There is one backbone.*"
