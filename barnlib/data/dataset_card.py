"""A dataset of photographs, read from its own files into the project's records, with a card that says what it is.

In:  a folder with ``dataset.yaml`` (source, licence, and for each split its format and files), the files, the images.
Out: in the same folder ``SPLIT.json`` (items) and ``SPLIT.pictures.json`` (captions), as
     :mod:`barnlib.data.records` reads them, and ``card.json``: source, licence, counts, splits, digests.

Nothing is written before everything has been read, every image decoded, and no image found in two splits.

``python -m barnlib.data.dataset_card FOLDER``
"""

import argparse
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from barnlib.artefacts import digest, file_digest, write_json
from barnlib.command_line import one_sentence
from barnlib.data.foreign import Reading, Record, load
from barnlib.data.gqa_files import read_gqa
from barnlib.data.leakage import image_digests, refuse_shared
from barnlib.data.llava_files import read_captions, read_conversations
from barnlib.data.records import SPLITS, write_items, write_pictures
from barnlib.data.vqa_files import read_vqa
from barnlib.strict import read_yaml

DESCRIPTION, CARD = "dataset.yaml", "card.json"
MADE_BY = "barnlib.data.dataset_card"
KEYS = ("name", "source", "licence", "citation", "numbered_by_split", "splits")
# Format -> the keys of a split that name its files.
FORMATS = {"llava": ("file",), "vqa": ("questions", "annotations"), "gqa": ("file",)}


@dataclass(frozen=True)
class Split:
    """One split: its format, what was read, and the files that it was read from, relative to the folder."""

    format: str
    reading: Reading
    files: tuple[str, ...]

    @property
    def images(self) -> set[str]:
        """The images of its items and pictures."""
        return {item.image for item in self.reading.items} | {
            picture.image for picture in self.reading.pictures
        }


def make_card(folder: Path) -> dict[str, Any]:
    """Read a dataset as its ``dataset.yaml`` says, check it, write its records and its card; returns the card.

    Raises:
        ValueError: a fault in ``dataset.yaml`` or in a record; an image that is missing or cannot be decoded; splits
            that share an image; a split without a question; a file of the dataset that the records would overwrite.
    """
    description = _description(folder / DESCRIPTION)
    numbered = "numbered_by_split" in description.content and description.flag("numbered_by_split")
    splits = _read_splits(description, folder)
    digests = {name: image_digests(folder, split.images) for name, split in splits.items()}
    refuse_shared(digests, numbered_by_split=numbered)
    written = _write_records(folder, splits)
    card = {
        "made_by": MADE_BY,
        "name": description.text("name"),
        "source": description.text("source"),
        "licence": description.text("licence"),
        **({"citation": description.text("citation")} if "citation" in description.content else {}),
        "images_compared_by": ["content"] if numbered else ["content", "name"],
        "splits": {
            name: {
                "format": split.format,
                "images": len(digests[name]),
                "items": len(split.reading.items),
                "captions": len(split.reading.pictures),
                "question_types": dict(Counter(item.question_type for item in split.reading.items)),
                "left_out": split.reading.left_out,
                "read_from": {file: file_digest(folder / file) for file in split.files},
                "records": written[name],
                "images_digest": digest(digests[name]),
            }
            for name, split in splits.items()
        },
    }
    write_json(folder / CARD, card)
    return card


def _description(path: Path) -> Record:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected one that names source, licence and splits")
    record = Record(path, "", read_yaml(path))
    record.only(KEYS)
    for key in ("name", "source", "licence"):
        record.text(key)
    return record


def _read_splits(description: Record, folder: Path) -> dict[str, Split]:
    named = description.record("splits")
    named.only(SPLITS)
    if not named.content:
        raise description.fault("splits", f"one or more of {', '.join(SPLITS)}", named.content)
    return {name: _read_split(named.record(name), folder) for name in named.content}


def _read_split(record: Record, folder: Path) -> Split:
    kind = record.text("format")
    if kind not in FORMATS:
        raise record.fault("format", f"one of {', '.join(FORMATS)}", kind)
    record.only(("format", "images", *FORMATS[kind], "captions", "caption_images"))
    files = tuple(record.path(key, folder) for key in FORMATS[kind])
    reading = _read(kind, [folder / file for file in files], folder, _images(record, "images", folder))
    if not reading.items:
        without = ", ".join(f"{count} left out: {reason}" for reason, count in reading.left_out.items())
        raise record.fault(
            FORMATS[kind][0], f"at least one question on an image ({without or 'it has no record'})", files[0]
        )
    if "captions" in record.content:
        file = record.path("captions", folder)
        captions = read_captions(folder / file, folder, _images(record, "caption_images", folder))
        left_out = Counter(reading.left_out) + Counter(captions.left_out)
        reading = Reading(reading.items, captions.pictures, dict(left_out))
        files = (*files, file)
    return Split(kind, reading, files)


def _images(record: Record, key: str, folder: Path) -> str:
    """The folder inside the dataset's that a file's image names start from."""
    return record.path(key, folder) if key in record.content else ""


def _read(kind: str, files: Sequence[Path], folder: Path, images: str) -> Reading:
    if kind == "vqa":
        questions, annotations = files
        return read_vqa(questions, annotations, folder, images)
    (file,) = files
    return (read_gqa if kind == "gqa" else read_conversations)(file, folder, images)


def _write_records(folder: Path, splits: Mapping[str, Split]) -> dict[str, dict[str, str]]:
    """Write items and pictures of each split over those of an earlier card; returns split -> file -> digest."""
    targets = {
        name: [f"{name}.json", *([f"{name}.pictures.json"] if split.reading.pictures else [])]
        for name, split in splits.items()
    }
    own = _written_before(folder)
    sources = {(folder / file).resolve() for split in splits.values() for file in split.files}
    for target in (*(target for names in targets.values() for target in names), CARD):
        path = folder / target
        foreign = target not in own and (path.exists() or path.is_symlink())
        if foreign or path.resolve() in sources:
            raise ValueError(
                f"{path}: this file is the dataset's own, or was changed after an earlier card was made, and would be "
                f"written over; expected no such file: move it, and name its new place in {DESCRIPTION}"
            )
    for target in own - {CARD}:
        (folder / target).unlink()  # a split or its captions may be gone from the description
    for name, split in splits.items():
        write_items(folder / f"{name}.json", split.reading.items)
        if split.reading.pictures:
            write_pictures(folder / f"{name}.pictures.json", split.reading.pictures)
    return {
        name: {target: file_digest(folder / target) for target in names} for name, names in targets.items()
    }


def _written_before(folder: Path) -> set[str]:
    """The files that an earlier card of this module accounts for by their digests, and the card itself."""
    path = folder / CARD
    card = load(path) if path.is_file() else None
    if not isinstance(card, dict) or card.get("made_by") != MADE_BY:
        return set()
    known = {name: value for split in card["splits"].values() for name, value in split["records"].items()}
    return {CARD} | {
        name
        for name in (f"{split}{ending}" for split in SPLITS for ending in (".json", ".pictures.json"))
        if (folder / name).is_file()
        and not (folder / name).is_symlink()
        and known.get(name) == file_digest(folder / name)
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: prints the card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help=f"the dataset's folder, with its {DESCRIPTION}")
    folder = parser.parse_args(arguments).folder
    with one_sentence():
        logging.info("%s", json.dumps(make_card(folder), indent=1, ensure_ascii=False))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
