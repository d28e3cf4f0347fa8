"""The instances and confidence pages on studies of odd shape: each answers or says why not, and never fails."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import write_runs

from barnlib import notebook, runs
from barnlib.parameters import load_study
from barnlib.paths import ROOT
from barnlib.study import Study
from tests.run_cells import run_cells

pytestmark = pytest.mark.slow
PAGES = {"instances": ("C1", "C2"), "confidence": ("C3",)}
Change = Callable[[pd.DataFrame], pd.DataFrame]


def all_right(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(correct=True, score=1.0)


def all_wrong(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(correct=False, score=0.0)


def without_confidence(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(logprob=np.nan, first_token_logprob=np.nan, choices=None)


def without_validation(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["split"] != "validation"].drop(columns="choices")


def equally_sure(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(logprob=-0.5, first_token_logprob=0.0, choices=None)


def unchanged(table: pd.DataFrame) -> pd.DataFrame:
    return table


SHAPES: dict[str, tuple[dict, Change]] = {
    "as it is": ({}, unchanged),
    "one backbone": ({"backbones": ("llama2",)}, unchanged),
    "one seed": ({"seeds": (1,)}, unchanged),
    "all right": ({}, all_right),
    "all wrong": ({}, all_wrong),
    "no confidence": ({}, without_confidence),
    "no validation and no lists": ({}, without_validation),
    "ties": ({}, equally_sure),
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        made = load_study("smoke")
        quick = made.model_copy(
            update={"seeds": (0, 1), "evaluation": made.evaluation.model_copy(update={"bootstrap": 20})}
        )
        write_runs(quick)
        yield quick


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_page_answers_or_says_why_not(
    page: str, shape: str, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, change = SHAPES[shape]
    original = runs.read_predictions
    monkeypatch.setattr(notebook, "load_study", lambda name: study.model_copy(update=update))
    monkeypatch.setattr(runs, "read_predictions", lambda chosen: change(original(chosen)))
    shown = run_cells(Path(ROOT / "notebooks" / f"{page}.ipynb"), study="smoke")
    assert len(shown) > 8
    rows = json.loads((study.folder / "evidence" / f"{page}.json").read_text())
    pairs = len(update.get("backbones", study.backbones)) > 1
    if pairs:
        assert {row["claim"] for row in rows} == set(PAGES[page])
    else:
        assert not [row for row in rows if row["b"] not in (None, row["a"])]
    for row in rows:
        assert row["note"] or None not in (row["estimate"], row["low"], row["high"])
    if shape == "as it is":
        assert all(row["estimate"] is not None for row in rows if row["task"] == "vqa_scene")
