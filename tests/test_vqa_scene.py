"""VQA-Scene: as many questions as a scene is asked, numbered; an answer counts word for word."""

import numpy as np
import pytest

from barnlib.data.pictures import generator
from barnlib.data.scenes import sample_scene, scene_facts
from barnlib.tasks.vqa_scene import TASK

FACTS = scene_facts(sample_scene(generator("test of VQA-Scene")))


def rng() -> np.random.Generator:
    return generator("questions of VQA-Scene")


@pytest.mark.parametrize("count", [0, 1, 12])
def test_the_study_s_number_of_questions_is_asked_and_numbered(count):
    asked = TASK.ask(FACTS, rng(), count)
    assert list(asked) == [str(number) for number in range(count)]
    assert len({str(question.facts) for question in asked.values()}) == count


@pytest.mark.parametrize("colour", ["purple", "blue"])
def test_questions_are_about_the_scene_of_the_facts(colour):
    """Where all things have one colour, every answer to a question of colour is that one."""
    painted = FACTS | {"things": [thing | {"colour": colour} for thing in FACTS["things"]]}
    asked = TASK.ask(painted, rng(), 20).values()
    assert {question.answer for question in asked if question.question_type == "colour"} == {colour}


def test_facts_that_are_no_scene_are_refused():
    with pytest.raises(ValueError, match=r"a scene has the keys things and background, not \['things'\]"):
        TASK.ask({"things": []}, rng(), 1)


@pytest.mark.parametrize(
    ("answer", "right"),
    [("red", True), ("Red.", True), ("a red", True), ("red circle", False), ("blue", False), ("", False)],
)
def test_an_answer_is_compared_with_the_reference_alone(answer, right):
    found = TASK.score(answer, {"anything": 1}, "red", 0.0)
    assert (found.score, found.correct) == (float(right), right)


def test_wordings_are_those_of_the_program_and_none_without_one():
    program = {"function": "query", "attribute": "colour", "of": {"shape": "cross", "size": "large"}}
    assert TASK.wordings(program) == (
        "what colour is the large cross?",
        "which colour does the large cross have?",
        "name the colour of the large cross.",
    )
    assert TASK.wordings({"origin": "GQA"}) == ()


def test_any_text_may_be_an_answer_about_a_scene():
    assert (TASK.kind, TASK.form) == ("scene", None)
