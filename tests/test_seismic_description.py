"""Seismic text description: the facts that a card's sentences state, to the precision that they state them with."""

import numpy as np

from barnlib.data.pictures import generator
from barnlib.tasks.seismic_description import TASK
from tests.small_card import FACTS

STATED = {
    "magnitude_class": "major",
    "depth_class": "intermediate",
    "region": "Nepal",
    "distance_deg": 62,
    "p_time_s": 610,
    "s_minus_p_s": 500,
}


def rng() -> np.random.Generator:
    return generator("test of descriptions")


def test_its_facts_are_the_six_that_are_stated_and_rounded():
    question = TASK.ask(FACTS, rng(), 1)["description"]
    assert (question.question_type, question.difficulty, question.choices) == ("description", "medium", ())
    assert question.facts == STATED


def test_its_answer_states_them_in_words():
    answer = TASK.ask(FACTS, rng(), 1)["description"].answer
    assert all(word in answer for word in ("major", "intermediate", "Nepal", "62", "610", "500"))


def test_the_same_seed_asks_the_same_and_wordings_are_all_used():
    assert TASK.ask(FACTS, rng(), 1) == TASK.ask(FACTS, rng(), 1)
    drawn = rng()
    questions = {TASK.ask(FACTS, drawn, 1)["description"].question for _ in range(60)}
    assert questions == set(TASK.wordings(FACTS)) and len(questions) == 5


def test_a_score_is_the_f1_of_the_facts():
    """Two of six stated, one of them right: precision 1/2, recall 1/6, F1 1/4."""
    found = TASK.score("A major deep earthquake.", STATED, "not looked at", 0.0)
    assert (found.score, found.correct) == (0.25, False)
    whole = TASK.ask(FACTS, rng(), 1)["description"].answer
    assert TASK.score(whole, STATED, "not looked at", 0.0).correct


def test_any_text_may_describe_a_card():
    assert (TASK.kind, TASK.form) == ("card", None)
