"""The study's data: images, LLaVA-format items with facts, and captioned pictures, in four splits.

In:  a :class:`~barnlib.study.Study`; records, where it takes a kind of picture from records.
Out: ``runs/STUDY/data`` with ``images/SPLIT/*.png``, ``SPLIT.json`` (items), ``SPLIT.pictures.json`` and
     ``card.json``, which features, training and evaluation read; with pictures that were taken also ``taken.json``,
     which image each of them was. Every split has its own random stream and shares no image with another.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from tqdm import tqdm

from barnlib.artefacts import build_once, file_digest, write_json
from barnlib.data import earthquakes, scenes
from barnlib.data.pictures import generator, picture
from barnlib.data.questions import Question
from barnlib.data.records import (
    KINDS,
    SPLITS,
    Item,
    Picture,
    read_items,
    read_pictures,
    require_images,
    write_items,
    write_pictures,
)
from barnlib.data.taken_records import Source, sources, take_split, taken_files
from barnlib.study import TASKS_OF_THE_PAPER, RecordsParameters, Study
from barnlib.tasks.registry import task_named

HELD_OUT_SCENES = 3  # every third test scene shows a (colour, shape) pair that training never showed
TAKEN_IMAGES = "taken.json"
VERSION = 1  # of what this module writes; a change makes existing data folders anew


def data_folder(study: Study) -> Path:
    """Where the study's data lie."""
    return study.folder / "data"


def build_data(study: Study) -> Path:
    """Make the study's data, or find them unchanged; returns the folder.

    Raises:
        ValueError: a finished folder was changed afterwards (see :func:`barnlib.artefacts.verify`), or two splits
            share an image, an unknown task, two that share a type of question or an id, or records that cannot be
            taken (see :func:`barnlib.data.taken_records.take_split`).
    """
    inputs: dict[str, Any] = {"version": VERSION, "data": study.data.model_dump()}
    more = [task_named(name).name for name in study.tasks if name not in TASKS_OF_THE_PAPER]
    if more:  # without, the folder is what it was before there could be others
        inputs["tasks"] = more
    taken = taken_files(study)
    if taken:
        inputs["taken"] = taken
    return build_once(data_folder(study), inputs, lambda folder: _build(study, folder))


def load_items(study: Study, split: str) -> list[Item]:
    """The items of one split; builds the data where needed. Raises as :func:`~barnlib.data.records.read_items`."""
    return read_items(build_data(study) / f"{split}.json")


def load_pictures(study: Study, split: str) -> list[Picture]:
    """The captioned pictures of one split; builds the data where needed."""
    return read_pictures(build_data(study) / f"{split}.pictures.json")


def picture_counts(study: Study, split: str) -> dict[str, int]:
    """How many pictures of each kind are made for a split; 0 of a kind that is taken from records."""
    scenes_in, cards_in = study.data.scenes, study.data.cards
    return {"scene": getattr(scenes_in, split, 0), "card": getattr(cards_in, split, 0)}


def _build(study: Study, folder: Path) -> None:
    counts: dict[str, dict] = {}
    digests: dict[str, str] = {}
    taken_from = sources(study)
    taken: dict[str, str] = {}
    total = sum(sum(picture_counts(study, split).values()) for split in SPLITS)
    with tqdm(total=total, desc="data", mininterval=5) as progress:
        for split in SPLITS:
            (folder / "images" / split).mkdir(parents=True)
            items: list[Item] = []
            pictures: list[Picture] = []
            for kind, count in picture_counts(study, split).items():
                for number in range(count):
                    made, asked = _one(study, folder, split, kind, number)
                    other = digests.setdefault(file_digest(folder / made.image), made.image)
                    if other != made.image:
                        raise ValueError(
                            f"{made.image} and {other} are the same image; choose another data seed"
                        )
                    pictures.append(made)
                    items += asked
                    progress.update()
                if kind in taken_from:
                    theirs, asked, origins = take_split(study, taken_from[kind], split, folder)
                    require_own_images(folder, split, origins, digests, taken)
                    taken |= origins
                    pictures += theirs
                    items += asked
            require_own_types(items)
            write_items(folder / f"{split}.json", items)
            write_pictures(folder / f"{split}.pictures.json", pictures)
            require_images(folder, [made.image for made in pictures])
            counts[split] = {
                "pictures": dict(Counter(made.kind for made in pictures)),
                "items": dict(Counter(item.task for item in items)),
                "question_types": dict(Counter(item.question_type for item in items)),
            }
    if taken:
        write_json(folder / TAKEN_IMAGES, taken)
    write_json(folder / "card.json", _card(study, counts, taken_from))


