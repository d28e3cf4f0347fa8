"""barnlib.analyses.text_knowledge: accuracies with their intervals, beside what a constant answer gives."""

from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest

from barnlib.analyses.text_knowledge import best_guesses, known
from barnlib.corpus import text_scene
from barnlib.data.questions import QUESTION_TYPES, ask


def test_a_guess_is_the_most_frequent_answer_to_each_closed_list():
    rng = np.random.default_rng(3)
    answers: defaultdict[str, defaultdict[tuple, Counter]] = defaultdict(lambda: defaultdict(Counter))
    for _ in range(40):
        for question in ask(text_scene(rng), rng, len(QUESTION_TYPES)):
            answers[question.question_type][question.choices][question.answer] += 1
    found = best_guesses(3, 40)
    assert set(found.index) == set(QUESTION_TYPES)
    for kind, lists in answers.items():
        right, asked = (
            sum(max(one.values()) for one in lists.values()),
            sum(one.total() for one in lists.values()),
        )
        assert found[kind] == pytest.approx(right / asked)
    assert (found > 0).all() and found["position"] < found["existence"]


def test_accuracies_have_wilsons_interval_and_a_guess():
    cards = {
        "One": {"count": {"accuracy": 0.5, "n": 100}, "description": {"accuracy": 0.0, "n": 120}},
        "Two": {"count": {"accuracy": 0.25, "n": 80}},
    }
    table = known(cards, pd.Series({"count": 0.28, "colour": 0.2}))
    # (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), with z = 1.96
    assert table.loc["count"].tolist() == ["50% (40 to 60)", "25% (17 to 35)", "28%", "at least 80"]
    assert table.loc["description"].tolist() == ["0% (0 to 3)", "–", "–", "at least 120"]
    assert known({}, pd.Series({"count": 0.28})).empty
