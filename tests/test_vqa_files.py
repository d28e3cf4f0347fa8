"""VQA v2's official files, as small as they come, and each way in which they can disagree."""

import copy
import json

import pytest

from barnlib.analyses.vqa_report import vqa_report
from barnlib.data.records import read_items, write_items
from barnlib.data.vqa_files import read_results, read_vqa

HEAD = {
    "info": {"description": "VQA", "version": "2.0"},
    "license": {"name": "CC BY 4.0"},
    "data_type": "mscoco",
    "data_subtype": "val2014",
}
QUESTIONS = HEAD | {
    "task_type": "Open-Ended",
    "questions": [
        {"image_id": 262148, "question": "Where is he looking?", "question_id": 262148000},
        {"image_id": 9, "question": "Is it a barn?", "question_id": 9001},
    ],
}


def answers(*texts: str) -> list[dict]:
    return [
        {"answer": text, "answer_confidence": "yes", "answer_id": number}
        for number, text in enumerate(texts, 1)
    ]


ANNOTATIONS = HEAD | {
    "annotations": [
        {
            "question_type": "is it a",
            "multiple_choice_answer": "yes",
            "answers": answers(*["yes"] * 10),
            "image_id": 9,
            "answer_type": "yes/no",
            "question_id": 9001,
        },
        {
            "question_type": "none of the above",
            "multiple_choice_answer": "down",
            "answers": answers(*["down"] * 3, *["at table"] * 3, *["table"] * 2, "skateboard", ""),
            "image_id": 262148,
            "answer_type": "other",
            "question_id": 262148000,
        },
    ],
}


def write(tmp_path, questions=QUESTIONS, annotations=ANNOTATIONS):
    paths = tmp_path / "questions.json", tmp_path / "annotations.json"
    for path, content in zip(paths, (questions, annotations), strict=True):
        path.write_text(json.dumps(content))
    return paths


def test_questions_meet_their_annotations(tmp_path):
    reading = read_vqa(*write(tmp_path), tmp_path, "val2014")
    where, barn = reading.items
    assert (where.id, where.image) == ("262148000", "val2014/COCO_val2014_000000262148.jpg")
    assert (where.question, where.answer, where.question_type) == (
        "Where is he looking?",
        "down",
        "none of the above",
    )
    assert where.facts["answers"][2:4] == ["down", "at table"] and where.choices == ()
    assert (barn.id, barn.answer, barn.choices) == ("9001", "yes", ("yes", "no"))
    write_items(tmp_path / "i.json", reading.items)
    assert read_items(tmp_path / "i.json") == [where, barn]


def test_official_results_are_scored(tmp_path):
    results = tmp_path / "results.json"
    results.write_text(
        json.dumps([{"question_id": 9001, "answer": "yes"}, {"question_id": 262148000, "answer": "Table."}])
    )
    report = vqa_report(read_results(results), read_vqa(*write(tmp_path), tmp_path).items)
    assert report["overall"] == 80.0 and report["answer_types"] == {"other": 60.0, "yes/no": 100.0}
    results.write_text(json.dumps([{"question_id": 1, "answer": "a"}] * 2))
    with pytest.raises(
        ValueError, match=r"results\.json: record 1: key 'question_id': expected every question once"
    ):
        read_results(results)


def test_the_images_of_test_dev_are_those_of_test(tmp_path):
    subtype = {"data_subtype": "test-dev2015"}
    paths = write(tmp_path, QUESTIONS | subtype, ANNOTATIONS | subtype)
    assert read_vqa(*paths, tmp_path).items[1].image == "COCO_test2015_000000000009.jpg"


@pytest.mark.parametrize(
    ("file", "place", "value", "message"),
    [
        (0, ("data_type",), "abstract_v002", r"questions\.json: key 'data_type': expected 'mscoco'"),
        (1, ("data_subtype",), "train2014", r"annotations\.json: key 'data_subtype': expected 'val2014'"),
        (
            0,
            ("questions", 1, "question"),
            5,
            r"questions\.json: questions\[1\]: key 'question': expected text",
        ),
        (
            0,
            ("questions", 1, "question"),
            "<image>",
            r"questions\[1\]: key 'question': expected text without",
        ),
        (0, ("questions", 1, "image_id"), "9", r"questions\[1\]: key 'image_id': expected a whole number"),
        (
            0,
            ("questions", 1, "question_id"),
            262148000,
            r"questions\[1\]: key 'question_id': expected every question",
        ),
        (
            0,
            ("questions", 1, "question_id"),
            77,
            r"questions\[1\]: key 'question_id': expected a question that anno",
        ),
        (
            1,
            ("annotations", 0, "image_id"),
            8,
            r"annotations\[0\]: key 'image_id': expected 9 as the question",
        ),
        (
            1,
            ("annotations", 1, "answers", 4, "answer"),
            None,
            r"annotations\[1\]\.answers\[4\]: key 'answer'",
        ),
        (
            1,
            ("annotations", 1, "answers", 4, "answer_id"),
            1,
            r"annotations\[1\]: key 'answers': expected 10 with",
        ),
        (1, ("annotations", 1, "answers"), [], r"annotations\[1\]: key 'answers': expected 10 with"),
        (1, ("annotations",), {}, r"annotations\.json: key 'annotations': expected a list of objects"),
        (0, ("data_subtype",), "../../x", r"annotations\.json: key 'data_subtype'"),
    ],
)
def test_a_fault_is_named(tmp_path, file, place, value, message):
    files = [copy.deepcopy(QUESTIONS), copy.deepcopy(ANNOTATIONS)]
    inner = files[file]
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    with pytest.raises(ValueError, match=message):
        read_vqa(*write(tmp_path, *files), tmp_path)


def test_an_image_name_made_of_a_wrong_subtype_stays_inside(tmp_path):
    subtype = {"data_subtype": "/../../../x"}
    paths = write(tmp_path, QUESTIONS | subtype, ANNOTATIONS | subtype)
    with pytest.raises(ValueError, match=r"questions\[0\]: key 'image_id': expected a path inside"):
        read_vqa(*paths, tmp_path)


def test_an_annotation_without_its_question_is_named(tmp_path):
    questions = QUESTIONS | {"questions": QUESTIONS["questions"][:1]}
    with pytest.raises(
        ValueError, match=r"annotations\[0\]: key 'question_id': expected a question of questions"
    ):
        read_vqa(*write(tmp_path, questions), tmp_path)
