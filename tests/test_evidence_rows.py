"""Evidence from tables of estimates: every row arrives, and what is missing says why."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import answers

from barnlib.analyses.evidence_rows import NOT_THERE, evidence_rows
from barnlib.analyses.metrics import accuracy_table, paired_differences

ROW = {"estimate": 0.5, "low": 0.4, "high": 0.6, "items": 150, "images": 75, "seeds": 3}
HOW = {"claim": "C5", "measure": "coordinate_accuracy", "test": "bootstrap"}


def test_a_row_for_each_backbone_or_pair() -> None:
    table = pd.DataFrame([{"backbone": "one", **ROW}, {"backbone": "two", **ROW, "estimate": 0.45}])
    rows = evidence_rows(table, **HOW, task="seismic_coordinates")
    assert [(row.a, row.b, row.estimate, row.n, row.seeds) for row in rows] == [
        ("one", None, 0.5, 150, 3),
        ("two", None, 0.45, 150, 3),
    ]
    assert rows[0].task == "seismic_coordinates" and rows[0].note == ""
    (pair,) = evidence_rows(pd.DataFrame([{"a": "one", "b": "two", "task": "vqa_scene", **ROW}]), **HOW)
    assert (pair.a, pair.b, pair.task) == ("one", "two", "vqa_scene")


@pytest.mark.parametrize("gone", [np.nan, np.inf, None])
def test_what_is_not_a_number_is_missing_and_says_so(gone) -> None:
    table = pd.DataFrame([{"backbone": "one", **ROW, "high": gone}])
    (row,) = evidence_rows(table, **HOW, note="one picture")
    assert row.high is None and row.estimate == 0.5 and row.note == f"one picture; {NOT_THERE}"


def test_a_row_may_have_a_p_and_a_note_of_its_own() -> None:
    pair = {"a": "one", "b": "two", **ROW}
    table = pd.DataFrame(
        [{**pair, "p": 0.25, "note": ""}, {**pair, "p": np.nan, "low": np.nan, "note": "one seed"}]
    )
    told, missing = evidence_rows(table, **HOW, note="few")
    assert (told.p, told.note) == (0.25, "few") and (missing.p, missing.note) == (None, "few; one seed")
    (plain,) = evidence_rows(table[:1].drop(columns=["p", "note"]), **HOW)
    assert (plain.p, plain.note) == (None, "")


def test_standard_errors_and_pictures_come_along() -> None:
    table = pd.DataFrame([{"backbone": "one", **ROW, "se": 0.05, "se_runs": 0.02}])
    (row,) = evidence_rows(table, **HOW)
    assert (row.se, row.se_runs, row.images, row.n) == (0.05, 0.02, 75, 150)
    (one_run,) = evidence_rows(table.assign(se_runs=np.nan, images=np.nan), **HOW)
    assert (one_run.se, one_run.se_runs, one_run.images) == (0.05, None, None)
    (bare,) = evidence_rows(table.drop(columns=["se", "se_runs", "images"]), **HOW)
    assert (bare.se, bare.se_runs, bare.images, bare.estimate) == (None, None, None, 0.5)


@pytest.mark.parametrize("value", ["score", "difference"])
def test_tables_of_estimates_carry_what_a_p_value_needs(value: str) -> None:
    rows = answers({"plain": 0.3, "grouped": 0.6}, seeds=3, images=12, questions=2)
    table = accuracy_table(rows, rng=1) if value == "score" else paired_differences(rows, rng=1)
    for row, found in zip(evidence_rows(table, **HOW), table.itertuples(), strict=True):
        assert (row.se, row.se_runs, row.images) == (found.se, found.se_runs, 12)
        assert row.se is not None and row.se_runs is not None


def test_a_table_without_backbones_is_refused_and_an_empty_one_gives_nothing() -> None:
    with pytest.raises(
        ValueError, match="evidence needs the column backbone, or a and b; the table has estimate"
    ):
        evidence_rows(pd.DataFrame([ROW]), **HOW)
    assert evidence_rows(pd.DataFrame(columns=["backbone", *ROW]), **HOW) == []
