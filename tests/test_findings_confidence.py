"""Titles and tables of the confidence page: each says what its table says, or that there is nothing to say."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import confident, table

from barnlib.analyses.calibration_tables import estimates, resample
from barnlib.analyses.confidence import temperatures, with_confidence
from barnlib.report.findings_confidence import (
    chance_title,
    decomposition,
    edge_sentence,
    known,
    of_chances,
    off_the_list,
    ranking_table,
    ranking_title,
    reliability_title,
    temperature_title,
    tokens_per_answer,
)

TITLES = {"a": "A", "b": "B", "c": "C"}
RANKS = pd.DataFrame(
    {
        "definition": ["primary", "whole", "token_mean"],
        "measure": "brier",
        "order": ["a > b", "b > a", None],
        "held": [0.9, 0.8, np.nan],
        "agrees": [True, False, False],
    }
)


def test_known_are_the_rows_that_are_wanted_and_exist() -> None:
    rows = pd.DataFrame(
        {"task": ["x", "x", "y"], "measure": ["ece", "ece", "ece"], "estimate": [0.1, np.nan, 0.3]}
    )
    assert known(rows, task="x", measure="ece").index.tolist() == [0]
    assert known(rows).index.tolist() == [0, 2] and known(rows, measure="brier").empty


def test_only_a_share_of_a_list_or_what_was_scaled_is_taken_for_a_chance() -> None:
    rows = pd.DataFrame(
        [
            (task, definition, measure)
            for task in ("listed", "free")
            for definition in ("primary", "scaled")
            for measure in ("brier", "auroc")
        ],
        columns=["task", "definition", "measure"],
    )
    answers = pd.DataFrame({"task": ["listed", "listed", "free"], "closed_list": [0.4, np.nan, np.nan]})
    left_out = rows.drop(of_chances(rows, answers).index)
    assert left_out.to_numpy().tolist() == [["free", "primary", "brier"]]


def test_the_title_of_reliability() -> None:
    over = pd.DataFrame({"backbone": ["a", "b", "c"], "low": [0.1, -0.1, -0.3], "high": [0.2, 0.1, -0.2]})
    assert reliability_title(over, TITLES) == "On average: A overconfident; C underconfident"
    both = over.iloc[:2].assign(low=0.1, high=0.2)
    assert reliability_title(both, TITLES) == "On average: A, B overconfident"
    assert reliability_title(over.iloc[2:], TITLES) == "On average: C underconfident"
    assert reliability_title(over.iloc[1:2], TITLES).startswith("No backbone is sure")
    unknown = over.assign(low=np.nan, high=np.nan)
    assert reliability_title(unknown, TITLES).startswith("No backbone is sure")


def test_the_title_of_chance() -> None:
    null = pd.DataFrame({"estimate": [0.2, 0.1, 0.15], "null_high": 0.15})
    assert chance_title(null).startswith("1 of 3 calibration errors lie above")


def test_the_title_of_temperatures() -> None:
    fitted = pd.DataFrame(
        {
            "task": ["seismic_coordinates", "vqa_scene", "vqa_scene", "seismic_description"],
            "temperature": [20.0, 0.5, 1.25, np.nan],
            "at_edge": [True, False, False, False],
        }
    )
    assert temperature_title(fitted) == (
        "Temperatures: VQA-Scene 0.50 to 1.25 (1 of 2 above 1); "
        "Seismic coordinate prediction 20.00 (1 of 1 above 1, 1 at the edge of the range)"
    )
    assert temperature_title(fitted.iloc[3:]) == "No temperature could be fitted"


@pytest.mark.parametrize(
    ("logprob", "wrong", "told"),
    [
        (
            -9.0,
            1,
            "Seismic coordinate prediction: a run gets 75% right, with a confidence below one half in 100%",
        ),
        (
            -0.1,
            0,
            "Seismic coordinate prediction: a run gets 100% right, with a confidence below one half in 0%",
        ),
        (-0.1, 1, None),
    ],
)
def test_both_causes_of_a_temperature_at_the_edge_can_be_told(
    logprob: float, wrong: int, told: str | None
) -> None:
    made = table(
        [
            {"item": f"i{k}", "task": "seismic_coordinates", "correct": k >= wrong, "logprob": logprob}
            for k in range(4)
        ]
    ).assign(first_token_logprob=logprob, tokens=1)
    answers = with_confidence(made)
    fitted = temperatures(answers)
    expected = f"At the edge, {told}" if told else "No temperature lies at the edge of the range"
    assert edge_sentence(fitted, answers) == expected


def test_the_title_of_rankings_counts_what_has_an_order() -> None:
    assert ranking_title(RANKS) == "0 of 1 other rankings keep the order of the primary confidence"
    same = RANKS.assign(order="a > b", agrees=True)
    assert ranking_title(same).startswith("2 of 2 other rankings")
    assert ranking_title(RANKS.iloc[:1]) == "There is no second definition to compare"


def test_a_ranking_that_differs_has_a_star() -> None:
    found = ranking_table(RANKS, TITLES)
    assert list(found.index) == ["primary (share of the list)", "whole answer", "mean token"]
    assert found["Brier score"].tolist() == ["A > B (90%)", "B > A (80%) *", "–"]


def test_the_same_probability_has_another_token_mean() -> None:
    made = table(
        [
            {"item": f"i{k}", "backbone": name, "reference": "blåt", "reference_tokens": count + k}
            for name, count in (("a", 2), ("b", 4))
            for k in (0, 0, 2)  # the first item is answered by two seeds, and counts once
        ]
    )
    found = tokens_per_answer(made, TITLES)
    assert found.index.tolist() == [("VQA-Scene", "A"), ("VQA-Scene", "B")]
    assert found["tokens"].tolist() == [3, 5]
    assert found["mean of a half"].tolist() == pytest.approx([0.5 ** (1 / 3), 0.5 ** (1 / 5)])
    assert found["bytes"].tolist() == [5, 5], "a letter beyond ASCII takes two"


def test_answers_off_the_list_are_counted() -> None:
    made = table(
        [
            {"item": f"i{k}", "answer": text, "logprob": -1.0, "tokens": 1}
            for k, text in enumerate(["yes", "no", "maybe"])
        ]
    ).assign(choices='{"yes": -0.1, "no": -2.0}')
    found = off_the_list(with_confidence(made), TITLES).loc["A"]
    assert found.tolist() == pytest.approx([3, 1 / 3, 2 / 3])
    assert off_the_list(with_confidence(made.drop(columns="choices")), TITLES).empty


def test_the_parts_of_the_brier_score_stand_in_a_row() -> None:
    answers = confident({"b": 0.1, "a": 0.0}, seeds=1, images=20)
    resampled = resample(answers, ("task",), ("said",), rng=np.random.default_rng(0), resamples=5)
    found = decomposition(estimates(resampled), TITLES)
    assert found.index.tolist() == [("VQA-Scene", "B"), ("VQA-Scene", "A")], "in the order of the table"
    parts = found["reliability"] - found["resolution"] + found["uncertainty"] + found["within"]
    assert parts.tolist() == pytest.approx(found["brier"].tolist()) and found.notna().all().all()
    mean = (answers["said"] - answers["score"]).pow(2).groupby(answers["backbone"]).mean()
    assert found["brier"].tolist() == pytest.approx([mean["b"], mean["a"]])
