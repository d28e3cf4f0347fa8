"""Evidence from tables of estimates: every row arrives, and what is missing says why."""

import numpy as np
import pandas as pd
import pytest

from barnlib.analyses.evidence_rows import NOT_THERE, evidence_rows

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


def test_a_table_without_backbones_is_refused_and_an_empty_one_gives_nothing() -> None:
    with pytest.raises(
        ValueError, match="evidence needs the column backbone, or a and b; the table has estimate"
    ):
        evidence_rows(pd.DataFrame([ROW]), **HOW)
    assert evidence_rows(pd.DataFrame(columns=["backbone", *ROW]), **HOW) == []
