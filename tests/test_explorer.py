"""barnlib.report.explorer: what the page gets, that nothing in it can become markup, and what it refuses."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_study import HOSTILE, write_runs

from barnlib.data.build import build_data
from barnlib.report import explorer
from barnlib.runs import read_predictions
from barnlib.study import Study


@pytest.fixture(scope="module")
def predictions(tiny_study: Study) -> pd.DataFrame:
    """Answers that no model gave, markup among them."""
    write_runs(tiny_study)
    return read_predictions(tiny_study)


@pytest.fixture(scope="module")
def data(tiny_study: Study, predictions: pd.DataFrame) -> dict:
    questions = dict.fromkeys(predictions["item"], "what is it?")
    return explorer.explorer_data(tiny_study, predictions, questions)


def sure(row: Any) -> float:
    """The confidence of one row, by hand: the answer's share of its list, or the whole answer's probability."""
    listed = json.loads(row.choices) if isinstance(row.choices, str) else {}
    whole = math.exp(row.logprob)
    return whole / sum(map(math.exp, listed.values())) if row.answer in listed else whole


def of_the_page(predictions: pd.DataFrame) -> pd.DataFrame:
    """The answers that the page shows: with the own picture, validation left out."""
    return predictions[(predictions["condition"] == "image") & (predictions["split"] != "validation")]


def test_every_answer_stands_where_its_run_is(tiny_study, predictions, data):
    shown = of_the_page(predictions)
    assert len(data["items"]) == shown["item"].nunique()
    assert data["seeds"] == list(tiny_study.seeds)
    assert [one["name"] for one in data["backbones"]] == list(tiny_study.backbones)
    for row in shown.sample(20, random_state=1).itertuples():
        (item,) = [item for item in data["items"] if item[0] == row.item]
        b, s = tiny_study.backbones.index(row.backbone), tiny_study.seeds.index(row.seed)
        assert item[-1][b][s] == [row.answer, int(row.correct), pytest.approx(sure(row), abs=5e-5)]
        assert data["tasks"][item[1]][0] == row.task
        assert item[5:8] == [row.image, "what is it?", row.reference]


def test_a_run_that_did_not_answer_is_marked(tiny_study, predictions):
    first = of_the_page(predictions)["item"].iloc[0]
    left_out = (predictions["item"] == first) & (predictions["backbone"] == "grouped")
    found = explorer.explorer_data(
        tiny_study, predictions[~left_out], dict.fromkeys(predictions["item"], "what?")
    )
    (item,) = [item for item in found["items"] if item[0] == first]
    assert item[-1][1] == [None, None] and None not in item[-1][0]


@pytest.mark.parametrize(
    ("logprob", "choices", "expected"),
    [
        (0.0, None, 1.0),
        (1e-7, None, 1.0),
        (np.log(0.25), None, 0.25),
        (-1e4, None, 0.0),
        (np.nan, None, None),
        (np.log(0.3), {"yes": np.log(0.3), "no": np.log(0.1)}, 0.75),
        (np.log(0.3), {"red": np.log(0.5), "blue": np.log(0.1)}, 0.3),
    ],
    ids=["certain", "rounding", "a quarter", "hopeless", "unknown", "a closed list", "off the list"],
)
def test_confidence_is_that_of_the_glossary(tiny_study, predictions, logprob, choices, expected):
    """The share of the list where there is one with the answer on it, elsewhere that of the whole answer."""
    row = of_the_page(predictions).head(1)
    row = row.assign(answer="yes", logprob=logprob, choices=json.dumps(choices) if choices else None)
    found = explorer.explorer_data(tiny_study, row, {row["item"].iloc[0]: "is there a circle?"})
    ((*_, answers),) = found["items"]
    (given,) = [one for seeds in answers for one in seeds if one]
    assert given[2] == expected


def test_the_script_holds_the_data_and_no_markup(data):
    text = explorer.script({**data, "more": f"{HOSTILE}</script>\u2028"})
    assert "<" not in text and "\u2028" not in text
    assert json.loads(text.removeprefix("window.barnExplorer = ").removesuffix(";\n"))["more"].startswith(
        HOSTILE
    )


def test_the_folder_is_complete_and_replaces_an_earlier_one(tiny_study, predictions):
    old = tiny_study.folder / "explorer" / "stale.txt"
    old.parent.mkdir(parents=True, exist_ok=True)
    old.touch()
    folder = explorer.write_explorer(tiny_study, predictions)
    assert not old.exists()
    for name in ("index.html", "items.js", *explorer.OWN):
        assert (folder / name).is_file()
    shown = of_the_page(predictions)
    assert all((folder / image).is_file() for image in shown["image"].unique())
    page = (folder / "index.html").read_text(encoding="utf-8")
    assert tiny_study.title in page and "http" not in page


def test_other_data_and_no_answers_are_refused(tiny_study, predictions):
    with pytest.raises(ValueError, match="items have no question in the data, first"):
        explorer.explorer_data(tiny_study, predictions, {})
    with pytest.raises(ValueError, match="no answers on the splits test, heldout: evaluate its runs"):
        explorer.explorer_data(tiny_study, predictions[predictions["condition"] == "blank"], {})


def test_an_image_outside_of_the_data_folder_is_refused(tiny_study, predictions):
    build_data(tiny_study)
    with pytest.raises(ValueError, match="expected a PNG file inside"):
        explorer.write_explorer(tiny_study, predictions.assign(image="../../secret.png"))


def test_the_script_never_writes_markup():
    """Texts enter the page as text nodes: the script has no way to parse them."""
    source = Path(explorer.__file__).with_suffix(".js").read_text(encoding="utf-8")
    for word in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "DOMParser",
        "http",
    ):
        assert word not in source, word
