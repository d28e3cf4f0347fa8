"""The texts of the seismic tasks: questions, descriptions, coordinates and alignment captions.

In:  an `Earthquake` (earthquakes.py) and a random generator.
Out: questions, reference answers and captions, which build.py puts into items and pictures and corpus.py into
     the text of the nano backbones. answers.py reads facts and coordinates back from any text.

The texts are made to be learnable by a model of a million parameters: a small closed vocabulary, one number
format for each fact, and a unit word after every number of a description. Variety lies in the order of
sentences and in their wording.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from barnlib.data.earthquakes import Earthquake, depth_class, magnitude_class

FACTS = ("magnitude_class", "depth_class", "region", "distance_deg", "p_time_s", "s_minus_p_s")

DESCRIPTION_QUESTIONS = (
    "Describe this earthquake.",
    "What does the card show?",
    "Describe the earthquake and its recording.",
    "What earthquake was recorded here?",
    "Summarise this event card.",
)
COORDINATE_QUESTIONS = (
    "Where is the epicentre? Answer with latitude and longitude as JSON.",
    "Give the coordinates of the epicentre as JSON.",
    "At which latitude and longitude did the earthquake happen? Answer as JSON.",
    "Locate the epicentre. Answer as JSON.",
)

# A description is one sentence of each group, in any order: 6 x 4 x 5 wordings in 6 orders.
SOURCE_SENTENCES = (
    "This is a {magnitude_class} {depth_class} earthquake in the region {region}.",
    "A {magnitude_class} earthquake of {depth_class} depth struck the region {region}.",
    "The map marks a {magnitude_class} {depth_class} earthquake, region {region}.",
    "The region is {region}, where a {magnitude_class} {depth_class} earthquake struck.",
    "In the region {region} there was a {depth_class} earthquake of {magnitude_class} size.",
    "The epicentre of this {magnitude_class} {depth_class} earthquake lies in the region {region}.",
)
DISTANCE_SENTENCES = (
    "The station lies {distance_deg} degrees away from the epicentre.",
    "The distance from epicentre to station is {distance_deg} degrees.",
    "The recording station is {distance_deg} degrees away.",
    "Between station and epicentre there are {distance_deg} degrees.",
)
TIME_SENTENCES = (
    "The P wave arrives at {p_time_s} seconds and the S wave follows {s_minus_p_s} seconds later.",
    "P arrives at {p_time_s} seconds, and S comes {s_minus_p_s} seconds after P.",
    "The S minus P time is {s_minus_p_s} seconds, and the P wave arrives at {p_time_s} seconds.",
    "The P wave is seen at {p_time_s} seconds, with S minus P at {s_minus_p_s} seconds.",
    "S follows P by {s_minus_p_s} seconds, and P arrives at {p_time_s} seconds.",
)

CAPTION_PLACES = (
    "The epicentre lies in the {north_south} and the {east_west}, at the {position}.",
    "On the map the epicentre is {north_south} and {east_west}, at the {position}.",
    "The marker is in the {position} of the map, {north_south} and {east_west}.",
)
CAPTION_COORDINATES = (
    "Region {region}, latitude {latitude}, longitude {longitude}.",
    "Epicentre at latitude {latitude}, longitude {longitude}, region {region}.",
)
CAPTION_STATIONS = (
    "A {magnitude_class} {depth_class} earthquake, station at latitude {station_latitude}, "
    "longitude {station_longitude}.",
    "This {magnitude_class} {depth_class} earthquake was recorded {distance_deg} degrees away.",
)
CAPTION_TIMES = (
    "P at {p_time_s} seconds, S {s_minus_p_s} seconds later.",
    "P arrives at {p_time_s} seconds, S {s_minus_p_s} seconds later.",
)
NORTH_SOUTH = ("far north", "north", "middle", "south", "far south")  # bands at 40, 15, -15, -40 degrees
POSITIONS = (
    ("top left", "top", "top right"),
    ("left", "centre", "right"),
    ("bottom left", "bottom", "bottom right"),
)
EAST_WEST = ("far west", "west", "middle", "east", "far east")  # fifths of the map, from 30 W eastward


def description_facts(earthquake: Earthquake) -> dict[str, Any]:
    """The facts that a description states, rounded as it states them.

    Returns:
        magnitude_class, depth_class, region (strings), distance_deg (whole degrees), p_time_s (after origin)
        and s_minus_p_s (both to 10 s).
    """
    return {
        "magnitude_class": magnitude_class(earthquake.magnitude),
        "depth_class": depth_class(earthquake.depth_km),
        "region": earthquake.region,
        "distance_deg": round(earthquake.distance_deg),
        "p_time_s": _to_ten(earthquake.p_time_s),
        "s_minus_p_s": _to_ten(earthquake.s_time_s - earthquake.p_time_s),
    }


def write_description(facts: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Three sentences, 25 to 45 words in all, that state each of `FACTS` once, in random wording and order.

    Raises:
        ValueError: a fact is missing.
    """
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise ValueError(f"a description needs the facts {', '.join(FACTS)}; missing: {', '.join(missing)}")
    sentences = [_pick(group, rng) for group in (SOURCE_SENTENCES, DISTANCE_SENTENCES, TIME_SENTENCES)]
    return filled(" ".join(sentences[i] for i in rng.permutation(len(sentences))), facts)


