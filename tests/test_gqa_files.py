"""GQA's official question files, as small as they come."""

import copy
import json

import pytest

from barnlib.data.gqa_files import read_gqa
from barnlib.data.records import read_items, write_items

SELECT = {"operation": "select", "dependencies": [], "argument": "barn (12)"}
ENTRY = {
    "semantic": [SELECT, {"operation": "query", "dependencies": [0], "argument": "color"}],
    "entailed": [],
    "equivalent": ["201"],
    "question": "What color is the barn?",
    "imageId": "n161313",
    "isBalanced": True,
    "groups": {"global": "color", "local": "10q-barn_color"},
    "answer": "red",
    "semanticStr": "select: barn (12)->query: color [0]",
    "annotations": {"answer": {}, "question": {"4": "12"}, "fullAnswer": {}},
    "types": {"detailed": "directOf", "semantic": "attr", "structural": "query"},
    "fullAnswer": "The barn is red.",
}


def entry(**changes) -> dict:
    return copy.deepcopy(ENTRY) | changes


def types(structural: str) -> dict:
    return ENTRY["types"] | {"structural": structural}


def write(tmp_path, content):
    path = tmp_path / "gqa.json"
    path.write_text(json.dumps(content))
    return path


def test_balanced_questions_are_items(tmp_path):
    content = {
        "201": entry(),
        "202": entry(isBalanced=False),
        "203": entry(types=types("verify"), answer="no", semantic=[SELECT] * 3, imageId="2370799"),
        "204": entry(semantic=[SELECT] * 4),
    }
    reading = read_gqa(write(tmp_path, content), tmp_path, "images")
    color, verify, long = reading.items
    assert (color.id, color.image, color.question, color.answer) == (
        "201",
        "images/n161313.jpg",
        "What color is the barn?",
        "red",
    )
    assert (color.question_type, color.difficulty, color.choices) == ("query", "easy", ())
    assert color.facts == {"image_id": "n161313", "semantic_type": "attr", "steps": 2}
    assert (verify.question_type, verify.difficulty, verify.choices) == ("verify", "medium", ("yes", "no"))
    assert long.difficulty == "hard" and reading.left_out == {"not balanced": 1}
    write_items(tmp_path / "i.json", reading.items)
    assert read_items(tmp_path / "i.json") == [color, verify, long]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"imageId": "../../etc/x"}, "key 'imageId': expected a path inside"),
        ({"imageId": 5}, "key 'imageId': expected text, found 5"),
        ({"answer": ""}, "key 'answer': expected text that is not empty"),
        ({"question": "<image> what?"}, "key 'question': expected text without '<image>'"),
        ({"isBalanced": "yes"}, "key 'isBalanced': expected true or false"),
        ({"semantic": None}, "key 'semantic': expected a list, found None"),
        (
            {"types": types("odd")},
            r"\.types: key 'structural'|types: key 'structural': expected one of verify",
        ),
    ],
)
def test_a_malformed_question_is_named(tmp_path, changes, message):
    with pytest.raises(ValueError, match=rf"gqa\.json: 9(: |\.).*{message}|gqa\.json: 9\.{message}"):
        read_gqa(write(tmp_path, {"1": entry(), "9": entry(**changes)}), tmp_path)


def test_a_file_without_answers_is_refused(tmp_path):
    content = {"1": {key: value for key, value in ENTRY.items() if key != "answer"}}
    with pytest.raises(ValueError, match=r"gqa\.json: 1: key 'answer' is missing"):
        read_gqa(write(tmp_path, content), tmp_path)


def test_an_id_twice_is_refused(tmp_path):
    path = tmp_path / "gqa.json"
    path.write_text(f'{{"1": {json.dumps(ENTRY)}, "1": {json.dumps(ENTRY)}}}')
    with pytest.raises(ValueError, match=r"gqa\.json: key '1' occurs twice"):
        read_gqa(path, tmp_path)
