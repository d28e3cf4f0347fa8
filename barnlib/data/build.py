"""The study's data: images, LLaVA-format items with facts, and captioned pictures, in four splits.

In:  a :class:`~barnlib.parameters.Study`.
Out: ``runs/STUDY/data`` with ``images/SPLIT/*.png``, ``SPLIT.json`` (items), ``SPLIT.pictures.json`` and
     ``card.json``, which features, training and evaluation read. Every split has its own random stream and shares
     no image with another.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
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
from barnlib.parameters import TASKS_OF_THE_PAPER, Study
from barnlib.tasks.registry import task_named

HELD_OUT_SCENES = 3  # every third test scene shows a (colour, shape) pair that training never showed
VERSION = 1  # of what this module writes; a change makes existing data folders anew


def data_folder(study: Study) -> Path:
    """Where the study's data lie."""
    return study.folder / "data"


def build_data(study: Study) -> Path:
    """Make the study's data, or find them unchanged; returns the folder.

    Raises:
        ValueError: a finished folder was changed afterwards (see :func:`barnlib.artefacts.verify`), or two splits
            share an image, an unknown task, or two that share a type of question or an id.
    """
    inputs: dict[str, Any] = {"version": VERSION, "data": study.data.model_dump()}
    more = [task_named(name).name for name in study.tasks if name not in TASKS_OF_THE_PAPER]
    if more:  # without, the folder is what it was before there could be others
        inputs["tasks"] = more
    return build_once(data_folder(study), inputs, lambda folder: _build(study, folder))


def load_items(study: Study, split: str) -> list[Item]:
    """The items of one split; builds the data where needed. Raises as :func:`~barnlib.data.records.read_items`."""
    return read_items(build_data(study) / f"{split}.json")


def load_pictures(study: Study, split: str) -> list[Picture]:
    """The captioned pictures of one split; builds the data where needed."""
    return read_pictures(build_data(study) / f"{split}.pictures.json")


def picture_counts(study: Study, split: str) -> dict[str, int]:
    """How many pictures of each kind a split holds."""
    scenes_in, cards_in = study.data.scenes, study.data.cards
    return {
        "scene": 0 if split == "heldout" else getattr(scenes_in, split),
        "card": getattr(cards_in, split),
    }


def _build(study: Study, folder: Path) -> None:
    counts: dict[str, dict] = {}
    digests: dict[str, str] = {}
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
            require_own_types(items)
            write_items(folder / f"{split}.json", items)
            write_pictures(folder / f"{split}.pictures.json", pictures)
            require_images(folder, [made.image for made in pictures])
            counts[split] = {
                "pictures": dict(Counter(made.kind for made in pictures)),
                "items": dict(Counter(item.task for item in items)),
                "question_types": dict(Counter(item.question_type for item in items)),
            }
    write_json(
        folder / "card.json",
        {
            "what": "synthetic scenes and synthetic earthquake event cards, made for this study",
            "licence": "CC0 (made by this code)",
            "parameters": study.data.model_dump(),
            "counts": counts,
            "held_out_pairs": sorted(map(list, scenes.HELD_OUT)),
            "held_out_regions": sorted(earthquakes.HELD_OUT_REGIONS),
        },
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
    asked = questions_on(made, rng, study.tasks, study.data.scenes.questions)
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
