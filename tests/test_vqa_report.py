"""The official table: worked out by hand for three questions."""

import pytest

from barnlib.analyses.vqa_report import vqa_report
from barnlib.data.records import Item
from tests.test_vqa_accuracy import people


def item(number: int, kind: str, answer_type: str, answers: list[str]) -> Item:
    facts = {"answers": answers, "answer_type": answer_type}
    return Item(str(number), "a.jpg", "vqa_scene", kind, "medium", "Q?", answers[0], (), facts)


ITEMS = [
    item(1, "how many", "number", people(1, "2")),  # 30
    item(2, "how many", "number", people(2, "2")),  # 60
    item(3, "is the", "yes/no", people(10, "yes")),  # 100
]


def test_report_is_percent_to_two_decimals_by_type():
    report = vqa_report({"1": "2", "2": "two", "3": "Yes"}, ITEMS)
    assert report == {
        "overall": 63.33,
        "question_types": {"how many": 45.0, "is the": 100.0},
        "answer_types": {"number": 45.0, "yes/no": 100.0},
        "items": 3,
    }


def test_report_refuses_other_questions_and_items_without_ten_answers():
    with pytest.raises(
        ValueError, match="2 questions without an answer and 1 answers to other questions, '1'"
    ):
        vqa_report({"3": "yes", "9": "no"}, ITEMS)
    with pytest.raises(ValueError, match="of no items"):
        vqa_report({}, [])
    plain = Item("1", "a.jpg", "vqa_scene", "t", "easy", "Q?", "yes", (), {"n": 1})
    with pytest.raises(
        ValueError, match=r"item '1': expected facts 'answers' and 'answer_type', found \['n'\]"
    ):
        vqa_report({"1": "yes"}, [plain])
