"""VQA-Scene: short questions about a scene of coloured things, right if the answer is the right one word for word.

In:  a scene's facts. Out: `TASK`. barnlib/data/questions.py makes the questions, barnlib/scoring.py compares.
"""

from collections.abc import Sequence

import numpy as np

from barnlib.data import questions
from barnlib.data.scenes import scene_from_facts
from barnlib.scoring import score_scene_answer
from barnlib.tasks.task import Facts, Question, Score, Task


def ask(facts: Facts, rng: np.random.Generator, count: int) -> dict[str, Question]:
    """`count` questions of as many types as the scene allows, numbered."""
    asked = questions.ask(scene_from_facts(facts), rng, count)
    return {str(number): question for number, question in enumerate(asked)}


def score(answer: str, facts: Facts, reference: str, tolerance_km: float) -> Score:
    """As :func:`barnlib.scoring.score_scene_answer`."""
    return score_scene_answer(answer, reference)


def wordings(facts: Facts) -> Sequence[str]:
    """Those of the question's program; none for a question of another origin, which has no program."""
    return questions.wordings_of(facts) if "function" in facts else ()


TASK = Task("vqa_scene", "VQA-Scene", kind="scene", ask=ask, score=score, wordings=wordings)
