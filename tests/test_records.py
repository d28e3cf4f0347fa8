"""LLaVA records: round trip, and each way in which a record can be wrong."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from barnlib.data.records import (
    Item,
    Phrase,
    Picture,
    first_of_each_kind,
    read_items,
    read_pictures,
    require_images,
    write_items,
    write_pictures,
)
from barnlib.data.turns import Turn

ITEM = Item("a-1", "images/train/a.png", "vqa_scene", "count", "easy", "How many?", "2", ("1", "2"), {"n": 2})
PICTURE = Picture(
    "images/train/a.png", "scene", "a red circle.", (Phrase("red circle", (0.1, 0.2, 0.5, 1.0)),), {"k": 1}
)
TEXT = st.text(min_size=1).filter(lambda text: text.strip() and "<image>" not in text)


def talk(*texts: str) -> list[dict]:
    return [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]


def test_items_are_llava_json(tmp_path):
    write_items(tmp_path / "i.json", [ITEM])
    (record,) = json.loads((tmp_path / "i.json").read_text())
    assert record["image"] == ITEM.image
    assert record["conversations"] == [
        {"from": "human", "value": "<image>\nHow many?"},
        {"from": "gpt", "value": "2"},
    ]
    assert read_items(tmp_path / "i.json") == [ITEM]


def test_earlier_turns_stand_before_the_items_own(tmp_path):
    item = replace(ITEM, history=(("Is it red?", "yes"), ("What else?", "a barn")))
    write_items(tmp_path / "i.json", [item, replace(item, id="a-2", history=())])
    later, first = json.loads((tmp_path / "i.json").read_text())
    assert [turn["value"] for turn in later["conversations"]] == [
        "<image>\nIs it red?",
        "yes",
        "What else?",
        "a barn",
        "How many?",
        "2",
    ]
    assert [turn["from"] for turn in later["conversations"]] == ["human", "gpt"] * 3
    assert first["conversations"][0]["value"] == "<image>\nHow many?" and "history" not in later
    assert read_items(tmp_path / "i.json") == [item, replace(item, id="a-2", history=())]
    assert item.turn == Turn("How many?", "2", (("Is it red?", "yes"), ("What else?", "a barn")))


def test_pictures_round_trip(tmp_path):
    write_pictures(tmp_path / "p.json", [PICTURE])
    assert read_pictures(tmp_path / "p.json") == [PICTURE]


@given(question=TEXT, answer=TEXT, history=st.lists(st.tuples(TEXT, TEXT), max_size=2).map(tuple))
def test_any_text_round_trips(tmp_path_factory, question, answer, history):
    path = tmp_path_factory.mktemp("t") / "i.json"
    item = Item("x", "a.png", "vqa_scene", "t", "hard", question, answer, (), {}, history)
    write_items(path, [item])
    assert read_items(path) == [item]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": "vqa"}, r"key 'task': expected one of vqa_scene.*found 'vqa'"),
        ({"difficulty": "so so"}, r"key 'difficulty'"),
        ({"id": ""}, r"key 'id': expected text that is not empty"),
        ({"image": "../../etc/passwd.png"}, r"key 'image': expected a path inside the data folder"),
        ({"image": "/etc/passwd.png"}, r"key 'image': expected a path inside the data folder"),
        ({"facts": [1]}, r"key 'facts': expected an object, found \[1\]"),
        ({"choices": ["1", "3"]}, r"key 'choices': the answer '2' is not among"),
        (
            {"conversations": [{"from": "human", "value": "<image>\nq"}]},
            r"expected human and gpt in turns, one answer to each question",
        ),
        ({"conversations": ["q", "2"]}, r"expected human and gpt in turns"),
        ({"conversations": []}, r"expected human and gpt in turns"),
        (
            {"conversations": talk("<image>\nq", "a", "r")},
            r"expected human and gpt in turns, one answer to each question",
        ),
        (
            {"conversations": talk("<image>\nq", "a", "see <image>", "2")},
            r"the first turn must start with the only '<image>'",
        ),
        (
            {"conversations": talk("<image>\nq", " ", "r", "2")},
            r"key 'value': expected text that is not empty",
        ),
        (
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "2"}]},
            r"the first turn must start with the only '<image>'",
        ),
        (
            {
                "conversations": [
                    {"from": "human", "value": "<image>\n<image>\nq"},
                    {"from": "gpt", "value": "2"},
                ]
            },
            r"the first turn must start with the only '<image>'",
        ),
    ],
)
def test_bad_record_is_refused_with_file_record_and_key(tmp_path, change, message):
    path = tmp_path / "train.json"
    write_items(path, [ITEM])
    record = json.loads(path.read_text())[0] | change
    path.write_text(json.dumps([record]))
    with pytest.raises(ValueError, match=r"train\.json: record 0 .*" + message):
        read_items(path)


def test_missing_key_duplicates_and_other_shapes_are_refused(tmp_path):
    path = tmp_path / "train.json"
    write_items(path, [ITEM, ITEM])
    with pytest.raises(ValueError, match=r"record 1: 'a-1' occurs twice"):
        read_items(path)
    record = json.loads(path.read_text())[0]
    del record["facts"]
    path.write_text(json.dumps([record]))
    with pytest.raises(ValueError, match=r"record 0 \('a-1'\): key 'facts' is missing"):
        read_items(path)
    path.write_text("{}")
    with pytest.raises(ValueError, match=r"expected a list of records, found dict"):
        read_items(path)
    path.write_text("[")
    with pytest.raises(ValueError, match=r"not valid JSON"):
        read_items(path)
    path.write_text("[3]")
    with pytest.raises(ValueError, match=r"record 0"):
        read_items(path)


@pytest.mark.parametrize("box", [(0.5, 0, 0.4, 1), (0, 0, 1.1, 1), (0, 0, 1)])
def test_box_outside_the_picture_is_refused(tmp_path, box):
    path = tmp_path / "p.json"
    write_pictures(path, [Picture("a.png", "card", "c", (Phrase("t", box),), {})])
    with pytest.raises(ValueError, match=r"key 'phrases': expected 0 <= x0 < x1 <= 1"):
        read_pictures(path)


def test_missing_and_broken_images_are_refused(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "good.png")
    require_images(tmp_path, ["good.png"])
    with pytest.raises(ValueError, match=r"none\.png: the image does not exist"):
        require_images(tmp_path, ["good.png", "none.png"])
    (tmp_path / "broken.png").write_bytes((tmp_path / "good.png").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"broken\.png: the image cannot be read"):
        require_images(tmp_path, ["broken.png"])


def test_the_first_pictures_of_each_kind_are_taken_kinds_as_they_come():
    pictures = [replace(PICTURE, image=str(n), kind=("scene", "card")[n % 2]) for n in range(1, 8)]
    assert [one.image for one in first_of_each_kind(pictures, 2)] == ["1", "3", "2", "4"]
    assert len(first_of_each_kind(pictures, 1000)) == 7 and first_of_each_kind(pictures, 0) == []
