"""The records on disk: LLaVA-format items with facts, and pictures with captions and phrases.

In:  what :mod:`barnlib.data.build` made, or a file that somebody else wrote.
Out: :class:`Item` and :class:`Picture`, validated on reading, which training, evaluation and analyses use.

An item is one question on one image. On disk it is a LLaVA record (Liu et al. 2023, arXiv 2304.08485): ``id``,
``image`` and ``conversations``, the first turn of which starts with ``<image>``; beside them stand the machine-readable
keys. The last question and answer of the conversation are the item's; what stands before them is its history.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from barnlib.data.phrases import Phrase
from barnlib.data.turns import History, Turn
from barnlib.tasks import registry

TASKS = tuple(task.name for task in registry.ALL)
SPLITS = ("train", "validation", "test", "heldout")
DIFFICULTIES = ("easy", "medium", "hard")
KINDS = ("scene", "card")
IMAGE_MARK = "<image>\n"
SPEAKERS = ("human", "gpt")


@dataclass(frozen=True)
class Item:
    """One question on one image, its answer, and the facts that score another answer."""

    id: str
    image: str  # path relative to the data folder
    task: str
    question_type: str
    difficulty: str
    question: str
    answer: str
    choices: tuple[str, ...]  # the closed answer list, () where the answer is open
    facts: dict[str, Any]
    history: History = ()  # questions and answers before this one in its conversation

    @property
    def turn(self) -> Turn:
        """The question with its answer and what came before it."""
        return Turn(self.question, self.answer, self.history)


@dataclass(frozen=True)
class Picture:
    """One image with its dense caption ("" where it has none), the phrases of its parts, and its facts."""

    image: str
    kind: str
    caption: str
    phrases: tuple[Phrase, ...]
    facts: dict[str, Any]


Record = TypeVar("Record")


def write_items(path: Path, items: Iterable[Item]) -> None:
    """Write items as LLaVA JSON with the machine-readable keys beside the conversation."""
    _write(path, [_item_to_record(item) for item in items])


def read_items(path: Path) -> list[Item]:
    """Read and validate LLaVA JSON written by :func:`write_items`.

    Raises:
        ValueError: not JSON, or a record that fails validation; names the file, the record, the key, what was
            expected and what was found.
    """
    return _read(path, _item_from_record)


def write_pictures(path: Path, pictures: Iterable[Picture]) -> None:
    """Write pictures as JSON."""
    _write(path, [asdict(picture) for picture in pictures])


def read_pictures(path: Path) -> list[Picture]:
    """Read and validate pictures written by :func:`write_pictures`. Raises as :func:`read_items`."""
    return _read(path, _picture_from_record)


def first_of_each_kind(pictures: Sequence[Picture], count: int) -> list[Picture]:
    """The first ``count`` pictures of each kind, kinds in order of appearance."""
    kinds = dict.fromkeys(picture.kind for picture in pictures)
    return [one for kind in kinds for one in [one for one in pictures if one.kind == kind][:count]]


def require_images(folder: Path, images: Iterable[str]) -> None:
    """Refuse images that are missing or that Pillow cannot decode.

    Raises:
        ValueError: names the file and what is wrong with it.
    """
    from PIL import Image

    for image in sorted(set(images)):
        path = folder / image
        if not path.is_file():
            raise ValueError(
                f"{path}: the image does not exist; expected a PNG file named by the record's 'image'"
            )
        try:
            with Image.open(path) as picture:
                picture.load()
        except OSError as error:
            raise ValueError(
                f"{path}: the image cannot be read ({error}); delete the data folder to make it anew"
            ) from error


def _write(path: Path, records: Sequence[dict]) -> None:
    lines = ",\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _read(path: Path, convert: Callable[[dict], Record]) -> list[Record]:
    try:
        records = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(records, list):
        raise ValueError(f"{path}: expected a list of records, found {type(records).__name__}")
    result, seen = [], set()
    for number, record in enumerate(records):
        try:
            result.append(convert(record))
        except (ValueError, KeyError, TypeError) as error:
            name = record.get("id", record.get("image", "")) if isinstance(record, dict) else ""
            reason = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
            raise ValueError(f"{path}: record {number} ('{name}'): {reason}") from error
        key = getattr(result[-1], "id", None) or result[-1].image  # type: ignore[attr-defined]
        if key in seen:
            raise ValueError(f"{path}: record {number}: '{key}' occurs twice; expected every record once")
        seen.add(key)
    return result


def _item_to_record(item: Item) -> dict:
    texts = [text for pair in (*item.history, (item.question, item.answer)) for text in pair]
    texts[0] = IMAGE_MARK + texts[0]
    return {
        "id": item.id,
        "image": item.image,
        "conversations": [
            {"from": speaker, "value": text} for speaker, text in zip(cycle(SPEAKERS), texts, strict=False)
        ],
        "task": item.task,
        "question_type": item.question_type,
        "difficulty": item.difficulty,
        "choices": list(item.choices),
        "facts": item.facts,
    }


def _item_from_record(record: dict) -> Item:
    *history, (question, answer) = _pairs(record["conversations"])
    choices = tuple(record["choices"])
    if choices and answer not in choices:
        raise ValueError(f"key 'choices': the answer {answer!r} is not among {choices}")
    return Item(
        id=_text(record, "id"),
        image=_image(record),
        task=_one_of(record, "task", TASKS),
        question_type=_text(record, "question_type"),
        difficulty=_one_of(record, "difficulty", DIFFICULTIES),
        question=question,
        answer=answer,
        choices=choices,
        facts=_mapping(record, "facts"),
        history=tuple(history),
    )


def _pairs(turns: Any) -> list[tuple[str, str]]:
    """Question and answer of each pair of turns, the image's mark taken off the first."""
    objects = isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns)
    speakers = [turn.get("from") for turn in turns] if objects else []
    if not speakers or speakers != list(SPEAKERS) * (len(speakers) // 2):
        raise ValueError(
            f"key 'conversations': expected human and gpt in turns, one answer to each question, found {turns!r}"
        )
    first, *others = (_text(turn, "value") for turn in turns)
    if not first.startswith(IMAGE_MARK) or sum(text.count("<image>") for text in (first, *others)) != 1:
        raise ValueError(
            "key 'conversations': the first turn must start with the only '<image>' of the conversation, found "
            f"{[first, *others]!r}"
        )
    texts = [first.removeprefix(IMAGE_MARK), *others]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _picture_from_record(record: dict) -> Picture:
    phrases = []
    for phrase in record["phrases"]:
        box = tuple(float(edge) for edge in phrase["box"])
        if len(box) != 4 or not (0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
            raise ValueError(
                f"key 'phrases': expected 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, found box {box}"
            )
        phrases.append(Phrase(_text(phrase, "text"), (box[0], box[1], box[2], box[3])))
    return Picture(
        image=_image(record),
        kind=_one_of(record, "kind", KINDS),
        caption=_text(record, "caption") if record["caption"] != "" else "",
        phrases=tuple(phrases),
        facts=_mapping(record, "facts"),
    )


def _text(record: dict, key: str) -> str:
    value = record[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"key '{key}': expected text that is not empty, found {value!r}")
    return value


def _one_of(record: dict, key: str, allowed: Sequence[str]) -> str:
    value = record[key]
    if value not in allowed:
        raise ValueError(f"key '{key}': expected one of {', '.join(allowed)}, found {value!r}")
    return str(value)


def _mapping(record: dict, key: str) -> dict:
    value = record[key]
    if not isinstance(value, dict):
        raise ValueError(f"key '{key}': expected an object, found {value!r}")
    return value


def _image(record: dict) -> str:
    image = _text(record, "image")
    path = PurePosixPath(image)
    # A data file may come from anybody: it must not lead out of its own folder.
    if path.is_absolute() or ".." in path.parts or "\\" in image:
        raise ValueError(f"key 'image': expected a path inside the data folder, found {image!r}")
    return image
