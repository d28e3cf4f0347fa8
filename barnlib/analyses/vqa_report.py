"""The table that the official evaluation of VQA prints.

In:  answers, and items of :func:`barnlib.data.vqa_files.read_vqa` with ten people's answers among their facts.
Out: accuracy in percent, overall, by type of question and by type of answer; barnlib/vqa_accuracy.py scores each.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from barnlib.data.records import Item
from barnlib.vqa_accuracy import vqa_accuracy


def vqa_report(answers: Mapping[str, str], items: Sequence[Item]) -> dict[str, Any]:
    """The official table: percent to two decimals.

    Args:
        answers: by the item's id.
        items: of :func:`~barnlib.data.vqa_files.read_vqa`.

    Returns:
        ``overall``, ``question_types`` and ``answer_types`` (type -> percent, in order of appearance), ``items``.

    Raises:
        ValueError: no items, items without ten people's answers, or answers to other questions than these.
    """
    if not items:
        raise ValueError("VQA accuracy of no items: expected one or more")
    ids = {item.id for item in items}
    differing = sorted(ids ^ answers.keys())
    if differing:
        raise ValueError(
            f"{len(ids - answers.keys())} questions without an answer and {len(answers.keys() - ids)} answers to other "
            f"questions, '{differing[0]}' first; expected one answer to each of the {len(ids)} questions"
        )
    scores: list[float] = []
    by_question: dict[str, list[float]] = {}
    by_answer: dict[str, list[float]] = {}
    for item in items:
        if not {"answers", "answer_type"} <= item.facts.keys():
            raise ValueError(
                f"item '{item.id}': expected facts 'answers' and 'answer_type', found {[*item.facts]}"
            )
        score = vqa_accuracy(answers[item.id], item.facts["answers"])
        scores.append(score)
        by_question.setdefault(item.question_type, []).append(score)
        by_answer.setdefault(item.facts["answer_type"], []).append(score)
    return {
        "overall": _percent(scores),
        "question_types": {name: _percent(group) for name, group in by_question.items()},
        "answer_types": {name: _percent(group) for name, group in by_answer.items()},
        "items": len(scores),
    }


def _percent(scores: Sequence[float]) -> float:
    return round(100 * sum(scores) / len(scores), 2)
