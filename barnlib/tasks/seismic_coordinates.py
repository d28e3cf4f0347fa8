"""Seismic coordinate prediction: the epicentre of an event card as JSON, right within the study's tolerance.

In:  an earthquake's facts. Out: `TASK`. barnlib/data/descriptions.py writes the JSON, barnlib/scoring.py reads it.
"""

from collections.abc import Sequence

import numpy as np

from barnlib.data import descriptions
from barnlib.data.earthquakes import Earthquake
from barnlib.scoring import score_coordinates
from barnlib.tasks.task import Facts, Question, Score, Task

# The form of write_coordinates: degrees with one decimal, latitude in -90 to 90, longitude in -180 to 180.
_LATITUDE = r"-?(90\.0|[1-8]?[0-9]\.[0-9])"
_LONGITUDE = r"-?(180\.0|(1[0-7][0-9]|[1-9]?[0-9])\.[0-9])"
FORM = rf'\{{"latitude": {_LATITUDE}, "longitude": {_LONGITUDE}\}}'


def ask(facts: Facts, rng: np.random.Generator, count: int) -> dict[str, Question]:
    """One question."""
    earthquake = Earthquake(**facts)
    question = Question(
        question_type="coordinates",
        difficulty="hard",
        question=descriptions.coordinate_questions(rng),
        answer=descriptions.write_coordinates(earthquake.latitude_deg, earthquake.longitude_deg),
        choices=(),
        facts={"latitude": earthquake.latitude_deg, "longitude": earthquake.longitude_deg},
    )
    return {"coordinates": question}


def score(answer: str, facts: Facts, reference: str, tolerance_km: float) -> Score:
    """As :func:`barnlib.scoring.score_coordinates`."""
    return score_coordinates(answer, facts, tolerance_km)


def wordings(facts: Facts) -> Sequence[str]:
    """The same for every card."""
    return descriptions.COORDINATE_QUESTIONS


TASK = Task(
    "seismic_coordinates",
    "Seismic coordinate prediction",
    kind="card",
    ask=ask,
    score=score,
    wordings=wordings,
    form=FORM,
)
