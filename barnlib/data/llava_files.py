"""Conversations and captions in LLaVA's JSON: a list of records with ``id``, ``image`` and ``conversations``.

In:  a file as those of LLaVA-1.5 (Liu et al. 2023, arXiv 2304.08485; 2024, arXiv 2310.03744): turns of ``human`` and
     ``gpt``, the first of which holds ``<image>`` before or after its text.
Out: one :class:`~barnlib.data.records.Item` for each question, or one :class:`~barnlib.data.records.Picture` for each
     caption.

Each question of a conversation becomes an item of its own, with the turns before it as its history: as in LLaVA, each
answer is trained on once, and a question may lean on what was said before ("and the other one?").
"""

from collections import Counter
from pathlib import Path

from barnlib.data.foreign import IMAGE_TOKEN, Reading, Record, load_list
from barnlib.data.records import Item, Picture

# The words with which LLaVA-1.5 asks for a form of answer (arXiv 2310.03744, section 3.2).
FORMS = {
    "Answer the question using a single word or phrase.": "short answer",
    "Answer with the option's letter from the given choices directly.": "choice",
}
WITHOUT_IMAGE = "no image"


def read_conversations(path: Path, folder: Path, images: str = "") -> Reading:
    """Read questions and answers.

    Args:
        path: the JSON file.
        folder: the dataset's folder; items name their image relative to it.
        images: the folder inside it that the file's image names start from.

    Returns:
        An item for each pair of turns, in the file's order. Its id is made of the record's id, number and turn,
        because LLaVA's files use an id more than once. Its question type is the form of answer that it asks for.
        Records of text alone are counted as left out.

    Raises:
        ValueError: a malformed record; names the file, the record, the key, what was expected and what was found.
    """
    items: list[Item] = []
    left_out: Counter[str] = Counter()
    for number, record in enumerate(load_list(path)):
        if "image" not in record.content:
            left_out[WITHOUT_IMAGE] += 1
            continue
        image, name, pairs = record.path("image", folder, images), _name(record), _pairs(record)
        for turn, (question, answer) in enumerate(pairs):
            items.append(
                Item(
                    id="-".join(part for part in (name, str(number), str(turn)) if part),
                    image=image,
                    task="vqa_scene",
                    question_type=_form(question),
                    difficulty="medium",  # the format has none
                    question=question,
                    answer=answer,
                    choices=(),
                    facts={"source_id": name, "turn": turn, "turns": len(pairs)},
                    history=tuple(pairs[:turn]),
                )
            )
    return Reading(items=tuple(items), left_out=dict(left_out))


def read_captions(path: Path, folder: Path, images: str = "") -> Reading:
    """Read captions, as LLaVA's alignment file has them: one turn that asks for a description, one that gives it.

    Arguments and errors as :func:`read_conversations`; a longer conversation, or a second caption of an image, is
    refused. The pictures have no
    phrases: nothing in the format says where a thing is.
    """
    pictures: dict[str, Picture] = {}
    left_out: Counter[str] = Counter()
    for record in load_list(path):
        if "image" not in record.content:
            left_out[WITHOUT_IMAGE] += 1
            continue
        pairs = _pairs(record)
        if len(pairs) != 1:
            raise record.fault("conversations", "one question and one caption", f"{len(pairs)} of each")
        image = record.path("image", folder, images)
        if image in pictures:
            raise record.fault("image", "every image once", image)
        pictures[image] = Picture(image, "scene", pairs[0][1], (), {"source_id": _name(record)})
    return Reading(pictures=tuple(pictures.values()), left_out=dict(left_out))


def _name(record: Record) -> str:
    """The record's id as text; LLaVA's files have text, numbers, and records without one."""
    value = record.content.get("id", "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise record.fault("id", "text or a whole number", value)
    return str(value)


def _pairs(record: Record) -> list[tuple[str, str]]:
    """Question and answer of each pair of turns, the image's mark taken off."""
    turns = record.records("conversations")
    speakers = [turn.string("from") for turn in turns]
    if not turns or speakers != ["human", "gpt"] * (len(turns) // 2):
        raise record.fault("conversations", "human and gpt in turns, human first", speakers)
    texts = [turn.text("value") for turn in turns]
    first = texts[0].strip()
    if sum(text.count(IMAGE_TOKEN) for text in texts) != 1 or not (
        first.startswith(IMAGE_TOKEN) or first.endswith(IMAGE_TOKEN)
    ):
        marks = [text.count(IMAGE_TOKEN) for text in texts]
        raise record.fault(
            "conversations", f"one '{IMAGE_TOKEN}', at the start or end of the first turn", marks
        )
    texts[0] = first.removeprefix(IMAGE_TOKEN).removesuffix(IMAGE_TOKEN).strip()
    if not texts[0]:
        raise turns[0].fault("value", f"a question beside '{IMAGE_TOKEN}'", first)
    return [(texts[turn].strip(), texts[turn + 1].strip()) for turn in range(0, len(texts), 2)]


def _form(question: str) -> str:
    return next((form for words, form in FORMS.items() if question.endswith(words)), "conversation")
