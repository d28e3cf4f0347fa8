"""What ``earthquakes.yaml`` asks for: which earthquakes, which stations, from which data centres.

In:  the file, read by :mod:`barnlib.strict`. Out: :class:`Request`. Next: :mod:`barnlib.data.fdsn` fetches it.
"""

from typing import Annotated, Literal, Self

from obspy import UTCDateTime
from pydantic import Field, model_validator

from barnlib.data.event_splits import Selection, Text
from barnlib.data.quakeml import DepthUnit
from barnlib.strict import Count, Strict

Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9*?-]{1,8}$")]


class EventRequest(Strict):
    """Which earthquakes to ask for. `depth_unit` is what the data centre writes; QuakeML asks for metres."""

    data_centre: Text
    min_magnitude: Annotated[float, Field(ge=4, lt=10)]
    max_magnitude: Annotated[float, Field(ge=4, lt=10)] | None = None
    depth_unit: DepthUnit = "m"

    @model_validator(mode="after")
    def _leave_a_range(self) -> Self:
        if self.max_magnitude is not None and self.max_magnitude < self.min_magnitude:
            raise ValueError(
                f"max_magnitude {self.max_magnitude} is below min_magnitude {self.min_magnitude}; expected a range"
            )
        return self


class StationRequest(Strict):
    """Which stations to take; locations ("" for none) and bands (first two letters of a channel) by preference.

    `components` "Z" takes a vertical channel alone and leaves the card's other traces empty. `tries` is how many
    stations are asked for one event. `leave_out` names stations as NETWORK.STATION.
    """

    data_centre: Text
    networks: Annotated[tuple[Code, ...], Field(min_length=1)]
    stations: Annotated[tuple[Code, ...], Field(min_length=1)] = ("*",)
    locations: Annotated[tuple[str, ...], Field(min_length=1)] = ("00", "10", "")
    bands: Annotated[tuple[Annotated[str, Field(pattern="^[A-Z]{2}$")], ...], Field(min_length=1)] = (
        "BH",
        "HH",
    )
    components: Literal["ZNE", "Z"] = "ZNE"
    tries: Count = 3
    leave_out: tuple[str, ...] = ()


class Request(Selection):
    """The content of ``earthquakes.yaml``. `contact` goes with every request, so that a data centre can write back."""

    contact: str = ""
    pause_s: Annotated[float, Field(ge=0)] = 1.0
    events: EventRequest
    stations: StationRequest

    @property
    def begins(self) -> UTCDateTime:
        """The start of the first split."""
        return min(span.begins for span in self.splits.values())

    @property
    def ends(self) -> UTCDateTime:
        """The end of the last split."""
        return max(span.ends for span in self.splits.values())
