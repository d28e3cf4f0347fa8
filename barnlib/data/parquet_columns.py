"""Which column of a parquet file is what: found by name and type, said where it is not.

In:  the schema of a file whose columns nobody has described to us, and what the user names.
Out: a :class:`Plan`: where each fact of an event and of a trace stands, and which columns are not used. Next:
     :mod:`barnlib.data.multiseismo` reads only those columns.

A name is compared in lower case, words parted by underscores (``originTime`` is ``origin_time``), with `EVENT_NAMES`
and `TRACE_NAMES`; the first candidate that a column has is taken. Facts of an event stand outside of lists. A trace is
the structure that holds samples; its facts stand beside the samples or in a structure around it. A text column whose
first value is a JSON object counts as a structure. Nothing is guessed from values, and not which row of a matrix is
which component: that is taken from the user's word alone (``samples ZNE``).
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import pyarrow as pa

# The fact, and the names that it goes by, the clearest first.
EVENT_NAMES: dict[str, tuple[str, ...]] = {
    "id": ("event_id", "eventid", "evid", "usgs_id", "source_id", "id"),
    "time": ("origin_time", "event_time", "source_origin_time", "origintime", "event_datetime", "time", "datetime"),
    "latitude": ("event_latitude", "event_lat", "source_latitude_deg", "source_latitude", "epicenter_latitude",
                 "evla", "latitude", "lat"),
    "longitude": ("event_longitude", "event_lon", "source_longitude_deg", "source_longitude", "epicenter_longitude",
                  "evlo", "longitude", "lon", "lng"),
    "depth": ("event_depth_km", "event_depth", "source_depth_km", "source_depth", "hypocenter_depth", "evdp",
              "depth_km", "depth"),
    "magnitude": ("event_magnitude", "event_mag", "source_magnitude", "magnitude", "mag"),
    "magnitude_type": ("magnitude_type", "mag_type", "magtype", "source_magnitude_type"),
}  # fmt: skip
TRACE_NAMES: dict[str, tuple[str, ...]] = {
    "network": ("network_code", "station_network_code", "network", "net"),
    "station": ("station_code", "station_name", "station", "sta"),
    "channel": ("channel_code", "channel", "component", "cha"),
    "latitude": ("station_latitude_deg", "station_latitude", "station_lat", "receiver_latitude", "stla",
                 "latitude", "lat"),
    "longitude": ("station_longitude_deg", "station_longitude", "station_lon", "receiver_longitude", "stlo",
                  "longitude", "lon", "lng"),
    "sampling_rate": ("sampling_rate_hz", "trace_sampling_rate_hz", "sampling_rate", "sample_rate", "samplerate"),
    "start": ("trace_start_time", "starttime", "start_time", "trace_starttime", "begin_time"),
}  # fmt: skip
SAMPLES = ("waveform", "waveforms", "trace", "samples", "data", "values", "amplitudes")
COMPONENT_SAMPLES = {  # a column for each component, the channel then being its letter
    letter: tuple(f"{start}{letter.lower()}" for start in ("waveform_", "trace_", "data_", "bh", "hh", ""))
    for letter in "ZNE"
}
ORDERS = tuple("".join(order) for order in permutations("ZNE"))
# In the row itself, outside of every structure, these bare names are the event's.
BARE = {"latitude", "lat", "longitude", "lon", "lng"}
ESSENTIAL_EVENT = ("time", "latitude", "longitude", "depth", "magnitude")
ESSENTIAL_TRACE = ("latitude", "longitude", "sampling_rate", "start")
ITEM, JSON = "[]", "{}"  # parts of a path: each element of a list, the object that a text holds


@dataclass(frozen=True)
class Leaf:
    """One value of a row, or of each element of lists in it; written as ``stations[].channels[].data``."""

    path: tuple[str, ...]
    kind: str  # "samples" (a list of numbers), "matrix" (a list of such lists), "value", or "other"
    type: str

    @property
    def name(self) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", self.path[-1])
        return re.sub(r"[^0-9a-z]+", "_", words.lower()).strip("_")

    @property
    def parent(self) -> tuple[str, ...]:
        return self.path[:-1]

    @property
    def written(self) -> str:
        return _written(self.path)


@dataclass(frozen=True)
class Plan:
    """Where each fact stands.

    `samples` by component; "" where the channel's name says which, and "ZNE" or another order for the rows of a matrix.
    """

    event: Mapping[str, Leaf]
    trace: Mapping[str, Leaf]
    samples: Mapping[str, Leaf]
    unused: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """The top-level columns to read."""
        return sorted({leaf.path[0] for leaf in self._leaves()})

    @property
    def event_columns(self) -> list[str]:
        """Those that the facts of events need."""
        return sorted({leaf.path[0] for leaf in self.event.values()})

    def used(self) -> dict[str, str]:
        """What was taken for what, for the dataset's card."""
        named = [
            *((f"event {fact}", leaf) for fact, leaf in self.event.items()),
            *((f"trace {fact}", leaf) for fact, leaf in self.trace.items()),
            *((f"samples {component}".strip(), leaf) for component, leaf in self.samples.items()),
        ]
        return {fact: leaf.written for fact, leaf in named}

    def _leaves(self) -> list[Leaf]:
        return [*self.event.values(), *self.trace.values(), *self.samples.values()]


