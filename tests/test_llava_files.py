"""LLaVA JSON as others write it: several turns, the mark before or after, records of text alone."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.llava_files import read_captions, read_conversations
from barnlib.data.records import read_items, read_pictures, write_items, write_pictures

SHORT = "Answer the question using a single word or phrase."
TEXT = st.text(alphabet=st.characters(codec="utf-8"), min_size=1).filter(
    lambda text: text.strip() and "<image>" not in text
)


def conversation(*texts: str, **keys) -> dict:
    turns = [{"from": ("human", "gpt")[number % 2], "value": text} for number, text in enumerate(texts)]
    return {"id": "000000000009", "image": "coco/a.jpg", "conversations": turns} | keys


def write(tmp_path, *records):
    path = tmp_path / "llava.json"
    path.write_text(json.dumps(records))
    return path


def test_each_question_of_a_conversation_is_an_item(tmp_path):
    path = write(
        tmp_path,
        conversation("<image>\nWhat is it?", "A red barn.", f"How many doors?\n{SHORT}", "two"),
        conversation("Is it a barn?\n<image>", "yes", id=7, image="b.png"),
        conversation("Hello", "Hello.") | {"image": None},
    )
    records = json.loads(path.read_text())
    del records[2]["image"]  # text alone
    reading = read_conversations(write(tmp_path, *records), tmp_path, "images")
    assert [(item.id, item.image, item.question, item.answer) for item in reading.items] == [
        ("000000000009-0-0", "images/coco/a.jpg", "What is it?", "A red barn."),
        ("000000000009-0-1", "images/coco/a.jpg", f"How many doors?\n{SHORT}", "two"),
        ("7-1-0", "images/b.png", "Is it a barn?", "yes"),
    ]
    assert [item.history for item in reading.items] == [(), (("What is it?", "A red barn."),), ()]
    assert [item.question_type for item in reading.items] == ["conversation", "short answer", "conversation"]
    assert reading.items[1].facts == {"source_id": "000000000009", "turn": 1, "turns": 2}
    assert reading.left_out == {"no image": 1}
    write_items(tmp_path / "i.json", reading.items)
    assert read_items(tmp_path / "i.json") == list(reading.items)


def test_an_id_used_twice_gives_items_of_their_own(tmp_path):
    path = write(tmp_path, conversation("<image>\nA?", "b"), conversation("<image>\nC?", "d"))
    assert len({item.id for item in read_conversations(path, tmp_path).items}) == 2


@settings(deadline=None)
@given(question=TEXT, answer=TEXT, before=st.booleans())
def test_any_text_is_kept(tmp_path_factory, question, answer, before):
    folder = tmp_path_factory.getbasetemp()
    marked = f"<image>\n{question}" if before else f"{question}\n<image>"
    (item,) = read_conversations(write(folder, conversation(marked, answer)), folder).items
    assert (item.question, item.answer) == (question.strip(), answer.strip())


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (conversation("<image>\nq", "a", image="../a.jpg"), "key 'image': expected a path inside"),
        (conversation("<image>\nq", "a", image=["a.jpg"]), r"key 'image': expected text, found \['a.jpg'\]"),
        (conversation("<image>\nq", "a", id=[1]), r"key 'id': expected text or a whole number, found \[1\]"),
        (conversation("<image>\nq"), r"key 'conversations': expected human and gpt in turns.*\['human'\]"),
        (conversation(), r"key 'conversations': expected human and gpt in turns"),
        (
            conversation("q", "a"),
            r"expected one '<image>', at the start or end of the first turn, found \[0, 0\]",
        ),
        (conversation("<image>\nq", "a", "<image>", "b"), r"found \[1, 0, 1, 0\]"),
        (conversation("see <image> here", "a"), "expected one '<image>', at the start or end"),
        (conversation("<image>", "a"), r"conversations\[0\]: key 'value': expected a question beside"),
        (
            conversation("<image>\nq", " "),
            r"conversations\[1\]: key 'value': expected text that is not empty",
        ),
        ({"image": "a.jpg"}, "key 'conversations' is missing"),
        (
            {"image": "a.jpg", "conversations": ["q"]},
            r"key 'conversations\[0\]': expected an object, found 'q'",
        ),
    ],
)
def test_a_malformed_record_is_named(tmp_path, record, message):
    path = write(tmp_path, conversation("<image>\nq", "a"), record)
    with pytest.raises(ValueError, match=rf"llava\.json: record 1.*{message}"):
        read_conversations(path, tmp_path)


def test_captions_are_pictures(tmp_path):
    path = write(tmp_path, conversation("Describe it.\n<image>", "a red barn."))
    reading = read_captions(path, tmp_path)
    (picture,) = reading.pictures
    assert (picture.image, picture.kind, picture.caption) == ("coco/a.jpg", "scene", "a red barn.")
    write_pictures(tmp_path / "p.json", reading.pictures)
    assert read_pictures(tmp_path / "p.json") == [picture]


def test_captions_of_several_turns_or_twice_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match="record 0: key 'conversations': expected one question and one caption"
    ):
        read_captions(write(tmp_path, conversation("<image>\nq", "a", "r", "b")), tmp_path)
    twice = [conversation("<image>\nq", "a")] * 2
    with pytest.raises(
        ValueError, match=r"record 1: key 'image': expected every image once, found 'coco/a\.jpg'"
    ):
        read_captions(write(tmp_path, *twice), tmp_path)
