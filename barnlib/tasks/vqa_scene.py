"""VQA-Scene: short questions about a scene of coloured things, or about a photograph.

In:  a scene's facts, or those of a question that somebody else asked. Out: `TASK`. barnlib/data/questions.py makes the
questions, barnlib/scoring.py compares: with the one right answer word for word, or, where the question comes with ten
people's answers as those of VQA v2 do, with these.
"""

from collections.abc import Sequence

import numpy as np

from barnlib.data import questions
from barnlib.data.scenes import scene_from_facts
from barnlib.scoring import score_agreement, score_scene_answer
from barnlib.tasks.task import Facts, Question, Score, Task

PEOPLE = "answers"  # the fact that holds what each of several people answered


def ask(facts: Facts, rng: np.random.Generator, count: int) -> dict[str, Question]:
    """`count` questions of as many types as the scene allows, numbered."""
    asked = questions.ask(scene_from_facts(facts), rng, count)
    return {str(number): question for number, question in enumerate(asked)}


def score(answer: str, facts: Facts, reference: str, tolerance_km: float) -> Score:
    """As :func:`barnlib.scoring.score_agreement` or :func:`barnlib.scoring.score_scene_answer`."""
    return (
        score_agreement(answer, facts[PEOPLE]) if PEOPLE in facts else score_scene_answer(answer, reference)
    )


def wordings(facts: Facts) -> Sequence[str]:
    """Those of the question's program; none for a question of another origin, which has no program."""
    return questions.wordings_of(facts) if "function" in facts else ()


TASK = Task("vqa_scene", "VQA-Scene", kind="scene", ask=ask, score=score, wordings=wordings)