def leaves(schema: pa.Schema, first_row: Mapping[str, Any]) -> list[Leaf]:
    """Every value that a row can hold. `first_row` has the text columns of one row, to look for JSON in them."""
    found: list[Leaf] = []
    for field in schema:
        found += _leaves_of((field.name,), field.type)
        content = _json_object(first_row.get(field.name))
        if content is not None:
            found = [leaf for leaf in found if leaf.path != (field.name,)]
            found += _leaves_of_json((field.name, JSON), content)
    return found


def plan(found: Iterable[Leaf], named: Mapping[str, str], source: str) -> Plan:
    """Find each fact among the values.

    Args:
        named: fact ("event depth", "trace start", "samples", "samples Z", "samples ZNE") -> path as `Leaf.written` has
            it, where the user knows better.
        source: the file, for messages.

    Raises:
        ValueError: an essential fact is missing, two values are as good as each other, or a named one does not exist;
            lists the columns that were found.
    """
    every = list(found)
    listing = ", ".join(f"{leaf.written} ({leaf.type})" for leaf in every)
    chosen = _named(every, named, source, listing)
    samples = _samples(every, chosen, source)
    inner = next(iter(samples.values())).parent if samples else ()
    around = {inner[:length] for length in range(len(inner) + 1)}
    event: dict[str, Leaf] = {}
    trace: dict[str, Leaf] = {}
    for fact, names in EVENT_NAMES.items():
        outside = [leaf for leaf in every if leaf.kind == "value" and ITEM not in leaf.path]
        leaf = chosen.get(f"event {fact}") or _first(outside, names, f"event {fact}", source)
        if leaf is not None:
            event[fact] = leaf
    taken = set(event.values())
    for fact, names in TRACE_NAMES.items():
        beside = [
            leaf
            for leaf in every
            if leaf.kind == "value"
            and leaf.parent in around
            and leaf not in taken
            and (leaf.parent or leaf.name not in BARE)
        ]
        leaf = chosen.get(f"trace {fact}") or _first(beside, names, f"trace {fact}", source)
        if leaf is not None:
            trace[fact] = leaf
    missing = [f"event {fact}" for fact in ESSENTIAL_EVENT if fact not in event]
    missing += [] if samples else ["samples"]
    missing += [f"trace {fact}" for fact in ESSENTIAL_TRACE if fact not in trace]
    missing += ["trace channel"] if "" in samples and "channel" not in trace else []
    if missing:
        matrices = [leaf.written for leaf in every if leaf.kind == "matrix"] if not samples else []
        if matrices:
            listing += f". Where the rows of {matrices[0]} are Z, N and E, write 'samples ZNE: {matrices[0]}'"
        raise ValueError(
            f"{source}: no column for {', '.join(missing)}. Found: {listing or 'no column'}. Expected one of the names "
            "in barnlib/data/parquet_columns.py, or its path under columns in the request"
        )
    astray = [leaf.written for leaf in (*trace.values(), *samples.values()) if leaf.parent not in around]
    if astray or any(leaf.parent != inner for leaf in samples.values()):
        raise ValueError(
            f"{source}: {', '.join(astray) or 'the components'} and the samples in {_written(inner) or 'the row'} are "
            "not of one structure: which trace they belong to is not known"
        )
    used = {*event.values(), *trace.values(), *samples.values()}
    return Plan(event, trace, samples, tuple(leaf.written for leaf in every if leaf not in used))


