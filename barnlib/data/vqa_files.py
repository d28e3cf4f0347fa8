"""VQA v2 in its official files: questions, annotations, and results.

In:  ``v2_OpenEnded_mscoco_SUBTYPE_questions.json`` and ``v2_mscoco_SUBTYPE_annotations.json`` (Goyal et al. 2017,
     arXiv 1612.00837), with the images of MS COCO named ``COCO_SUBTYPE_000000000009.jpg``.
Out: one :class:`~barnlib.data.records.Item` for each question, its ten answers among the facts, for which
     :mod:`barnlib.vqa_accuracy` computes the official accuracy.
"""

from pathlib import Path

from barnlib.data.foreign import Reading, Record, load_list, load_object
from barnlib.data.records import Item

ANNOTATORS = 10
YES_NO = ("yes", "no")


def read_vqa(questions: Path, annotations: Path, folder: Path, images: str = "") -> Reading:
    """Read one split.

    Args:
        questions, annotations: the two JSON files. The official test splits have no annotations and cannot be read.
        folder: the dataset's folder; items name their image relative to it.
        images: the folder inside it that holds the images.

    Returns:
        An item for each question, in the file's order. Its id is the question's; its answer is the most common one
        of the ten (``multiple_choice_answer``); its type is the question's first words, as the dataset gives them.

    Raises:
        ValueError: a malformed record; a question without annotation or the other way round; two files of different
            images; other than ten answers. Names the file, the record, the key, what was expected and what was
            found.
    """
    asked, answered = load_object(questions), load_object(annotations)
    subtype = asked.text("data_subtype")
    for file in (asked, answered):
        if file.text("data_type") != "mscoco":
            raise file.fault("data_type", "'mscoco' (abstract scenes are not read)", file.text("data_type"))
        if file.text("data_subtype") != subtype:
            raise file.fault("data_subtype", f"'{subtype}' as in {questions.name}", file.text("data_subtype"))
    by_question = _by_question(answered.records("annotations"))
    items = []
    for record in _by_question(asked.records("questions")).values():
        number = record.natural("question_id")
        if number not in by_question:
            raise record.fault("question_id", f"a question that {annotations.name} annotates", number)
        items.append(_item(record, by_question.pop(number), folder, images, subtype))
    for number, record in by_question.items():
        raise record.fault("question_id", f"a question of {questions.name}", number)
    return Reading(items=tuple(items))


def read_results(path: Path) -> dict[str, str]:
    """Answers in the official format, a list of ``question_id`` and ``answer``, by the item's id.

    Raises:
        ValueError: as :func:`read_vqa`; a question answered twice.
    """
    return {str(number): record.string("answer") for number, record in _by_question(load_list(path)).items()}


def _by_question(records: list[Record]) -> dict[int, Record]:
    found: dict[int, Record] = {}
    for record in records:
        number = record.natural("question_id")
        if number in found:
            raise record.fault("question_id", f"every question once ({found[number].where} has it)", number)
        found[number] = record
    return found


def _item(question: Record, annotation: Record, folder: Path, images: str, subtype: str) -> Item:
    image_id = question.natural("image_id")
    if annotation.natural("image_id") != image_id:
        raise annotation.fault(
            "image_id", f"{image_id} as the question has it", annotation.natural("image_id")
        )
    # test-dev2015 asks about a part of the images of test2015
    name = f"COCO_{subtype.replace('-dev', '')}_{image_id:012d}.jpg"
    answer, kind = annotation.unmarked("multiple_choice_answer"), annotation.text("answer_type")
    return Item(
        id=str(question.natural("question_id")),
        image=question.confined("image_id", name, folder, images),
        task="vqa_scene",
        question_type=annotation.text("question_type"),
        difficulty="medium",  # the dataset has none
        question=question.unmarked("question"),
        answer=answer,
        choices=YES_NO if kind == "yes/no" and answer in YES_NO else (),
        facts={"answers": _answers(annotation), "answer_type": kind, "image_id": image_id},
    )


def _answers(annotation: Record) -> list[str]:
    answers = annotation.records("answers")
    # Two answers under one id would be one person for the official evaluation, which leaves out a person at a time.
    if len(answers) != ANNOTATORS or len({answer.natural("answer_id") for answer in answers}) != ANNOTATORS:
        raise annotation.fault(
            "answers", f"{ANNOTATORS} with different answer_id", [answer.content for answer in answers]
        )
    return [answer.string("answer") for answer in answers]