def filled(wording: str, facts: Mapping[str, Any]) -> str:
    """A wording with its facts, as one writes it: one full stop after `Aleutian Is.`, `an` before a vowel."""
    text = wording.format(**facts)
    return text.replace("..", ".").replace(" a intermediate", " an intermediate")


def description_questions(rng: np.random.Generator) -> str:
    """One of the wordings that ask for a description."""
    return _pick(DESCRIPTION_QUESTIONS, rng)


def coordinate_questions(rng: np.random.Generator) -> str:
    """One of the wordings that ask for the epicentre's coordinates."""
    return _pick(COORDINATE_QUESTIONS, rng)


def write_coordinates(latitude_deg: float, longitude_deg: float) -> str:
    """`{"latitude": -12.4, "longitude": 143.9}`: one decimal, the longitude brought into -180 to 180.

    Raises:
        ValueError: the latitude is not in -90 to 90, or one of the two is not finite.
    """
    return f'{{"latitude": {_latitude_text(latitude_deg)}, "longitude": {_longitude_text(longitude_deg)}}}'


def card_caption(earthquake: Earthquake, rng: np.random.Generator) -> str:
    """The dense caption of a card for the alignment stage, 35 to 46 words with the regions of `earthquakes.REGIONS`.

    First where the marker is in coarse words, then region and coordinates, magnitude and depth class with the
    station (its coordinates or its distance), and the times of P and of S after P.
    """
    longitude_deg = earthquake.longitude_deg
    groups = (CAPTION_PLACES, CAPTION_COORDINATES, CAPTION_STATIONS, CAPTION_TIMES)
    facts = {
        **description_facts(earthquake),
        **coarse_place(earthquake.latitude_deg, longitude_deg),
        "latitude": _latitude_text(earthquake.latitude_deg),
        "longitude": _longitude_text(longitude_deg),
        "station_latitude": _latitude_text(earthquake.station_latitude_deg),
        "station_longitude": _longitude_text(earthquake.station_longitude_deg),
    }
    return filled(" ".join(_pick(group, rng) for group in groups), facts)


def coarse_place(latitude_deg: float, longitude_deg: float) -> dict[str, str]:
    """Where a point lies on the card's map (30 W to 330 E by 85 N to 85 S), in words.

    Returns:
        north_south (one of `NORTH_SOUTH`), east_west (one of `EAST_WEST`, as seen on the map, whose left edge
        is at 30 W) and position, the name of a ninth of the map.
    """
    across = ((longitude_deg + 30) % 360) / 360
    down = min(max((85 - latitude_deg) / 170, 0.0), 1.0)
    row, column = min(int(down * 3), 2), min(int(across * 3), 2)
    return {
        "north_south": NORTH_SOUTH[sum(latitude_deg < edge for edge in (40, 15, -15, -40))],
        "east_west": EAST_WEST[min(int(across * 5), 4)],
        "position": POSITIONS[row][column],
    }


def _pick(wordings: Sequence[str], rng: np.random.Generator) -> str:
    return wordings[int(rng.integers(len(wordings)))]


def _to_ten(seconds: float) -> int:
    return 10 * round(seconds / 10)


def _latitude_text(latitude_deg: float) -> str:
    if not -90 <= latitude_deg <= 90:
        raise ValueError(f"a latitude must lie in -90 to 90 degrees, not {latitude_deg!r}")
    return f"{round(latitude_deg, 1) + 0.0:.1f}"  # + 0.0 turns -0.0 into 0.0


def _longitude_text(longitude_deg: float) -> str:
    if not np.isfinite(longitude_deg):
        raise ValueError(f"a longitude must be a finite number of degrees, not {longitude_deg!r}")
    inside = longitude_deg if -180 <= longitude_deg <= 180 else (longitude_deg + 180) % 360 - 180
    return f"{round(inside, 1) + 0.0:.1f}"
