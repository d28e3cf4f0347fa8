"""Folders that are made once, verified on reading, and written by one process at a time.

In:  the inputs that decide a folder's content (a dictionary), and a function that writes it.
Out: the folder, with a ``manifest.json`` of its inputs and of the SHA-256 of each of its files.

Snakemake looks at parameters and time stamps; it does not see a corrupted output, or one that was changed behind an
old time. The manifest does, for whoever runs one notebook by hand as well.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

MANIFEST = "manifest.json"


def build_once(folder: Path, inputs: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
    """Return ``folder`` if it holds exactly what ``inputs`` ask for; else let ``build`` write it anew.

    ``build`` gets an empty folder beside the final one, which is renamed when it is complete: a crash leaves
    nothing that could be taken for a result. A second process that wants the same folder waits for the first.

    Raises:
        ValueError: the folder is complete but a file in it was changed afterwards; names the file.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(_lock(folder)):
        if _inputs_match(folder, inputs):
            verify(folder)
            return folder
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        build(partial)
        seal(partial, inputs)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return folder


def seal(folder: Path, inputs: Mapping[str, Any]) -> None:
    """Write the manifest of a complete folder: the digest of its inputs and of each file."""
    files = {str(path.relative_to(folder)): file_digest(path) for path in _files(folder)}
    write_json(folder / MANIFEST, {"inputs": digest(dict(inputs)), "files": files})


def is_sealed(folder: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether the folder is complete for these inputs, every file unchanged.

    Raises:
        ValueError: as :func:`verify`.
    """
    if not _inputs_match(folder, inputs):
        return False
    verify(folder)
    return True


def verify(folder: Path) -> dict[str, str]:
    """Check each file against the manifest; returns digest by file name.

    Raises:
        ValueError: a file is missing or differs from its digest; says how to rebuild.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ValueError(
            f"{folder}: no {MANIFEST}; the folder is not complete, run the step that makes it again"
        )
    files: dict[str, str] = _manifest(path)["files"]
    for name, expected in files.items():
        found = file_digest(folder / name) if (folder / name).is_file() else "no such file"
        if found != expected:
            raise ValueError(
                f"{folder / name}: expected SHA-256 {expected[:12]}, found {found[:12]}; the file was changed or "
                f"damaged after it was made: delete {folder} and run the same command again"
            )
    return files


@contextmanager
def single_writer(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; refuse at once where another process holds it.

    The lock belongs to the process and ends with it, however it ends.

    Raises:
        RuntimeError: another process writes to this folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(_lock(folder))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise RuntimeError(
            f"{folder} is being written by another process; wait for it, or end it, before this run is started again"
        ) from None
    try:
        yield
    finally:
        lock.release()


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of a model, dataclass-free dictionary, list or scalar; 64 hexadecimal digits."""
    plain = value.model_dump(mode="json") if isinstance(value, BaseModel) else value
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(partial, path)


def read_json(path: Path) -> Any:
    """Read JSON.

    Raises:
        ValueError: not UTF-8, or not valid JSON; names the file.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # of the text's bytes, too
        raise ValueError(f"{path}: not valid JSON: {error}") from error


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _inputs_match(folder: Path, inputs: Mapping[str, Any]) -> bool:
    path = folder / MANIFEST
    return path.is_file() and _manifest(path)["inputs"] == digest(dict(inputs))


def _manifest(path: Path) -> dict[str, Any]:
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("files"), dict) or "inputs" not in content:
        raise ValueError(
            f"{path}: expected an object with 'inputs' and 'files', found {str(content)[:80]}; the file was changed or "
            f"damaged after it was made: delete {path.parent} and run the same command again"
        )
    return content


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
