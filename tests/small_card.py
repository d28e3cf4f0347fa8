"""The facts of one event card, for the tasks that ask about it."""

from dataclasses import asdict

from barnlib.data.earthquakes import Earthquake

FACTS = asdict(
    Earthquake(
        latitude_deg=28.23,
        longitude_deg=84.73,
        depth_km=82.0,
        magnitude=7.8,
        station_latitude_deg=34.95,
        station_longitude_deg=-106.46,
        region="Nepal",
        distance_deg=61.6,
        back_azimuth_deg=12.0,
        p_time_s=612.4,
        s_time_s=1117.0,
    )
)
