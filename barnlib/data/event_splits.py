"""Recorded earthquakes of a catalogue, each put into one split, with a reason for each that is left out.

In:  :class:`Event`s of :mod:`~barnlib.data.quakeml` or :mod:`~barnlib.data.multiseismo`, and the :class:`Selection`
     that a dataset's YAML file states.
Out: split -> events, in the order in which they are tried, and :class:`LeftOut`. Next: each event becomes a card.

Splits are spans of origin time that do not overlap, so that a test lies after (or before) what was trained on.
Earthquakes of a region that is held out go to the split ``heldout`` whenever they happened, and to no other. One
earthquake can stand in a catalogue twice, under two names: within a split its second entry is left out, and two splits
that share an earthquake are refused.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from obspy import UTCDateTime
from obspy.geodetics import gps2dist_azimuth
from pydantic import Field, field_validator, model_validator

from barnlib.artefacts import digest
from barnlib.data.earthquakes import (
    MAXIMUM_DISTANCE_DEG,
    MINIMUM_DISTANCE_DEG,
    Earthquake,
    depth_class,
    locate,
    magnitude_class,
    region_name,
    region_names,
)
from barnlib.data.maps import WORLD
from barnlib.data.pictures import generator
from barnlib.data.records import SPLITS
from barnlib.strict import Count, Strict

SAME_EARTHQUAKE_S, SAME_EARTHQUAKE_KM = 16.0, 100.0  # bulletins of one earthquake differ by less
HELD_OUT = "heldout"
NAMED = 5  # shared earthquakes in a message
Text = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True)
class Event:
    """One earthquake of a catalogue. Degrees north and east, kilometres; `id` is the catalogue's own."""

    id: str
    time: UTCDateTime
    latitude_deg: float
    longitude_deg: float
    depth_km: float
    magnitude: float
    magnitude_type: str


@dataclass(frozen=True)
class LeftOut:
    """An event that became no card: `reason` is one of a few, to be counted, `detail` what was seen."""

    id: str
    reason: str
    detail: str


class Unusable(Exception):
    """An event cannot become a card; arguments: reason and detail, as in :class:`LeftOut`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason, self.detail = reason, detail


class Window(Strict):
    """A span of origin time, in UTC: `start` belongs to it, `end` does not."""

    start: str
    end: str

    @field_validator("start", "end")
    @classmethod
    def _be_a_time(cls, value: str) -> str:
        try:
            UTCDateTime(value)
        except (ValueError, TypeError):
            raise ValueError("expected a date, or a time in UTC as 2011-03-11T05:46:24") from None
        return value

    @model_validator(mode="after")
    def _end_after_start(self) -> "Window":
        if self.begins >= self.ends:
            raise ValueError(f"end {self.end} is not after start {self.start}")
        return self

    @property
    def begins(self) -> UTCDateTime:
        return UTCDateTime(self.start)

    @property
    def ends(self) -> UTCDateTime:
        return UTCDateTime(self.end)


class Selection(Strict):
    """What every dataset of recorded earthquakes states, whatever its source.

    `most_per_class` is the largest number of cards of one magnitude and depth class in a split; without it nearly
    all cards show light, shallow earthquakes, as nature has them, and nothing is learned of the others.
    """

    name: Text
    source: Text
    licence: Text
    citation: Text
    image_size: Annotated[int, Field(ge=48)]  # pixels, square; labels can be read from 224 on
    splits: dict[str, Window]
    held_out_regions: tuple[str, ...] = ()
    most_per_class: Count | None = None

    @field_validator("splits")
    @classmethod
    def _be_apart(cls, splits: dict[str, Window]) -> dict[str, Window]:
        allowed = [name for name in SPLITS if name != HELD_OUT]
        unknown = [name for name in splits if name not in allowed]
        if unknown or not splits:
            found = f"'{unknown[0]}'" if unknown else "none"
            raise ValueError(
                f"expected splits among {', '.join(allowed)}, found {found}; "
                f"{HELD_OUT} is filled from held_out_regions"
            )
        ordered = sorted(splits.items(), key=lambda named: named[1].begins)
        for (earlier, first), (later, second) in pairwise(ordered):
            if first.ends > second.begins:
                raise ValueError(
                    f"{earlier} ends at {first.end}, after {later} has begun at {second.start}: an earthquake "
                    "between would be in both; expected spans that do not overlap"
                )
        return splits

    @field_validator("held_out_regions")
    @classmethod
    def _be_regions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in names if name not in region_names()]
        if unknown:
            raise ValueError(f"'{unknown[0]}' is no Flinn-Engdahl region as ObsPy writes it, in title case")
        return names


def assign(
    events: Iterable[Event], selection: Selection
) -> tuple[dict[str, list[Event]], tuple[LeftOut, ...]]:
    """Put each event into its split.

    Returns:
        Events of each split, shuffled by the digest of their ids, so that a card's place in a file says nothing of
        its time; and what is left out: events in no split's span, a second entry of the same earthquake, and what a
        card cannot show.

    Raises:
        ValueError: two splits share an earthquake, under one name or two; names both entries.
    """
    splits: dict[str, list[Event]] = {name: [] for name in selection.splits}
    if selection.held_out_regions:
        splits[HELD_OUT] = []
    left_out: list[LeftOut] = []
    placed: list[tuple[Event, str]] = []
    shared: list[str] = []
    for event in sorted(events, key=lambda event: (event.time, event.id)):
        try:
            require_showable(event)
            split = _split_of(event, selection)
        except Unusable as problem:
            left_out.append(LeftOut(event.id, problem.reason, problem.detail))
            continue
        twin = _same_earthquake(event, placed)
        if twin is None:
            splits[split].append(event)
            placed.append((event, split))
        elif twin[1] == split:
            left_out.append(LeftOut(event.id, "same earthquake as another entry", twin[0].id))
        else:
            shared.append(f"{twin[0].id} ({twin[1]}) and {event.id} ({split})")
    if shared:
        rest = f", and {len(shared) - NAMED} more" if len(shared) > NAMED else ""
        raise ValueError(
            f"splits share earthquakes: {', '.join(shared[:NAMED])}{rest} are within {SAME_EARTHQUAKE_S:g} s and "
            f"{SAME_EARTHQUAKE_KM:g} km of each other; expected each in one split: move the bounds of the splits"
        )
    return {
        name: sorted(listed, key=lambda event: digest(event.id)) for name, listed in splits.items()
    }, tuple(left_out)


def require_showable(event: Event) -> None:
    """Raise :class:`Unusable` where a card cannot show the event: no such class, or off the map."""
    for name, classified, value in (
        ("magnitude", magnitude_class, event.magnitude),
        ("depth", depth_class, event.depth_km),
    ):
        try:
            classified(value)
        except ValueError as problem:
            raise Unusable(f"{name} out of range", str(problem)) from None
    require_on_map(event.latitude_deg, event.longitude_deg)


def require_on_map(latitude_deg: float, longitude_deg: float) -> None:
    """Raise :class:`Unusable` for a place that the card's map does not show."""
    if not (abs(latitude_deg) < WORLD.north and -180.0 <= longitude_deg <= 180.0):
        raise Unusable("off the map", f"latitude {latitude_deg:g}, longitude {longitude_deg:g}")


