"""Event cards from parquet files of earthquakes and waveforms, such as those of PNNL/MultiSeismo (CC0).

In:  a folder with parquet files and ``multiseismo.yaml``: the splits and what else every dataset of recorded
     earthquakes states, the files, the unit of depth, and what the samples are.
Out: ``records/`` in the same folder, as :mod:`barnlib.data.fdsn` writes it; the card also says which column was taken
     for what, and which were not used.

The columns of MultiSeismo were never seen by us: neither its files nor their schema could be reached when this was
written. So the reader looks at what it finds (:mod:`~barnlib.data.parquet_columns`), refuses, with the list of columns,
where something essential is missing, and takes the user's word for a column that it does not recognise. Try it on one
file first.

A row may be an event with its traces in a list of structures, nested as they may be, or an event at one station. The
files are gone through twice: once for the facts of events, to share them out to splits; once for the waveforms, a few
rows at a time, so that memory does not grow with the files. Of an event's stations the one nearest to a uniform draw of
distance is taken, of its rows the first that can be used.

``python -m barnlib.data.multiseismo FOLDER``
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from obspy import Stream, Trace, UTCDateTime
from pydantic import Field, field_validator
from tqdm import tqdm

from barnlib.artefacts import build_once, file_digest, read_json
from barnlib.data.earthquakes import Earthquake
from barnlib.data.event_splits import (
    Event,
    LeftOut,
    Selection,
    Text,
    Unusable,
    assign,
    is_number,
    locate_station,
    station_draw_deg,
)
from barnlib.data.ground_motion import velocity_as_it_is
from barnlib.data.parquet_columns import Plan, leaves, plan
from barnlib.data.parquet_rows import Row, opened, plain, rows_of, samples_of, step, structures, value_at
from barnlib.data.quakeml import DepthUnit, require_plausible
from barnlib.data.recorded_records import CARD, RecordsWriter, command_line
from barnlib.strict import parse, read_yaml

REQUEST, RECORDS = "multiseismo.yaml", "records"
VERSION = 1  # of what this module writes; a change makes existing records anew
ROWS, FACT_ROWS = 2, 1000  # read at once: with waveforms, and without


class Request(Selection):
    """The content of ``multiseismo.yaml``.

    `samples_are` says what a card may draw: "velocity", or the "counts" of a sensor of velocity; displacement and
    acceleration would look like another earthquake. `bands` are the first two letters of a channel's code, where it has
    three. `columns` names what the reader does not recognise; see :func:`barnlib.data.parquet_columns.plan`.
    """

    files: Text = "*.parquet"
    depth_unit: DepthUnit
    samples_are: Literal["velocity", "counts"]
    components: Literal["ZNE", "Z"] = "ZNE"
    bands: Annotated[tuple[str, ...], Field(min_length=1)] = ("BH", "HH")
    columns: dict[str, str] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, pattern: str) -> str:
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise ValueError("expected a pattern of files inside the folder")
        return pattern


def build_records(folder: Path, *, progress: bool = True) -> dict[str, Any]:
    """Make the records that ``multiseismo.yaml`` asks for, or find them unchanged; returns their card.

    Raises:
        ValueError: a fault of ``multiseismo.yaml``; no file, or one that is no parquet; a column that is missing, with
            those that were found; depths in another unit; splits that share an earthquake or have no card.
    """
    path = folder / REQUEST
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected one that names files, splits and licence")
    request = parse(Request, path, read_yaml(path))
    files = _files(folder, request.files)
    inputs = {
        "version": VERSION,
        "request": request.model_dump(mode="json"),
        "files": {str(file.relative_to(folder)): file.stat().st_size for file in files},
    }
    build = partial(_build, request, folder, files, progress)
    card: dict[str, Any] = read_json(build_once(folder / RECORDS, inputs, build) / CARD)
    return card


def inspect(file: Path, named: Mapping[str, str]) -> Plan:
    """Find out which column of a file is what. Raises as :func:`barnlib.data.parquet_columns.plan`."""
    with opened(file) as parquet:
        schema = parquet.schema_arrow
        texts = [f.name for f in schema if pa.types.is_string(f.type) or pa.types.is_large_string(f.type)]
        rows = (
            parquet.iter_batches(batch_size=1, columns=texts) if texts and parquet.metadata.num_rows else ()
        )
        first = next(iter(rows), None)
    return plan(leaves(schema, first.to_pylist()[0] if first is not None else {}), named, file.name)


def _build(request: Request, source: Path, files: Sequence[Path], progress: bool, folder: Path) -> None:
    plans = {file: inspect(file, request.columns) for file in files}
    first = plans[files[0]]
    for file, found in plans.items():
        if found.used() != first.used():
            raise ValueError(
                f"{file.name}: its columns {found.used()} are not those of {files[0].name}: {first.used()}; expected "
                "files of one kind: give each kind a folder of its own"
            )
    events, left_out = _events(plans, request)
    splits, unassigned = assign(events, request)
    left_out += unassigned
    writer = RecordsWriter(folder, request, splits)
    waiting = {event.id: (split, event) for split, listed in splits.items() for event in listed}
    failed: dict[str, LeftOut] = {}
    for file, found in plans.items():
        total = pq.read_metadata(file).num_rows
        rows = tqdm(rows_of(file, found.columns, ROWS), file.name, total, mininterval=1, disable=not progress)
        for row in rows:
            split, event = waiting.get(_id(file, row, found), (None, None))
            if split is None or event is None:
                continue
            try:
                writer.quota.require_room(split, event)
                station, earthquake, traces = _recording(event, row, found, request)
            except Unusable as problem:
                failed[event.id] = LeftOut(event.id, problem.reason, problem.detail)
            else:
                writer.add(split, event, station, earthquake, traces)
                del waiting[event.id]
    left_out += [failed[name] for name in waiting if name in failed]
    writer.finish(
        left_out,
        {
            "made_by": __name__,
            "columns_used": first.used(),
            "columns_not_used": list(first.unused),
            "read_from": {str(file.relative_to(source)): file_digest(file) for file in files},
        },
    )


def _files(folder: Path, pattern: str) -> list[Path]:
    found = sorted(path for path in folder.glob(pattern) if path.is_file())
    outside = [path for path in found if not path.resolve().is_relative_to(folder.resolve())]
    if outside or not found:
        seen = f"{outside[0]} leads outside" if outside else "there is none"
        raise ValueError(f"{folder}: expected parquet files '{pattern}' inside the folder; {seen}")
    return found


def _events(plans: Mapping[Path, Plan], request: Request) -> tuple[list[Event], list[LeftOut]]:
    """The facts of every event, each once, whatever the number of its rows."""
    stated: dict[str, dict[str, Any]] = {}
    for file, found in plans.items():
        together = set(found.event_columns) & {leaf.path[0] for leaf in found.samples.values()}
        for row in rows_of(file, found.event_columns, ROWS if together else FACT_ROWS):
            facts = {fact: value_at(row.columns, leaf.path) for fact, leaf in found.event.items()}
            stated.setdefault(_id(file, row, found), facts)
    require_plausible(
        [float(f["depth"]) for f in stated.values() if is_number(f["depth"])], request.depth_unit
    )
    events, left_out = [], []
    for name, facts in stated.items():
        try:
            events.append(_event(name, facts, request.depth_unit))
        except Unusable as problem:
            left_out.append(LeftOut(name, problem.reason, problem.detail))
    return events, left_out


def _event(name: str, facts: Mapping[str, Any], unit: DepthUnit) -> Event:
    for fact, missing in (
        ("latitude", "no epicentre"),
        ("longitude", "no epicentre"),
        ("depth", "no depth"),
        ("magnitude", "no magnitude"),
    ):
        if not is_number(facts[fact]):
            raise Unusable(missing, f"{fact} {facts[fact]!r}")
    return Event(
        id=name,
        time=_time(facts["time"], "no origin"),
        latitude_deg=float(facts["latitude"]),
        longitude_deg=float(facts["longitude"]),
        depth_km=float(facts["depth"]) / (1000.0 if unit == "m" else 1.0),
        magnitude=float(facts["magnitude"]),
        magnitude_type=str(facts.get("magnitude_type") or "not stated"),
    )


def _id(file: Path, row: Row, found: Plan) -> str:
    """The catalogue's name of the event, or the row's place where it has none."""
    value = value_at(row.columns, found.event["id"].path) if "id" in found.event else None
    return f"{file.name} row {row.number}" if value is None else str(value)


def _recording(event: Event, row: Row, found: Plan, request: Request) -> tuple[str, Earthquake, np.ndarray]:
    """The first of a row's stations, by distance from the draw, that can be used.

    Returns:
        (NETWORK.STATION, Earthquake, float32[3, N]).

    Raises:
        Unusable: there is none; with the reason of the last.
    """
    problem = Unusable("no waveforms", f"row {row.number} holds no trace of bands {', '.join(request.bands)}")
    draw_deg, placed = station_draw_deg(event), []
    for (name, latitude_deg, longitude_deg), stream in _by_station(row, found, request).items():
        try:
            earthquake = locate_station(event, latitude_deg, longitude_deg)
            placed.append((abs(earthquake.distance_deg - draw_deg), name, earthquake, stream))
        except Unusable as refused:
            problem = refused
    for _, name, earthquake, stream in sorted(placed, key=lambda station: station[:2]):
        try:
            return name, earthquake, velocity_as_it_is(stream, earthquake, event.time, request.components)
        except Unusable as refused:
            problem = refused
    raise problem


def _by_station(row: Row, found: Plan, request: Request) -> dict[tuple[str, float, float], Stream]:
    """The traces of a row that are wanted, by station and its place. A trace that lacks something is passed over."""
    stations: dict[tuple[str, float, float], Stream] = {}
    inner = next(iter(found.samples.values())).parent
    for known in structures(row.columns, inner):
        facts = {fact: plain(step(known[leaf.parent], leaf.path[-1])) for fact, leaf in found.trace.items()}
        numbers = [facts[fact] for fact in ("latitude", "longitude", "sampling_rate")]
        if not all(is_number(number) for number in numbers) or facts["sampling_rate"] <= 0:
            continue
        try:
            start = _time(facts["start"], "no start")
        except Unusable:
            continue
        names = [str(facts.get(fact) or "") for fact in ("network", "station")]
        name = ".".join(name for name in names if name) or "not named"
        traces = stations.setdefault((name, float(numbers[0]), float(numbers[1])), Stream())
        for component, samples in _components(known, found):
            channel = str(facts.get("channel") or "")
            if component:
                channel = (
                    f"{channel[:2]}{component}"  # where it is known, the band, or a code of another component
                )
            if not len(samples) or channel[-1:] not in _wanted(request):
                continue
            if len(channel) >= 3 and channel[-3:-1] not in request.bands:
                continue
            header = {"channel": channel, "starttime": start, "sampling_rate": float(facts["sampling_rate"])}
            traces.append(Trace(samples, header))
    return {station: stream for station, stream in stations.items() if len(stream)}


def _components(known: Mapping[tuple[str, ...], Any], found: Plan) -> Iterator[tuple[str, np.ndarray]]:
    """A trace's samples with their component, "" where only the channel's name tells it."""
    for component, leaf in found.samples.items():
        held = step(known[leaf.parent], leaf.path[-1])
        if leaf.kind != "matrix":
            yield component, samples_of(held)
        elif held is not None and held.is_valid and len(held.values) == len(component):
            yield from ((letter, samples_of(row)) for letter, row in zip(component, held.values, strict=True))


def _wanted(request: Request) -> str:
    # Channels 1 and 2 are kept, to be refused with the reason that their orientation is not known.
    return "Z" if request.components == "Z" else "ZNE123"


def _time(value: Any, missing: str) -> UTCDateTime:
    """A time stamp, an ISO 8601 text, or seconds since 1970; without a zone it is UTC."""
    try:
        if isinstance(value, datetime | str) or (is_number(value) and abs(value) < 1e10):
            return UTCDateTime(value)
    except (ValueError, TypeError, OverflowError):
        pass
    raise Unusable(missing, f"time {value!r}; expected a time stamp, ISO 8601, or seconds since 1970")


def main(arguments: Sequence[str] | None = None) -> None:
    """As :func:`barnlib.data.recorded_records.command_line`."""
    command_line(build_records, __doc__ or "", REQUEST, arguments)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
