"""Rows of a parquet file, a few at a time, and the values in their structures.

In:  a file and the columns to read. Out: :class:`Row`s of pyarrow's scalars, which hold samples without making a Python
     object of each, and the way to a value through structures, lists and texts of JSON. Next:
     :mod:`barnlib.data.multiseismo` makes cards of them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from barnlib.data.parquet_columns import ITEM, JSON

BUFFER = 2**20  # bytes of a file that are read ahead


@dataclass(frozen=True)
class Row:
    """One row of a file: its number there, and its columns as pyarrow's scalars."""

    number: int
    columns: Mapping[str, Any]


def opened(file: Path) -> pq.ParquetFile:
    """The file, to be closed by a ``with``. ValueError where it is no parquet."""
    try:
        # Without pre-buffering, a file's row groups are not held in memory as a whole.
        return pq.ParquetFile(file, pre_buffer=False, buffer_size=BUFFER)
    except (pa.ArrowInvalid, OSError) as problem:
        raise ValueError(f"{file}: not a parquet file that can be read: {problem}") from problem


def rows_of(file: Path, columns: Sequence[str], at_once: int) -> Iterator[Row]:
    """Every row with these top-level columns, `at_once` of them decoded at a time. ValueError names a damaged file."""
    number = 0
    with opened(file) as parquet:
        try:
            for batch in parquet.iter_batches(batch_size=at_once, columns=list(columns), use_threads=False):
                for within in range(batch.num_rows):
                    yield Row(number, {name: batch.column(name)[within] for name in batch.schema.names})
                    number += 1
        except (pa.ArrowException, OSError) as problem:
            raise ValueError(f"{file}: cannot be read after row {number}: {problem}") from problem


def structures(root: Any, path: Sequence[str]) -> Iterator[dict[tuple[str, ...], Any]]:
    """Every structure at a path below the row, with all that it lies in: {path: structure}, () being the row."""

    def walk(node: Any, depth: int, known: dict) -> Iterator[dict]:
        known = {**known, tuple(path[:depth]): node}
        if depth == len(path):
            yield known
        elif path[depth] == ITEM:
            for element in node.values if node is not None and node.is_valid else ():
                yield from walk(element, depth + 1, known)
        else:
            yield from walk(step(node, path[depth]), depth + 1, known)

    return walk(root, 0, {})


def step(node: Any, part: str) -> Any:
    """One part of a path further: a key of a structure or of JSON; None where there is nothing."""
    if isinstance(node, pa.Scalar):
        if not node.is_valid:
            return None
        if part == JSON:
            try:
                return json.loads(node.as_py())
            except (ValueError, RecursionError):
                return None
        return node[part]
    return node.get(part) if isinstance(node, dict | Mapping) else None


def value_at(root: Any, path: Sequence[str]) -> Any:
    node = root
    for part in path:
        node = step(node, part)
    return plain(node)


def plain(node: Any) -> Any:
    return node.as_py() if isinstance(node, pa.Scalar) else node


def samples_of(node: Any) -> np.ndarray:
    """The samples of a list, [n], without a copy where there is no hole; missing ones are NaN."""
    if node is None or not node.is_valid or node.values is None:
        return np.zeros(0)
    samples: np.ndarray = node.values.to_numpy(zero_copy_only=False)
    return samples