def _card(study: Study, counts: dict[str, dict], taken_from: Mapping[str, Source]) -> dict[str, Any]:
    kinds = {
        "scene": ("synthetic scenes", "held_out_pairs", sorted(map(list, scenes.HELD_OUT))),
        "card": (
            "synthetic earthquake event cards",
            "held_out_regions",
            sorted(earthquakes.HELD_OUT_REGIONS),
        ),
    }
    made = {kind: said for kind, said in kinds.items() if kind not in taken_from}
    card: dict[str, Any] = {}
    if made:
        card["what"] = f"{' and '.join(what for what, _, _ in made.values())}, made for this study"
        card["licence"] = "CC0 (made by this code)"
    card |= {"parameters": study.data.model_dump(), "counts": counts}
    card |= {key: held_out for _, key, held_out in made.values()}
    if taken_from:
        card["taken"] = {kind: source.origin() for kind, source in taken_from.items()}
    return card


def require_own_images(
    folder: Path, split: str, new: Mapping[str, str], digests: dict[str, str], taken: Mapping[str, str]
) -> None:
    """Refuse taken images that another split of the study has too, as they lie in its folder.

    Args:
        new: image -> the one that it was taken from, of this split.
        digests: content -> image of the splits before; the new ones are added.
        taken: as `new`, of the splits before.

    Raises:
        ValueError: names both images and where they come from.
    """
    for image, origin in new.items():
        other = digests.setdefault(file_digest(folder / image), image)
        if PurePosixPath(other).parent.name != split:
            theirs = f"taken from {taken[other]}" if other in taken else "made here"
            raise ValueError(
                f"{image} (taken from {origin}) and {other} ({theirs}) are the same image at the study's size; take "
                "it out of all splits but one and make the card anew"
            )


def require_own_types(items: Sequence[Item]) -> None:
    """Refuse a type of question that two tasks share: tables by type know no task, and would put the two together.

    Raises:
        ValueError: names the type and both tasks.
    """
    owners: dict[str, str] = {}
    for item in items:
        owner = owners.setdefault(item.question_type, item.task)
        if owner != item.task:
            raise ValueError(
                f"{owner} and {item.task} both ask questions of the type '{item.question_type}'; expected types of its "
                "own for each"
            )


def _one(study: Study, folder: Path, split: str, kind: str, number: int) -> tuple[Picture, list[Item]]:
    name = f"{kind}-{number:06d}"
    held_out = split == "heldout" or (split == "test" and kind == "scene" and number % HELD_OUT_SCENES == 0)
    rng = generator("data", study.data.seed, SPLITS.index(split), KINDS.index(kind), number)
    image, made = picture(kind, rng, study.data.image_size, f"images/{split}/{name}.png", held_out=held_out)
    image.save(folder / made.image)
    scenes_in = study.data.scenes
    count = 0 if isinstance(scenes_in, RecordsParameters) else scenes_in.questions
    asked = questions_on(made, rng, study.tasks, count)
    items = [
        Item(id=f"{split}-{name}-{end}", image=made.image, task=task, **vars(question))
        for task, end, question in asked
    ]
    return made, items


def questions_on(
    made: Picture, rng: np.random.Generator, tasks: Sequence[str], count: int
) -> list[tuple[str, str, Question]]:
    """What the tasks ask about a picture of their kind: task, what ends the item's id, question.

    Args:
        rng: the tasks draw from it in turn, so that a task that comes last changes nothing of the others' items.
        count: `data.scenes.questions` of the study.

    Raises:
        ValueError: an unknown task, or two tasks that give two items of a picture one id.
    """
    found: list[tuple[str, str, Question]] = []
    for task in (known for known in map(task_named, tasks) if known.kind == made.kind):
        for end, question in task.ask(made.facts, rng, count).items():
            other = next((name for name, taken, _ in found if taken == end), None)
            if other:
                raise ValueError(
                    f"{task.name} and {other} both end the id of an item on {made.image} with '{end}'; expected an "
                    "end of its own for each"
                )
            found.append((task.name, end, question))
    return found
