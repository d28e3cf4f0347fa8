"""A split of a study's data from records that a reader or a builder wrote: photographs, or recorded earthquakes.

In:  the folder that ``data.scenes.records`` or ``data.cards.records`` of a study names, with the ``card.json`` of
     :mod:`barnlib.data.dataset_card` or :mod:`barnlib.data.recorded_records` and the records that it accounts for.
Out: pictures and items for :mod:`barnlib.data.build`, with their images written into the study's data folder.

A photograph is turned as its camera says, padded to a square with CLIP's mean colour, as LLaVA-1.5 does (Liu et al.
2024, arXiv 2310.03744, ``image_aspect_ratio: pad``), scaled bicubically to the study's size, and written as PNG. An
event card was drawn at its size and is copied byte for byte. An id gets its split and kind in front, so that it is one
of a kind in the study; whatever else a record says stays.
"""

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from barnlib.artefacts import digest, file_digest
from barnlib.data.foreign import Record, leads_inside, load_object
from barnlib.data.leakage import image_digests
from barnlib.data.records import SPLITS, Item, Picture, read_items, read_pictures
from barnlib.study import RecordsParameters, Study
from barnlib.tasks.registry import task_named

CARD = "card.json"
NEEDED = ("train", "validation", "test")
CAPTIONED = ("train", "validation")  # where the projector is aligned, and where its loss is looked at
SHUFFLED = ("test", "heldout")  # asked once more with another picture of the split
PAD = (122, 116, 104)  # CLIP's mean colour, as LLaVA-1.5 rounds it
STATED = ("name", "source", "licence", "citation")


@dataclass(frozen=True)
class Source:
    """Where one kind of picture of a study is taken from: the folder, and what its card says."""

    kind: str
    folder: Path
    card: Record

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it has, in the project's order."""
        return tuple(split for split in SPLITS if split in self.card.record("splits").content)

    def files(self) -> dict[str, str]:
        """Digest of the card and of each file of records, by name: the card accounts for the images."""
        listed = self.card.record("splits")
        names = [name for split in self.splits for name in listed.record(split).record("records").content]
        return {name: file_digest(self._file(name)) for name in (CARD, *names)}

    def origin(self) -> dict[str, Any]:
        """What the study's own card says of it."""
        stated = {key: self.card.text(key) for key in STATED if key in self.card.content}
        return {**stated, "files": self.files(), "splits": self.card.content["splits"]}

    def require_unchanged(self, split: str, images: Iterable[str]) -> None:
        """Refuse records or images that are not those that the card accounts for.

        Raises:
            ValueError: names the file, or the split whose images differ, and says what to do.
        """
        counted = self.card.record("splits").record(split)
        known = counted.record("records")
        for name in known.content:
            if file_digest(self._file(name)) != known.text(name):
                raise ValueError(
                    f"{self.folder / name}: changed after {CARD} was made; make the card anew, so that it accounts "
                    "for it"
                )
        for image in sorted(set(images)):
            if not leads_inside(self.folder, self.folder / image):
                raise ValueError(
                    f"{self.folder / image}: expected an image inside {self.folder}, no link out of it"
                )
        if digest(image_digests(self.folder, images)) != counted.text("images_digest"):
            raise ValueError(
                f"{self.folder}: an image of the split {split} was changed after {CARD} was made, or the card was made "
                "by an earlier version; make the card anew, so that it accounts for every image"
            )

    def records(self, split: str, kind: type[Item] | type[Picture]) -> Path | None:
        """The file of a split's items or captioned pictures; None where the card accounts for none."""
        name = f"{split}.json" if kind is Item else f"{split}.pictures.json"
        known = self.card.record("splits").record(split).record("records").content
        return self._file(name) if name in known else None

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file() or not leads_inside(self.folder, path):
            raise ValueError(f"{path}: expected a file inside {self.folder}, because {CARD} accounts for it")
        return path


def sources(study: Study) -> dict[str, Source]:
    """Kind -> where it is taken from, of those kinds of picture that a study takes from records.

    Raises:
        ValueError: no folder of records where the study names one, or one without a split that a study needs.
    """
    named = {"scene": study.data.scenes, "card": study.data.cards}
    return {
        kind: _source(study, kind, part.folder)
        for kind, part in named.items()
        if isinstance(part, RecordsParameters)
    }


def taken_files(study: Study) -> dict[str, dict[str, str]]:
    """Kind -> file -> digest of what a study takes; {} where all its data are made here. Raises as :func:`sources`."""
    return {kind: source.files() for kind, source in sources(study).items()}


