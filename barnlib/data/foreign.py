"""Data files that others wrote: every fault named, and no path followed outside the dataset's folder.

In:  JSON files of a dataset that somebody else made.
Out: :class:`Record`, which checks each key as it is read, for the readers of one format each
     (:mod:`~barnlib.data.llava_files`, :mod:`~barnlib.data.vqa_files`, :mod:`~barnlib.data.gqa_files`), and the
     :class:`Reading` that they return.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from barnlib.data.records import Item, Picture

IMAGE_TOKEN = "<image>"
SHOWN = 80  # characters of a wrong value in a message; a value can be a list of half a million records


@dataclass(frozen=True)
class Reading:
    """What a reader took from a file, and how many records it left out for which reason."""

    items: tuple[Item, ...] = ()
    pictures: tuple[Picture, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Record:
    """One object of a data file, and where it stands there.

    Each method reads one key. Raises ValueError where it is missing or holds something else: the message names the
    file, the place, the key, what was expected and what was found.
    """

    file: Path
    where: str  # "record 3", "annotations[3].answers[0]", or "" for the file's only object
    content: dict[str, Any]

    def fault(self, key: str, expected: str, found: Any) -> ValueError:
        """The error to raise about one key."""
        return fault(self.file, self.where, f"key '{key}': expected {expected}, found {shown(found)}")

    def string(self, key: str) -> str:
        """Text, which may be empty."""
        value = self._value(key, "text")
        if not isinstance(value, str):
            raise self.fault(key, "text", value)
        try:
            value.encode()
        except (
            UnicodeEncodeError
        ):  # JSON can write half of a surrogate pair, which no file name and no file can hold
            raise self.fault(key, "text that UTF-8 can write", value) from None
        return value

    def text(self, key: str) -> str:
        """Text that is not empty."""
        value = self.string(key)
        if not value.strip():
            raise self.fault(key, "text that is not empty", value)
        return value

    def unmarked(self, key: str) -> str:
        """Text that is not empty and does not hold the image's mark, which the records put before a question."""
        value = self.text(key)
        if IMAGE_TOKEN in value:
            raise self.fault(key, f"text without '{IMAGE_TOKEN}'", value)
        return value

    def natural(self, key: str) -> int:
        """A whole number from 0 on."""
        value = self._value(key, "a whole number")
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.fault(key, "a whole number from 0 on", value)
        return value

    def flag(self, key: str) -> bool:
        """true or false."""
        value = self._value(key, "true or false")
        if not isinstance(value, bool):
            raise self.fault(key, "true or false", value)
        return value

    def record(self, key: str) -> "Record":
        """An object."""
        return Record(self.file, self._within(key), _object(self, key, self._value(key, "an object")))

    def records(self, key: str) -> list["Record"]:
        """A list of objects."""
        value = self._value(key, "a list of objects")
        if not isinstance(value, list):
            raise self.fault(key, "a list of objects", value)
        return [
            Record(self.file, self._within(f"{key}[{number}]"), _object(self, f"{key}[{number}]", entry))
            for number, entry in enumerate(value)
        ]

    def listing(self, key: str) -> list[Any]:
        """A list of anything."""
        value = self._value(key, "a list")
        if not isinstance(value, list):
            raise self.fault(key, "a list", value)
        return value

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse a key that is not among the allowed ones."""
        unknown = [key for key in self.content if key not in set(allowed)]
        if unknown:
            raise fault(
                self.file,
                self.where,
                f"unknown key {shown(unknown[0])}; expected {', '.join(sorted(allowed))}",
            )

    def path(self, key: str, folder: Path, under: str = "") -> str:
        """A path that a data file names, relative to the dataset's folder.

        Args:
            folder: the dataset's folder.
            under: the folder inside it that the file's paths start from.
        """
        return self.confined(key, self.text(key), folder, under)

    def confined(self, key: str, name: str, folder: Path, under: str = "") -> str:
        """A path made from the value of `key`, relative to the dataset's folder; refused where it leads outside."""
        path = PurePosixPath(under, name)
        outside = (
            PurePosixPath(name).is_absolute()
            or path.is_absolute()
            or ".." in path.parts
            or "\\" in name
            or "\0" in name
            or bool(PureWindowsPath(name).drive)
        )
        if outside or not leads_inside(folder, folder / path):
            raise self.fault(key, f"a path inside {folder}, no link out of it", name)
        return path.as_posix()

    def _value(self, key: str, expected: str) -> Any:
        if key not in self.content:
            raise fault(self.file, self.where, f"key '{key}' is missing; expected {expected}")
        return self.content[key]

    def _within(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where else key


def load_object(path: Path) -> Record:
    """The object that a JSON file holds. Raises as :func:`load`, and where the file holds something else."""
    return Record(path, "", as_object(path, "", load(path)))


def load_list(path: Path) -> list[Record]:
    """The objects of the list that a JSON file holds. Raises as :func:`load_object`."""
    content = load(path)
    if not isinstance(content, list):
        raise fault(path, "", f"expected a list of records, found {shown(content)}")
    return [
        Record(path, f"record {number}", as_object(path, f"record {number}", entry))
        for number, entry in enumerate(content)
    ]


def load(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: no such file, not UTF-8, not JSON, or a key twice in one object (Python keeps the last and says
            nothing).
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_without_repeats)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except _Repeated as error:
        raise ValueError(f"{path}: {error}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error


def as_object(path: Path, where: str, value: Any) -> dict[str, Any]:
    """The value itself, refused where it is no object."""
    if not isinstance(value, dict):
        raise fault(path, where, f"expected an object, found {shown(value)}")
    return value


def fault(path: Path, where: str, what: str) -> ValueError:
    """The error that names a file, a place in it, and what is wrong there."""
    return ValueError(": ".join(part for part in (str(path), where, what) if part))


def shown(value: Any) -> str:
    """A value as Python writes it, cut to a length that a message can hold."""
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[:SHOWN]}… ({type(value).__name__})"


def leads_inside(folder: Path, path: Path) -> bool:
    """Whether a path is inside the folder when its links have been followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links in a circle
        return False


class _Repeated(ValueError):
    pass


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Repeated(f"key {shown(twice)} occurs twice in one object; expected every key once")
    return made


def _object(record: Record, key: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise record.fault(key, "an object", value)
    return value
