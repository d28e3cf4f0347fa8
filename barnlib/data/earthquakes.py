"""Earthquakes and the stations that record them: where, how deep, how strong, and when P and S arrive.

In: a random generator. Out: `Earthquake`, the truth behind one event card. Next: `seismograms` makes the
ground motion that the station records, `cards` draws both, `descriptions` puts them into words.

Region names are those of the Flinn-Engdahl scheme and travel times those of the iasp91 Earth model, both
from ObsPy (Young et al. 1996; Kennett & Engdahl 1991). Regions are drawn uniformly, and magnitude class and
depth class uniformly and independently of each other and of the region. Nature does neither: almost all of
its earthquakes are light and shallow, and deep ones occur only in subduction zones. The study needs all
classes equally often, so that a guess from habit is worth nothing, and a depth that cannot be guessed from
the place.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from obspy.geodetics import FlinnEngdahl, gps2dist_azimuth, kilometers2degrees

from barnlib.data.travel_times import travel_times

MAGNITUDE_CLASSES = ("light", "moderate", "strong", "major")
DEPTH_CLASSES = ("shallow", "intermediate", "deep")
MINIMUM_DISTANCE_DEG, MAXIMUM_DISTANCE_DEG = 10.0, 90.0

HELD_OUT_REGIONS = (
    "Andreanof Islands, Aleutian Is.",
    "Crete, Greece",
    "Lake Tanganyika Region",
    "Mariana Islands Region",
    "Near Coast Of Northern Chile",
    "Nepal",
    "Vanuatu Islands",
    "Windward Islands",
)
REGIONS = (
    "Azores Islands Region",
    "Banda Sea",
    "Carlsberg Ridge",
    "Central California",
    "Central Italy",
    "Central Mid-Atlantic Ridge",
    "Costa Rica",
    "Easter Island Region",
    "Eastern Honshu, Japan",
    "Ethiopia",
    "Fox Islands, Aleutian Islands",
    "Galapagos Islands Region",
    "Gulf Of California",
    "Hawaii",
    "Hindu Kush Region, Afghanistan",
    "Iceland Region",
    "Java, Indonesia",
    "Kamchatka Peninsula, Russia",
    "Kermadec Islands Region",
    "Kuril Islands",
    "Lake Baykal Region, Russia",
    "Mindanao, Philippines",
    "Near Coast Of Ecuador",
    "Northern Sumatra, Indonesia",
    "Peru-Brazil Border Region",
    "Solomon Islands",
    "South Island, New Zealand",
    "South Sandwich Islands Region",
    "Southern Alaska",
    "Southern Iran",
    "Taiwan Region",
    "Turkey",
    *HELD_OUT_REGIONS,
)

# Stations of the Global Seismographic Network and others like them: latitude and longitude to 0.1 degrees.
STATIONS: dict[str, tuple[float, float]] = {
    "AAK": (42.6, 74.5),
    "ABPO": (-19.0, 47.2),
    "ADK": (51.9, -176.7),
    "AFI": (-13.9, -171.8),
    "ANMO": (34.9, -106.5),
    "ASCN": (-7.9, -14.4),
    "BORG": (64.7, -21.3),
    "CASY": (-66.3, 110.5),
    "CHTO": (18.8, 98.9),
    "COLA": (64.9, -147.9),
    "CTAO": (-20.1, 146.3),
    "DGAR": (-7.4, 72.5),
    "FFC": (54.7, -102.0),
    "FURI": (8.9, 38.7),
    "GUMO": (13.6, 144.9),
    "HOPE": (-54.3, -36.5),
    "HRV": (42.5, -71.6),
    "KEV": (69.8, 27.0),
    "KIP": (21.4, -158.0),
    "LSZ": (-15.3, 28.2),
    "LVC": (-22.6, -68.9),
    "MACI": (28.3, -16.5),
    "MAJO": (36.5, 138.2),
    "NWAO": (-32.9, 117.2),
    "PET": (53.0, 158.7),
    "PLCA": (-40.7, -70.6),
    "PMSA": (-64.8, -64.0),
    "PTCN": (-25.1, -130.1),
    "RAYN": (23.5, 45.5),
    "SDV": (8.9, -70.6),
    "SNZO": (-41.3, 174.7),
    "SPB": (-23.6, -47.4),
    "SUR": (-32.4, 20.8),
    "TARA": (1.4, 172.9),
    "TEIG": (20.2, -88.3),
    "TLY": (51.7, 103.6),
}


@dataclass(frozen=True)
class Earthquake:
    """One earthquake and the station that records it. Degrees north and east; times are seconds after origin.

    `region` is the Flinn-Engdahl name in title case. `distance_deg` is the arc from epicentre to station,
    and `back_azimuth_deg` (0 to 360, clockwise from north) the direction at the station in which the
    epicentre lies. `p_time_s` and `s_time_s` are the first arrivals of P (p, P) and S (s, S); core phases
    such as SKS, which runs ahead of S beyond 83 degrees, are not considered.
    """

    latitude_deg: float
    longitude_deg: float
    depth_km: float
    magnitude: float
    station_latitude_deg: float
    station_longitude_deg: float
    region: str
    distance_deg: float
    back_azimuth_deg: float
    p_time_s: float
    s_time_s: float


def magnitude_class(magnitude: float) -> str:
    """Light from 4, moderate from 5, strong from 6, major from 7 on. ValueError outside 4 to 10."""
    if not 4.0 <= magnitude < 10.0:
        raise ValueError(f"magnitude {magnitude}: classes are defined from 4.0 up to, not including, 10.0")
    return MAGNITUDE_CLASSES[min(int(magnitude) - 4, 3)]


def depth_class(depth_km: float) -> str:
    """Shallow below 70 km, intermediate from 70 km, deep from 300 km on. ValueError outside 0 to 700 km."""
    if not 0.0 <= depth_km <= 700.0:
        raise ValueError(f"depth {depth_km} km: earthquakes lie between 0 and 700 km (QuakeML gives metres)")
    return DEPTH_CLASSES[int(depth_km >= 70.0) + int(depth_km >= 300.0)]


def region_name(latitude_deg: float, longitude_deg: float) -> str:
    """The Flinn-Engdahl region, title case, as ObsPy names it. ValueError for a place that is not on the
    globe."""
    if not (-90.0 <= latitude_deg <= 90.0 and -180.0 <= longitude_deg <= 180.0):
        raise ValueError(
            f"latitude {latitude_deg}, longitude {longitude_deg}: expected -90 to 90 and -180 to 180 degrees"
        )
    return _flinn_engdahl().get_region(longitude_deg, latitude_deg).title()


@lru_cache(maxsize=1)
def region_names() -> tuple[str, ...]:
    """Every Flinn-Engdahl region, as :func:`region_name` names it: a recorded earthquake may lie in any."""
    return tuple(dict.fromkeys(name.title() for name in _flinn_engdahl().names))


@lru_cache(maxsize=1)
def _flinn_engdahl() -> FlinnEngdahl:
    return FlinnEngdahl()


@lru_cache(maxsize=1)
def _region_cells() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each region, south-west corners of its 1-degree cells, int[n, 2], and their share of its area,
    float[n]."""
    corners: dict[str, list[tuple[int, int]]] = {name: [] for name in REGIONS}
    for latitude in range(-85, 85):
        for longitude in range(-180, 180):
            name = region_name(latitude + 0.5, longitude + 0.5)
            if name in corners:
                corners[name].append((latitude, longitude))
    cells = {}
    for name, listed in corners.items():
        array = np.array(listed)
        area = np.cos(np.radians(array[:, 0] + 0.5))
        cells[name] = (array, area / area.sum())
    return cells


