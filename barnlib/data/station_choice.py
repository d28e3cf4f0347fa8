"""Which stations could show an earthquake on a card, and in which order they are asked.

In:  an event, the stations and channels that a data centre knows, and what is wanted of them. Out: sensors, each with
     the earthquake as that station sees it. Next: :mod:`barnlib.data.fdsn` asks them for waveforms.

As on the made cards, the station is the one whose distance is nearest to a uniform draw, so that distances, and with
them the times of P, spread over the whole range; the others follow in the order of that nearness.
"""

from dataclasses import dataclass

from obspy import Inventory, UTCDateTime
from obspy.core.inventory import Station

from barnlib.data.earthquakes import Earthquake
from barnlib.data.event_splits import Event, Unusable, locate_station, station_draw_deg
from barnlib.data.fdsn_request import StationRequest
from barnlib.data.ground_motion import window

# The third letters of channels that make a set, by what `components` asks for; the first complete set is taken.
ORIENTATIONS = {"ZNE": ("ZNE", "Z12", "123"), "Z": ("Z",)}


@dataclass(frozen=True)
class Site:
    """One sensor at a station, and the channels of it that are asked for."""

    network: str
    station: str
    location: str
    channels: tuple[str, ...]
    latitude_deg: float
    longitude_deg: float

    @property
    def name(self) -> str:
        return f"{self.network}.{self.station}"


def sites(event: Event, network: Inventory, wanted: StationRequest) -> list[tuple[Site, Earthquake]]:
    """One sensor of each station that recorded at the event's time within a card's range, in the order to ask."""
    draw_deg = station_draw_deg(event)
    found: dict[str, tuple[Site, Earthquake]] = {}
    for net in network:
        for station in net:  # a station that was rebuilt is listed once for each of its times
            site = _site(net.code, station, event.time, wanted)
            if site is None or site.name in wanted.leave_out or site.name in found:
                continue
            try:
                found[site.name] = (site, locate_station(event, site.latitude_deg, site.longitude_deg))
            except Unusable:
                continue
    return sorted(found.values(), key=lambda pair: (abs(pair[1].distance_deg - draw_deg), pair[0].name))


def _site(network: str, station: Station, time: UTCDateTime, wanted: StationRequest) -> Site | None:
    """The sensor of a station that comes first by band, then by location, and has all components at that time."""
    start, end = window(time)
    channels: dict[tuple[str, str], set[str]] = {}
    for channel in station:
        opened, closed = channel.start_date, channel.end_date
        if (opened is None or opened <= start) and (closed is None or end <= closed):
            channels.setdefault((channel.code[:2], channel.location_code), set()).add(channel.code[2:])
    for band in wanted.bands:
        for location in wanted.locations:
            for letters in ORIENTATIONS[wanted.components]:
                if set(letters) <= channels.get((band, location), set()):
                    codes = tuple(band + letter for letter in letters)
                    return Site(network, station.code, location, codes, station.latitude, station.longitude)
    return None
