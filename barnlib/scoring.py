"""The score of one answer, for each kind of answer: words, facts in sentences, a place.

In:  an answer as a model gave it, and the item's facts and reference answer.
Out: a `Score`, which predict.py writes into the predictions table and baselines.py uses in the same way;
     metrics.py aggregates the table.

Scene questions: exact match after normalisation; with ten people's answers among the facts, the official accuracy of
VQA. Descriptions: F1 over six facts, read by rule, within the tolerances below. Coordinates: strictly parsed and within
a great-circle distance. An answer that cannot be read is wrong, never left out.
"""

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from barnlib.data.answers import coordinate_stage, find_coordinates, find_facts, great_circle_km
from barnlib.data.descriptions import FACTS
from barnlib.data.earthquakes import region_names
from barnlib.vqa_accuracy import AGREE, agreement, vqa_accuracy

# A number is right within this share of the truth, a distance also within one degree; others must be equal.
RELATIVE_TOLERANCE = {"distance_deg": 0.10, "p_time_s": 0.10, "s_minus_p_s": 0.15}
ABSOLUTE_TOLERANCE = {"distance_deg": 1.0}

LADDER = ("text", "json", "schema", "range", "distance")

_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SAME = {word: str(number) for number, word in enumerate(_NUMBER_WORDS)} | {"none": "0"}
_ARTICLES = {"a", "an", "the"}
_PUNCTUATION = re.compile(f"[{re.escape(string.punctuation)}]")


@dataclass(frozen=True)
class Score:
    """What one answer is worth.

    Attributes:
        score: 0 to 1; graded for descriptions (F1) and where ten people answered, 0 or 1 otherwise.
        correct: the whole answer is right.
        parsed: what was read from the answer, ready for JSON; None if nothing could be read.
        details: why, by task; see the function of the task.
    """

    score: float
    correct: bool
    parsed: dict[str, Any] | None
    details: dict[str, Any]


# --- scene questions


def normalise(answer: str) -> str:
    """An answer in lower case, without punctuation and articles, number words as digits, single spaces.

    A subset of the official VQA normalisation (Antol et al. 2015), applied to every answer. With a single
    reference the official leave-one-out average has nothing to average, so the score is exact match.
    """
    words = _PUNCTUATION.sub(" ", answer.lower()).split()
    return " ".join(_SAME.get(word, word) for word in words if word not in _ARTICLES)


def score_scene_answer(answer: str, reference: str) -> Score:
    """Exact match after `normalise`. Details: `verbatim`, whether it matched without normalisation."""
    given = normalise(answer)
    correct = given == normalise(reference)
    parsed = {"answer": given} if given else None
    return Score(float(correct), correct, parsed, {"verbatim": answer.strip() == reference})


def score_agreement(answer: str, people: Sequence[str]) -> Score:
    """The official accuracy of VQA (see :mod:`barnlib.vqa_accuracy`); correct where three or more people gave it.

    Antol et al. 2015 (arXiv 1505.00468), section 4: an answer is deemed fully right if at least three people provided
    it. With three of ten, the average over leaving out each person, which is the score, is 0.9. Details: `agree`, how
    many gave it.

    Raises:
        ValueError: fewer than two people.
    """
    agree = sum(agreement(answer, people))
    given = normalise(answer)
    parsed = {"answer": given} if given else None
    return Score(vqa_accuracy(answer, people), agree >= AGREE, parsed, {"agree": agree})


# --- descriptions


def fact_is_right(name: str, value: Any, truth: Any) -> bool:
    """Whether a stated fact agrees with the truth: equal, or within the tolerance of a number."""
    if name not in RELATIVE_TOLERANCE:
        return bool(value == truth)
    allowed = max(RELATIVE_TOLERANCE[name] * abs(truth), ABSOLUTE_TOLERANCE.get(name, 0.0))
    return bool(abs(value - truth) <= allowed + 1e-9)


def judge_fact(name: str, values: Sequence[Any], truth: Any) -> str:
    """right, wrong, missing (no value stated), or contradiction (several, so none counts)."""
    if not values:
        return "missing"
    if len(values) > 1:
        return "contradiction"
    return "right" if fact_is_right(name, values[0], truth) else "wrong"


def score_description(answer: str, facts: Mapping[str, Any]) -> Score:
    """F1 over the facts: precision over those stated, recall over all six; correct if all six are right.

    Details: `verdicts` by fact, `precision` (0 where nothing is stated), `recall`.

    Raises:
        ValueError: facts that lack one of the six.
    """
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise ValueError(
            f"a description is scored with {', '.join(FACTS)}; the facts lack {', '.join(missing)}"
        )
    found = find_facts(answer, (*region_names(), facts["region"]))
    verdicts = {name: judge_fact(name, found.get(name, ()), facts[name]) for name in FACTS}
    right = sum(verdict == "right" for verdict in verdicts.values())
    stated = sum(verdict != "missing" for verdict in verdicts.values())
    parsed = {name: values[0] if len(values) == 1 else list(values) for name, values in found.items()}
    return Score(
        score=2 * right / (stated + len(FACTS)),
        correct=right == len(FACTS),
        parsed=parsed or None,
        details={
            "verdicts": verdicts,
            "precision": right / stated if stated else 0.0,
            "recall": right / len(FACTS),
        },
    )


# --- coordinates


def score_coordinates(answer: str, facts: Mapping[str, Any], tolerance_km: float) -> Score:
    """Correct if the whole answer is the JSON object asked for and lies within `tolerance_km` of the truth.

    Details: `stage`, the highest rung of `LADDER` that is reached; `error_km`, NaN if not parsed strictly;
    `lenient_error_km`, the distance to the first two numbers of any text, NaN if there are none.

    Raises:
        ValueError: facts without latitude or longitude.
    """
    if not {"latitude", "longitude"} <= set(facts):
        raise ValueError(
            f"coordinates are scored with latitude and longitude; the facts are {', '.join(facts)}"
        )
    stage, place = coordinate_stage(answer)
    error_km = _error_km(place, facts)
    correct = error_km <= tolerance_km
    parsed = {"latitude": place[0], "longitude": place[1]} if place else None
    details = {
        "stage": "distance" if correct else stage,
        "error_km": error_km,
        "lenient_error_km": _error_km(place or find_coordinates(answer), facts),
    }
    return Score(float(correct), correct, parsed, details)


def _error_km(place: tuple[float, float] | None, facts: Mapping[str, Any]) -> float:
    if place is None:
        return float("nan")
    return float(great_circle_km(*place, facts["latitude"], facts["longitude"]))