def locate(
    latitude_deg: float,
    longitude_deg: float,
    depth_km: float,
    magnitude: float,
    station_latitude_deg: float,
    station_longitude_deg: float,
) -> Earthquake:
    """Complete an earthquake: region, distance, back-azimuth (on the WGS84 ellipsoid) and arrival times.

    Distances in kilometres become degrees of a sphere (111.19 km each), as travel-time tables expect.
    ValueError where a place, the depth, the magnitude or the distance is out of range.
    """
    magnitude_class(magnitude), depth_class(depth_km)
    region = region_name(latitude_deg, longitude_deg)
    metres, _, back_azimuth = gps2dist_azimuth(
        latitude_deg, longitude_deg, station_latitude_deg, station_longitude_deg
    )
    distance_deg = float(kilometers2degrees(metres / 1000.0))
    p_time_s, s_time_s = travel_times().arrivals(distance_deg, depth_km)
    return Earthquake(
        latitude_deg=latitude_deg,
        longitude_deg=longitude_deg,
        depth_km=depth_km,
        magnitude=magnitude,
        station_latitude_deg=station_latitude_deg,
        station_longitude_deg=station_longitude_deg,
        region=region,
        distance_deg=distance_deg,
        back_azimuth_deg=float(back_azimuth) % 360.0,
        p_time_s=p_time_s,
        s_time_s=s_time_s,
    )