def locate_station(event: Event, latitude_deg: float, longitude_deg: float) -> Earthquake:
    """The event with a station. Raises :class:`Unusable` for one off the map, too near or too far."""
    require_on_map(latitude_deg, longitude_deg)
    place = (event.latitude_deg, event.longitude_deg)
    try:
        earthquake = locate(*place, event.depth_km, event.magnitude, latitude_deg, longitude_deg)
    except ValueError as problem:
        raise Unusable("distance out of range", str(problem)) from None
    if not MINIMUM_DISTANCE_DEG <= earthquake.distance_deg <= MAXIMUM_DISTANCE_DEG:
        raise Unusable("distance out of range", f"{earthquake.distance_deg:.1f} degrees")
    return earthquake


def station_draw_deg(event: Event) -> float:
    """The distance at which a station is looked for first: uniform over a card's range, fixed by the event's id."""
    return float(generator("station", event.id).uniform(MINIMUM_DISTANCE_DEG, MAXIMUM_DISTANCE_DEG))


class Quota:
    """Counts cards of each magnitude and depth class in a split, up to `most_per_class`."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken: Counter[tuple[str, str, str]] = Counter()

    def require_room(self, split: str, event: Event) -> None:
        """Raise :class:`Unusable` where the event's class is full in its split."""
        if self._most is not None and self._taken[self._key(split, event)] >= self._most:
            raise Unusable("class is full", " ".join(self._key(split, event)))

    def take(self, split: str, event: Event) -> None:
        """Count the event."""
        self._taken[self._key(split, event)] += 1

    def _key(self, split: str, event: Event) -> tuple[str, str, str]:
        return split, magnitude_class(event.magnitude), depth_class(event.depth_km)


def event_facts(event: Event) -> dict[str, Any]:
    """The event as plain values, for the list of events beside the records."""
    return asdict(event) | {"time": str(event.time)}


def _split_of(event: Event, selection: Selection) -> str:
    inside = [name for name, window in selection.splits.items() if window.begins <= event.time < window.ends]
    if not inside:
        raise Unusable("in no split's span", str(event.time))
    region = region_name(event.latitude_deg, event.longitude_deg)
    return HELD_OUT if region in selection.held_out_regions else inside[0]


def _same_earthquake(event: Event, placed: Sequence[tuple[Event, str]]) -> tuple[Event, str] | None:
    """The earlier entry of this earthquake, if there is one; `placed` is sorted by time."""
    for other, split in reversed(placed):
        if event.time - other.time > SAME_EARTHQUAKE_S:
            return None
        metres, _, _ = gps2dist_azimuth(
            event.latitude_deg, event.longitude_deg, other.latitude_deg, other.longitude_deg
        )
        if event.id == other.id or metres <= 1000.0 * SAME_EARTHQUAKE_KM:
            return other, split
    return None


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return (
        isinstance(value, int | float | np.number)
        and not isinstance(value, bool)
        and bool(np.isfinite(value))
    )