def _named(every: list[Leaf], named: Mapping[str, str], source: str, listing: str) -> dict[str, Leaf]:
    facts = (
        *(f"event {fact}" for fact in EVENT_NAMES),
        *(f"trace {fact}" for fact in TRACE_NAMES),
        "samples",
        *(f"samples {letter}" for letter in COMPONENT_SAMPLES),
        *(f"samples {order}" for order in ORDERS),
    )
    by_path = {leaf.written: leaf for leaf in every}
    for fact, path in named.items():
        if fact not in facts:
            raise ValueError(f"columns: unknown fact '{fact}'; expected one of {', '.join(facts)}")
        if path not in by_path:
            raise ValueError(f"{source}: no column '{path}' for {fact}. Found: {listing}")
        expected = "matrix" if fact.removeprefix("samples ") in ORDERS else "samples"
        if fact.startswith("samples") and by_path[path].kind != expected:
            raise ValueError(
                f"{source}: {path} is a {by_path[path].type}; expected a list of "
                f"{'lists of ' if expected == 'matrix' else ''}numbers for {fact}"
            )
    return {fact: by_path[path] for fact, path in named.items()}


def _samples(every: list[Leaf], chosen: Mapping[str, Leaf], source: str) -> dict[str, Leaf]:
    """Samples by component; one column for all of them, or a column for each in the same structure."""
    matrix = {order: chosen[f"samples {order}"] for order in ORDERS if f"samples {order}" in chosen}
    if matrix:
        return matrix
    apart = {letter: chosen[f"samples {letter}"] for letter in "ZNE" if f"samples {letter}" in chosen}
    if apart:
        return apart
    if "samples" in chosen:
        return {"": chosen["samples"]}
    lists = [leaf for leaf in every if leaf.kind == "samples"]
    for letter, names in COMPONENT_SAMPLES.items():
        leaf = _first(lists, names, f"samples {letter}", source)
        if leaf is not None:
            apart[letter] = leaf
    if "Z" in apart and len({leaf.parent for leaf in apart.values()}) == 1:
        return apart
    together = _first(lists, SAMPLES, "samples", source)
    return {"": together} if together is not None else {}


def _first(found: Iterable[Leaf], names: tuple[str, ...], fact: str, source: str) -> Leaf | None:
    """The value with the first of the names that there is; the least nested where there are several."""
    for name in names:
        matching = sorted((leaf for leaf in found if leaf.name == name), key=lambda leaf: len(leaf.path))
        if len(matching) > 1 and len(matching[0].path) == len(matching[1].path):
            raise ValueError(
                f"{source}: {matching[0].written} and {matching[1].written} could both be {fact}; "
                f"write '{fact}: PATH' under columns in the request"
            )
        if matching:
            return matching[0]
    return None


def _written(path: tuple[str, ...]) -> str:
    return "".join(part if part in (ITEM, JSON) else f".{part}" for part in path).removeprefix(".")


def _leaves_of(path: tuple[str, ...], kind: pa.DataType) -> list[Leaf]:
    if pa.types.is_struct(kind):
        return [leaf for field in kind for leaf in _leaves_of((*path, field.name), field.type)]
    if _is_list(kind):
        inner = kind.value_type
        if pa.types.is_struct(inner):
            return _leaves_of((*path, ITEM), inner)
        matrix = _is_list(inner) and _is_number(inner.value_type)
        found = "samples" if _is_number(inner) else "matrix" if matrix else "other"
        return [Leaf(path, found, str(kind))]
    other = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_nested(kind)
    return [Leaf(path, "other" if other else "value", str(kind))]


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _leaves_of_json(path: tuple[str, ...], content: Mapping[str, Any]) -> list[Leaf]:
    found: list[Leaf] = []
    for key, value in content.items():
        if isinstance(value, dict):
            found += _leaves_of_json((*path, key), value)
        else:
            kind = "other" if isinstance(value, list) else "value"
            found.append(Leaf((*path, key), kind, f"JSON {type(value).__name__}"))
    return found


def _json_object(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, str) or not value.lstrip().startswith("{"):
        return None
    try:
        content = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