def take_split(
    study: Study, source: Source, split: str, to: Path
) -> tuple[list[Picture], list[Item], dict[str, str]]:
    """Write the images of one split into the study's data folder and name them in its records.

    Args:
        to: the study's data folder, which has ``images/SPLIT``.

    Returns:
        Pictures, one of each image, in the order of the items and then of the captions; items of the study's tasks; and
        for each image in `to` the one that it was taken from.

    Raises:
        ValueError: what :meth:`Source.require_unchanged` refuses; items or pictures of the other kind; a task of the
            study without a question, a split without a caption or with one picture where it needs them; an image that
            cannot be read, or a card of another size.
    """
    if split not in source.splits:
        return [], [], {}
    asked_in, told_in = source.records(split, Item), source.records(split, Picture)
    items = read_items(asked_in) if asked_in else []
    described = read_pictures(told_in) if told_in else []
    images = [*(item.image for item in items), *(picture.image for picture in described)]
    source.require_unchanged(split, images)
    asked = _asked(study, source, split, items)
    pictures = _pictures(source, split, asked, described)
    new = {picture.image: f"images/{split}/{source.kind}-{n:06d}.png" for n, picture in enumerate(pictures)}
    for image, path in new.items():
        _write_image(source, image, to / path, study.data.image_size)
    start = f"{split}-{source.kind}-"
    return (
        [replace(picture, image=new[picture.image]) for picture in pictures],
        [replace(item, id=start + item.id.removeprefix(start), image=new[item.image]) for item in asked],
        {path: image for image, path in new.items()},
    )


def square(image: Image.Image, size: int) -> Image.Image:
    """A photograph on a square of `size` pixels, whole: turned upright, padded, then scaled."""
    upright = ImageOps.exif_transpose(image).convert("RGB")
    side = max(upright.size)
    padded = Image.new("RGB", (side, side), PAD)
    padded.paste(upright, ((side - upright.width) // 2, (side - upright.height) // 2))
    return padded.resize((size, size), Image.Resampling.BICUBIC)


def _source(study: Study, kind: str, folder: Path) -> Source:
    path = folder / CARD
    if not path.is_file():
        raise ValueError(
            f"params/studies/{study.name}.yaml: key 'data.{kind}s.records': no {CARD} in {folder}; expected a folder "
            "that barnlib.data.dataset_card, barnlib.data.fdsn or barnlib.data.multiseismo wrote"
        )
    source = Source(kind, folder, load_object(path))
    for key in STATED[:3]:
        source.card.text(key)
    missing = [split for split in NEEDED if split not in source.splits]
    if missing:
        raise ValueError(
            f"{path}: no split {', '.join(missing)}; a study needs {', '.join(NEEDED)}, and may have heldout"
        )
    return source


def _asked(study: Study, source: Source, split: str, items: Sequence[Item]) -> list[Item]:
    """The items of those tasks that the study asks."""
    path = source.folder / f"{split}.json"
    for item in items:
        kind = task_named(item.task).kind
        if kind != source.kind:
            raise ValueError(
                f"{path}: item '{item.id}' is of the task {item.task}, which is about a {kind}; expected questions "
                f"about a {source.kind}: name this folder as 'data.{kind}s.records' of the study"
            )
    tasks = [task for task in study.tasks if task_named(task).kind == source.kind]
    silent = [task for task in tasks if all(item.task != task for item in items)]
    if silent:
        raise ValueError(
            f"{path}: no question of the task {silent[0]}, which study '{study.name}' asks; expected at least one in "
            "each split that there is"
        )
    return [item for item in items if item.task in tasks]


def _pictures(
    source: Source, split: str, items: Sequence[Item], described: Sequence[Picture]
) -> list[Picture]:
    """A picture of each image that is asked about, and of each that is described where captions are read."""
    by_image = {picture.image: picture for picture in described}
    other = next((picture for picture in described if picture.kind != source.kind), None)
    if other:
        raise ValueError(
            f"{source.folder / split}.pictures.json: '{other.image}' is a {other.kind}; expected a {source.kind}"
        )
    if split in CAPTIONED and not by_image:
        raise ValueError(
            f"{source.folder}: the split {split} has no captions; the projector is aligned on captions, as in LLaVA: "
            "give the splits train and validation 'captions' in the folder's description"
        )
    asked_about = list(dict.fromkeys(item.image for item in items))
    if split in SHUFFLED and len(asked_about) < 2:
        raise ValueError(
            f"{source.folder}: the split {split} asks about one picture alone; expected two or more, because every "
            "question is asked once more with another's picture"
        )
    only_described = (
        [image for image in by_image if image not in set(asked_about)] if split in CAPTIONED else []
    )
    bare = Picture(image="", kind=source.kind, caption="", phrases=(), facts={})
    return [by_image.get(image, replace(bare, image=image)) for image in (*asked_about, *only_described)]


def _write_image(source: Source, image: str, path: Path, size: int) -> None:
    with Image.open(source.folder / image) as opened:
        if source.kind == "scene":
            square(opened, size).save(path)
            return
        if opened.size != (size, size) or opened.format != "PNG":
            raise ValueError(
                f"{source.folder / image}: expected a PNG of {size} x {size} pixels, 'data.image_size' of the study, "
                f"found {opened.format} of {opened.width} x {opened.height}; draw the cards anew with 'image_size: "
                f"{size}'"
            )
    shutil.copyfile(source.folder / image, path)
