"""Seismic text description: an event card in a few sentences, worth the F1 of the facts that they state.

In:  an earthquake's facts. Out: `TASK`. barnlib/data/descriptions.py writes the sentences, barnlib/scoring.py reads
them back.
"""

from collections.abc import Sequence

import numpy as np

from barnlib.data import descriptions
from barnlib.data.earthquakes import Earthquake
from barnlib.scoring import score_description
from barnlib.tasks.task import Facts, Question, Score, Task


def ask(facts: Facts, rng: np.random.Generator, count: int) -> dict[str, Question]:
    """One question."""
    stated = descriptions.description_facts(Earthquake(**facts))
    question = Question(
        question_type="description",
        difficulty="medium",
        question=descriptions.description_questions(rng),
        answer=descriptions.write_description(stated, rng),
        choices=(),
        facts=stated,
    )
    return {"description": question}


def score(answer: str, facts: Facts, reference: str, tolerance_km: float) -> Score:
    """As :func:`barnlib.scoring.score_description`."""
    return score_description(answer, facts)


def wordings(facts: Facts) -> Sequence[str]:
    """The same for every card."""
    return descriptions.DESCRIPTION_QUESTIONS


TASK = Task(
    "seismic_description", "Seismic text description", kind="card", ask=ask, score=score, wordings=wordings
)
