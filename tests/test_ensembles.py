"""Sets of backbones counted by hand, and ensembles whose votes are written out."""

import numpy as np
import pandas as pd
import pytest
from prediction_tables import by_hand, table

from barnlib.analyses.ensembles import ensembles, solved_by
from barnlib.analyses.metrics import accuracy_table

RNG = np.random.default_rng


def test_sets_of_backbones() -> None:
    found = solved_by(by_hand({("a", 0): "111100", ("b", 0): "111010"}, "xxxxxx"))
    assert found[["a", "b", "items"]].values.tolist() == [
        [True, True, 3],
        [True, False, 1],
        [False, True, 1],
        [False, False, 1],
    ]
    assert found["share"].sum() == pytest.approx(1) and found["expected"].sum() == pytest.approx(1)
    assert found["expected"].iloc[0] == pytest.approx(4 / 9)


def test_what_is_expected_is_expected_within_strata() -> None:
    """Each backbone solves its own type and nothing else: within types that is no matter of chance."""
    found = solved_by(by_hand({("a", 0): "1100", ("b", 0): "0011"}, "xxyy"))
    assert found["expected"].tolist() == [0.5, 0.5]
    pooled = solved_by(by_hand({("a", 0): "1100", ("b", 0): "0011"}, "xxyy"), strata=("task",))
    assert pooled["expected"].tolist() == [0.25, 0.25]


def test_a_vote_takes_the_answer_with_most_probability() -> None:
    rows = pd.DataFrame(
        [
            ("a", 0, "red", -1.0, 1),
            ("b", 0, "Red.", -1.2, 1),
            ("c", 0, "blue", -0.5, 0),
            ("a", 1, "blue", -0.1, 0),
            ("b", 1, "red", -2.0, 1),
            ("c", 1, "green", -2.0, 0),
        ],
        columns=["backbone", "seed", "answer", "logprob", "score"],
    )
    made = table([{"item": "i", **row} for row in rows.to_dict("records")])
    found = ensembles(made).set_index(["backbone", "seed", "rule"])
    assert found.loc[("all backbones", 0, "vote"), ["answer", "score"]].tolist() == ["red", 1.0]
    assert found.loc[("all backbones", 1, "vote"), "score"] == 0.0
    assert found.loc[("all backbones", 1, "oracle"), "score"] == 1.0
    assert found.loc[("seeds of c", 0, "vote"), "answer"] == "blue"
    shown = accuracy_table(ensembles(made), ["backbone", "rule"], rng=RNG(0), resamples=10)
    assert shown.set_index(["backbone", "rule"])["estimate"]["all backbones", "vote"] == 0.5


def test_answers_without_a_probability_cannot_vote() -> None:
    made = by_hand({("a", 0): "10", ("b", 0): "00"}, "xx")  # no log-probability, as of baselines
    found = ensembles(made)
    assert found["rule"].tolist() == ["oracle", "oracle"]
    assert found.set_index("item")["score"].to_dict() == {"i0": 1.0, "i1": 0.0}
    assert ensembles(made.assign(logprob=[-1, -1, -1, np.nan]))["rule"].unique().tolist() == ["oracle"]


def test_members_are_backbones_of_one_seed_or_seeds_of_one_backbone() -> None:
    marks = {("a", 0): "1", ("a", 1): "0", ("b", 0): "1", ("b", 1): "1", ("c", 0): "0"}
    found = ensembles(by_hand(marks, "x").assign(logprob=-1.0))
    assert list(found) == [*table([]).columns, "rule"]
    members = found[["backbone", "seed"]].drop_duplicates().to_numpy().tolist()
    assert members == [["all backbones", 0], ["all backbones", 1], ["seeds of a", 0], ["seeds of b", 0]]


def test_one_backbone_one_seed_and_nothing() -> None:
    alone = by_hand({("a", 0): "10"}, "xx")
    assert ensembles(alone).empty and "rule" in ensembles(alone)
    assert solved_by(alone)["items"].tolist() == [1, 1]
    assert solved_by(alone.iloc[:0]).empty and ensembles(alone.iloc[:0]).empty
