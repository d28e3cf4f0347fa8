"""GQA in its official question files.

In:  ``SPLIT_balanced_questions.json`` or a part of ``SPLIT_all_questions`` (Hudson and Manning 2019, arXiv
     1902.09506): one object, question id -> question; images named ``IMAGEID.jpg``.
Out: one :class:`~barnlib.data.records.Item` for each balanced question. The official accuracy is the share of answers
     that equal the reference; consistency, validity and plausibility need GQA's own files and are not computed.
"""

from collections import Counter
from pathlib import Path

from barnlib.data.foreign import Reading, Record, load_object
from barnlib.data.records import Item

STRUCTURES = ("verify", "query", "choose", "logical", "compare")
YES_NO = ("yes", "no")
YES_NO_STRUCTURES = ("verify", "logical")
UNBALANCED = "not balanced"


def read_gqa(path: Path, folder: Path, images: str = "") -> Reading:
    """Read the balanced questions of one file.

    Args:
        path: the JSON file. GQA's test and challenge files have no answers and cannot be read.
        folder: the dataset's folder; items name their image relative to it.
        images: the folder inside it that holds the images.

    Returns:
        An item for each balanced question, in the file's order; the others are counted as left out. Its type is the
        structural type. Its difficulty is by the steps of its program, as GQA's paper measures it: easy up to two,
        medium three, hard above; the cuts are ours.

    Raises:
        ValueError: a malformed record; names the file, the question, the key, what was expected and what was found.
    """
    items: list[Item] = []
    left_out: Counter[str] = Counter()
    file = load_object(path)
    for name in file.content:
        record = file.record(name)
        if record.flag("isBalanced"):
            items.append(_item(name, record, folder, images))
        else:
            left_out[UNBALANCED] += 1
    return Reading(items=tuple(items), left_out=dict(left_out))


def _item(name: str, record: Record, folder: Path, images: str) -> Item:
    types = record.record("types")
    structure = types.text("structural")
    if structure not in STRUCTURES:
        raise types.fault("structural", f"one of {', '.join(STRUCTURES)}", structure)
    answer, steps = record.unmarked("answer"), len(record.listing("semantic"))
    image_id = record.text("imageId")
    return Item(
        id=name,
        image=record.confined("imageId", f"{image_id}.jpg", folder, images),
        task="vqa_scene",
        question_type=structure,
        difficulty="easy" if steps <= 2 else "medium" if steps == 3 else "hard",
        question=record.unmarked("question"),
        answer=answer,
        choices=YES_NO if structure in YES_NO_STRUCTURES and answer in YES_NO else (),
        facts={"image_id": image_id, "semantic_type": types.text("semantic"), "steps": steps},
    )
