"""Which sensor of which station is asked, and in which order."""

import pytest
from obspy import Inventory, UTCDateTime
from obspy.core.inventory import Channel, Network, Station

from barnlib.data import station_choice
from barnlib.data.event_splits import Event
from barnlib.data.fdsn_request import StationRequest
from barnlib.data.station_choice import sites

EVENT = Event("e", UTCDateTime("2011-03-05T10:00:00"), 0.0, 0.0, 10.0, 6.0, "mww")


def station(code, longitude, *channels, latitude=0.0, opened="2000-01-01", closed=None) -> Station:
    """Channels as LOCATION.CODE."""
    made = [
        Channel(
            name,
            location,
            latitude=latitude,
            longitude=longitude,
            elevation=0.0,
            depth=0.0,
            start_date=UTCDateTime(opened),
            end_date=closed and UTCDateTime(closed),
        )
        for location, name in (channel.split(".") for channel in channels)
    ]
    return Station(code, latitude, longitude, 0.0, channels=made)


def found(*stations, draw_deg=50.0, **wanted):
    request = StationRequest(data_centre="x", networks=("IU",), **wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(station_choice, "station_draw_deg", lambda event: draw_deg)
        return sites(EVENT, Inventory([Network("IU", list(stations))], source="tests"), request)


ZNE = ("00.BHZ", "00.BHN", "00.BHE")


def test_the_nearest_to_the_draw_comes_first():
    stations = [station(f"S{degrees}", float(degrees), *ZNE) for degrees in (20, 40, 60, 80)]
    assert [site.station for site, _ in found(*stations, draw_deg=62.0)] == ["S60", "S80", "S40", "S20"]
    assert [round(quake.distance_deg) for _, quake in found(*stations, draw_deg=10.0)] == [20, 40, 60, 80]


def test_too_near_too_far_and_off_the_map_are_not_asked():
    stations = [
        station("NEAR", 9.0, *ZNE),
        station("FAR", 91.5, *ZNE),
        station("POLE", 0.0, *ZNE, latitude=-89.9),
    ]
    assert not found(*stations)


def test_band_and_location_by_preference_and_only_whole_sets():
    both = station("BOTH", 50.0, "10.BHZ", "10.BH1", "10.BH2", "00.HHZ", "00.HHN", "00.HHE", "00.BHZ")
    ((site, _),) = found(both)
    assert (site.location, site.channels, site.name) == ("10", ("BHZ", "BH1", "BH2"), "IU.BOTH")
    ((site, _),) = found(both, bands=("HH", "BH"))
    assert (site.location, site.channels) == ("00", ("HHZ", "HHN", "HHE"))
    ((site, _),) = found(both, components="Z")
    assert (site.location, site.channels) == ("00", ("BHZ",))
    assert not found(station("PART", 50.0, "00.BHZ", "00.BHN"))
    assert not found(both, locations=("20",))


def test_a_station_must_record_at_the_time_and_is_listed_once():
    assert not found(station("LATE", 50.0, *ZNE, opened="2011-03-06"))
    assert not found(station("GONE", 50.0, *ZNE, closed="2011-03-05T10:10:00"))
    rebuilt = (station("R", 50.0, *ZNE, closed="2005-01-01"), station("R", 50.1, *ZNE, opened="2005-01-01"))
    ((site, _),) = found(*rebuilt)
    assert site.longitude_deg == 50.1
    twice = (station("R", 50.0, *ZNE), station("R", 50.0, *ZNE))
    assert len(found(*twice)) == 1


def test_stations_can_be_left_out():
    stations = (station("A", 40.0, *ZNE), station("B", 50.0, *ZNE))
    assert [site.station for site, _ in found(*stations, leave_out=("IU.B",))] == ["A"]
