"""Lengths are those of the ids that are trained on, whatever the tokenizer."""

import numpy as np
import pandas as pd
import pytest

from barnlib import token_costs
from barnlib.data.build import load_items
from barnlib.data.records import TASKS
from barnlib.parameters import load_study
from barnlib.token_costs import (
    agreement,
    answer_lengths,
    cut,
    longest_title,
    number_lengths,
    pieces,
    prompters,
)


@pytest.fixture(scope="module")
def made():
    return prompters(load_study("nano"))


def test_answer_lengths_are_counted_from_the_ids(made, tiny_study):
    items = load_items(tiny_study, "train")
    table = answer_lengths(items, made)
    assert list(table["task"].unique()) == list(TASKS) and len(table) == 3 * len(made)
    row = table.set_index(["task", "backbone"]).loc[("seismic_coordinates", "llama3")]
    expected = [
        len(made["llama3"].tokenizer(f"\nAnswer: {item.answer}").input_ids)
        - len(made["llama3"].tokenizer("\nAnswer:").input_ids)
        + 1
        for item in items
        if item.task == "seismic_coordinates"
    ]
    assert row["n"] == len(expected) and row["mean"] == pytest.approx(np.mean(expected))
    assert row["low"] <= row["median"] <= row["high"]
    assert row["bytes_per_token"] == pytest.approx(row["mean_bytes"] / row["mean"])
    assert len(answer_lengths(items[:1], made)) == len(made), "a task without items has no row"


def test_digits_one_by_one_cost_one_token_each(made):
    table = number_lengths(made, seed=1, numbers=20)
    assert table.index.tolist() == list(token_costs.DIGITS)
    for digits, row in table.iterrows():
        # SentencePiece splits digits; the space before the number is a piece of its own or none
        assert row["llama1"] == row["llama2"] and row["llama1"] in (digits, digits + 1)
        assert row["llama3"] <= row["llama1"] + 1


def test_pieces_put_together_are_the_answer(made):
    answer = '{"latitude": -12.4, "longitude": 143.9}'
    for prompter in made.values():
        assert "".join(pieces(prompter, answer)).replace("▁", "").replace("Ġ", "") == answer.replace(" ", "")
    table = cut([answer, "3"], made, {name: name.upper() for name in made})
    assert table.shape == (2, 3) and table.columns.tolist() == ["LLAMA1", "LLAMA2", "LLAMA3"]


def test_the_checked_texts_are_summed_up(made):
    table = agreement(made).set_index("backbone")
    assert table.loc["llama3", "vocabulary"] == len(made["llama3"].tokenizer)
    assert (table["bytes_per_token"] > 0).all() and table["texts"].nunique() == 1


def test_the_title_names_both_ends_or_one():
    """By the medians, which the chart draws; means are another order here."""
    table = pd.DataFrame(
        {
            "task": ["a"] * 3 + ["b"] * 3,
            "backbone": ["x", "y", "z"] * 2,
            "median": [1.0, 1.0, 1.0, 9.0, 5.0, 9.2],
            "mean": [1.0, 1.0, 1.0, 4.0, 8.0, 7.0],
        }
    )
    titles = {"x": "X", "y": "Y", "z": "Z"}
    told = longest_title(table, titles)
    assert told == "b: 5 tokens an answer with Y, 9 with X and Z", "of equals each is named"
    assert longest_title(table[table["backbone"] == "x"], titles) == "b: 9 tokens an answer"
    assert longest_title(table.iloc[:3], titles) == "a: 1 tokens an answer"
