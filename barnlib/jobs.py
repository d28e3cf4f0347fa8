"""What a run is asked, in parts that are each computed and written at once.

In:  the pictures and items of the validation, test and held-out splits.
Out: :func:`jobs`, whose order is that of the predictions table; predict.py answers them one by one.

Three conditions: the item's own image; a blank one; and, shuffled, another image of the same kind and split, the same
one for every run. A fourth, constrained, is the own image with the answer forced into the form that was asked for, for
the tasks that ask for one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from barnlib.data.build import data_folder
from barnlib.data.pictures import generator
from barnlib.data.records import KINDS, Item, Picture, read_items, read_pictures
from barnlib.study import Study
from barnlib.tasks.registry import task_named

PASSES = (
    ("validation", "image"),
    ("test", "image"),
    ("test", "blank"),
    ("test", "shuffled"),
    ("test", "constrained"),
    ("heldout", "image"),
    ("heldout", "blank"),
    ("heldout", "shuffled"),
)
LISTED = (("validation", "image"), ("test", "image"))
"""Passes in which every candidate of a closed answer list is scored too."""


@dataclass(frozen=True)
class Job:
    """A part of the table that is computed and written at once: items of one task, split and condition.

    Attributes:
        name: of the part's file.
        shown: the image that each item's model sees, by the item's own image; "" for the blank one.
        form: regular expression that every answer is forced into; None where a model may write what it will.
    """

    name: str
    split: str
    condition: str
    task: str
    items: list[Item]
    shown: dict[str, str]
    form: str | None = None


def jobs(study: Study) -> Iterator[Job]:
    """All parts of the table in order; a part holds the items of `evaluation.batch_images` images.

    Where the image is blank, a part is a whole split: a question that is asked of many items is answered once.
    """
    data = data_folder(study)
    for split, condition in PASSES:
        pictures = read_pictures(data / f"{split}.pictures.json")
        shown = _shown(study, split, condition, pictures)
        items = read_items(data / f"{split}.json")
        for task in study.tasks:
            form = task_named(task).form if condition == "constrained" else None
            if condition == "constrained" and form is None:
                continue
            of_task = [item for item in items if item.task == task]
            images = list(dict.fromkeys(item.image for item in of_task))
            size = max(1, len(images)) if condition == "blank" else study.evaluation.batch_images
            for number, start in enumerate(range(0, len(images), size)):
                chosen = set(images[start : start + size])
                yield Job(
                    name=f"{split}-{condition}-{task}-{number:04d}",
                    split=split,
                    condition=condition,
                    task=task,
                    items=[item for item in of_task if item.image in chosen],
                    shown={image: shown[image] for image in chosen},
                    form=form,
                )


def shuffled_images(images: Sequence[str], rng: np.random.Generator) -> dict[str, str]:
    """For each image another one, each shown once: a random cycle through all of them (Sattolo 1986).

    Args:
        images: two or more, of one kind.
        rng: decides the cycle.

    Raises:
        ValueError: fewer than two images.
    """
    if len(images) < 2:
        raise ValueError(
            f"{len(images)} image(s) to shuffle ({', '.join(images)}); another one needs at least two"
        )
    order = list(range(len(images)))
    for last in range(len(images) - 1, 0, -1):
        other = int(rng.integers(last))
        order[last], order[other] = order[other], order[last]
    return {image: images[place] for image, place in zip(images, order, strict=True)}


def _shown(study: Study, split: str, condition: str, pictures: Sequence[Picture]) -> dict[str, str]:
    if condition in ("image", "constrained"):
        return {picture.image: picture.image for picture in pictures}
    if condition == "blank":
        return {picture.image: "" for picture in pictures}
    found: dict[str, str] = {}
    for kind in KINDS:
        images = [picture.image for picture in pictures if picture.kind == kind]
        if images:
            found |= shuffled_images(images, generator("shuffled", study.data.seed, split, kind))
    return found
