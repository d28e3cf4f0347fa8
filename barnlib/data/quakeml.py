"""Events of a QuakeML catalogue, with their depths in kilometres.

In:  the catalogue that ObsPy's FDSN client returns. Out: :class:`~barnlib.data.event_splits.Event`s, and a reason for
     each entry that lacks something. Next: :func:`~barnlib.data.event_splits.assign`.

QuakeML 1.2 gives an origin's depth in metres. Not every data centre did: the answer about the Tohoku earthquake that
ObsPy keeps among its own test files says 29.0 and means kilometres. Read as metres, every earthquake of such an answer
would be called shallow, and nothing would look wrong; so the depths of an answer are looked at together.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from obspy import Catalog

from barnlib.data.event_splits import Event, LeftOut, Unusable, is_number

DepthUnit = Literal["m", "km"]
SHALLOWEST_M = 1000.0  # a depth that is not 0 and yet less is no earthquake's of magnitude 4: a unit is wrong
DEEPEST_KM = 750.0  # the deepest known earthquake lies at about 735 km


def read_catalogue(catalog: Catalog, unit: DepthUnit) -> tuple[tuple[Event, ...], tuple[LeftOut, ...]]:
    """The events of a catalogue: preferred origin and magnitude, or the first where none is preferred.

    Args:
        unit: of depth; "m" as the schema has it, "km" for a data centre that departs from it.

    Raises:
        ValueError: the depths as a whole do not look like that unit; says what to write instead.
    """
    origins = [event.preferred_origin() or next(iter(event.origins), None) for event in catalog]
    require_plausible([o.depth for o in origins if o is not None and is_number(o.depth)], unit)
    events, left_out = [], []
    for number, (entry, origin) in enumerate(zip(catalog, origins, strict=True)):
        name = str(entry.resource_id.id) if entry.resource_id else f"entry {number}"
        try:
            events.append(_event(name, entry, origin, unit))
        except Unusable as problem:
            left_out.append(LeftOut(name, problem.reason, problem.detail))
    return tuple(events), tuple(left_out)


def require_plausible(stated: Sequence[float], unit: DepthUnit) -> None:
    """Refuse depths that as a whole fit the other unit better. 0 is left aside: explosions are put there.

    Raises:
        ValueError: the median is shallower than 1 km in metres, or deeper than any earthquake in kilometres.
    """
    depths = [depth for depth in stated if depth != 0]
    if not depths:
        return
    median = float(np.median(depths))
    span = f"the catalogue's depths run from {min(depths):g} to {max(depths):g}, their median is {median:g}"
    if unit == "m" and 0 < median < SHALLOWEST_M:
        raise ValueError(
            f"{span}: in metres, as QuakeML has them, half of the earthquakes would be shallower than 1 km. This data "
            "centre seems to give kilometres; if so, write depth_unit: km"
        )
    if unit == "km" and median > DEEPEST_KM:
        raise ValueError(
            f"{span}: in kilometres half of the earthquakes would be deeper than any known; expected depth_unit: m"
        )


def _event(name: str, entry, origin, unit: DepthUnit) -> Event:
    if origin is None or origin.time is None:
        raise Unusable("no origin", "no origin, or one without a time")
    if not (is_number(origin.latitude) and is_number(origin.longitude)):
        raise Unusable("no epicentre", f"latitude {origin.latitude}, longitude {origin.longitude}")
    if not is_number(origin.depth):
        raise Unusable("no depth", f"depth {origin.depth}")
    if unit == "m" and 0 < origin.depth < SHALLOWEST_M:
        raise Unusable("unit of depth in doubt", f"{origin.depth:g} m among depths that are metres")
    magnitude = entry.preferred_magnitude() or next(iter(entry.magnitudes), None)
    if magnitude is None or not is_number(magnitude.mag):
        raise Unusable("no magnitude", "no magnitude, or one without a value")
    return Event(
        id=name,
        time=origin.time,
        latitude_deg=float(origin.latitude),
        longitude_deg=float(origin.longitude),
        depth_km=float(origin.depth) / 1000.0 if unit == "m" else float(origin.depth),
        magnitude=float(magnitude.mag),
        magnitude_type=str(magnitude.magnitude_type or "not stated"),
    )