def sample_earthquake(rng: np.random.Generator, *, held_out: bool = False) -> Earthquake:
    """Draw an earthquake: region, epicentre in it, magnitude, depth and station, in this order.

    The epicentre is uniform over the region's area and given to 0.01 degrees, the magnitude to 0.1 within a
    uniform class, the depth to 1 km within a uniform class (5 to 650 km). The station is the one whose
    distance is nearest to a uniform draw, so that distances (and with them P times) spread over the whole
    range from 10 to 90 degrees. `held_out` draws from `HELD_OUT_REGIONS`, otherwise from the other regions.
    """
    names = HELD_OUT_REGIONS if held_out else REGIONS[: -len(HELD_OUT_REGIONS)]
    region = names[rng.integers(len(names))]
    latitude, longitude = _sample_epicentre(rng, region)
    magnitude = (40 + 10 * int(rng.integers(len(MAGNITUDE_CLASSES))) + int(rng.integers(10))) / 10
    shallowest, deepest = ((5, 70), (70, 300), (300, 651))[rng.integers(len(DEPTH_CLASSES))]
    depth_km = float(rng.integers(shallowest, deepest))
    station = _sample_station(rng, latitude, longitude)
    return locate(latitude, longitude, depth_km, magnitude, *station)


def _sample_epicentre(rng: np.random.Generator, region: str) -> tuple[float, float]:
    corners, share = _region_cells()[region]
    while True:
        corner = corners[rng.choice(len(corners), p=share)]
        latitude, longitude = (round(float(value), 2) for value in corner + rng.random(2))
        if region_name(latitude, min(longitude, 180.0)) == region:  # rounding may cross into the neighbour
            return latitude, min(longitude, 180.0)


def _sample_station(
    rng: np.random.Generator, latitude_deg: float, longitude_deg: float
) -> tuple[float, float]:
    """The station whose distance is nearest to a uniform draw; 0.5 degrees inside the limits, as this is a
    sphere."""
    sites = np.radians(list(STATIONS.values()))
    latitude, longitude = np.radians((latitude_deg, longitude_deg))
    cosine = np.sin(latitude) * np.sin(sites[:, 0]) + np.cos(latitude) * np.cos(sites[:, 0]) * np.cos(
        sites[:, 1] - longitude
    )
    distances = np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0)))
    low, high = MINIMUM_DISTANCE_DEG + 0.5, MAXIMUM_DISTANCE_DEG - 0.5
    distances[(distances < low) | (distances > high)] = np.inf
    nearest = int(np.abs(distances - rng.uniform(low, high)).argmin())
    return list(STATIONS.values())[nearest]


def earthquake_facts(earthquake: Earthquake) -> dict[str, float | str]:
    """The fields as plain values for a record; `Earthquake(**facts)` gives the earthquake back."""
    return asdict(earthquake)
