"""Evidence goes to disk and comes back, and what is malformed is refused by name."""

import json

import pandas as pd
import pytest
from pydantic import ValidationError

from barnlib.analyses.evidence import CLAIMS, Evidence, read_evidence, write_evidence
from barnlib.study import Study

ROW = {
    "claim": "C1",
    "measure": "accuracy_difference",
    "task": "vqa_scene",
    "a": "plain",
    "b": "grouped",
    "estimate": 0.1,
    "low": -0.02,
    "high": 0.22,
    "test": "paired bootstrap",
    "n": 100,
    "seeds": 2,
}


def test_evidence_comes_back_as_it_was_written(tiny_study: Study):
    rows = [
        Evidence(**ROW, p=0.04, se=0.06, se_runs=0.01, images=50),
        Evidence(**ROW | {"estimate": None, "low": None, "high": None, "note": "one seed"}),
    ]
    write_evidence(tiny_study, "instances", rows)
    write_evidence(tiny_study, "confidence", [])
    table = read_evidence(tiny_study, ["instances", "confidence"])
    found = table.drop(columns="analysis").astype(object)
    assert [Evidence(**row) for row in found.where(found.notna(), None).to_dict("records")] == rows
    assert set(table["analysis"]) == {"instances"}


def test_evidence_without_standard_errors_is_read(tiny_study: Study):
    """Files from before they were kept: the verdicts then go by the interval alone."""
    write_evidence(tiny_study, "older", [])
    (tiny_study.folder / "evidence" / "older.json").write_text(json.dumps([ROW]))
    (row,) = read_evidence(tiny_study, ["older"]).astype(object).to_dict("records")
    assert all(pd.isna(row[name]) for name in ("se", "se_runs", "images")) and row["estimate"] == 0.1


def test_an_analysis_that_was_not_run_is_named(tiny_study: Study):
    with pytest.raises(ValueError, match=r"coordinates.json is not there: run notebooks/coordinates.ipynb"):
        read_evidence(tiny_study, ["coordinates"])


def test_a_malformed_file_is_refused(tiny_study: Study):
    write_evidence(tiny_study, "broken", [])
    (tiny_study.folder / "evidence" / "broken.json").write_text('[{"claim": "C9"}]')
    with pytest.raises(ValueError, match=r"(?s)broken.json.*C9"):
        read_evidence(tiny_study, ["broken"])


@pytest.mark.parametrize(
    ("change", "message"),
    [({"estimate": 0.3}, "lies outside"), ({"low": None}, "no note says why"), ({"claim": "C7"}, "C6")],
)
def test_an_estimate_without_its_interval_is_refused(change: dict, message: str):
    with pytest.raises(ValidationError, match=message):
        Evidence(**ROW | change)


def test_there_are_six_claims():
    assert list(CLAIMS) == ["C1", "C2", "C3", "C4", "C5", "C6"]
