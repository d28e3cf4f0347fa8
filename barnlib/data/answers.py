"""What an answer to a seismic task says: facts and coordinates read from any text, by rule.

In:  a string, a model's or a person's.
Out: facts as `description_facts` (descriptions.py) names them; coordinates, and how far up the ladder from
     text over JSON and schema to range an answer comes. scoring.py compares them with the truth.

Every value that a text states is found; a fact that is stated with two values is a contradiction, not a fact.
Nothing here raises on a string, whatever a model wrote.
"""

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from barnlib.data.descriptions import FACTS
from barnlib.data.earthquakes import (
    DEPTH_CLASSES,
    MAGNITUDE_CLASSES,
    REGIONS,
    depth_class,
    magnitude_class,
    region_names,
)

EARTH_RADIUS_KM = 6371.0

_NUMBER = r"(?<![\w.,−-])(?P<number>\d{1,3}(?:,\d{3})+(?:\.\d{1,6})?|\d{1,6}(?:\.\d{1,6})?)"
_DEGREES = re.compile(_NUMBER + r"\s*(?:°|degrees?\b|degs?\b)(?!\s*(?:[NSEW]\b|north|south|east|west))")
_SECONDS = re.compile(_NUMBER + r"\s*(?:seconds?|secs?|s)\b", re.IGNORECASE)
_NOT_A_DISTANCE = re.compile(r"(?:latitude|longitude|azimuth)\W*(?:\w+\W+){0,2}$", re.IGNORECASE)
_CLASS = (
    r"(?P<other>\b(?:not|neither|nor)\s+(?:an?\s+|very\s+)?|km\s+)?\b(?P<word>{words})\b"  # nor `30 km deep`
)
_MAGNITUDE_WORD = re.compile(_CLASS.format(words="|".join(MAGNITUDE_CLASSES)), re.IGNORECASE)
_DEPTH_WORD = re.compile(_CLASS.format(words="|".join(DEPTH_CLASSES)), re.IGNORECASE)
_MAGNITUDE_NUMBER = re.compile(
    r"\b(?:magnitude|M[wsb]?)\s*(?:of\s+|is\s+|=\s*)?(?P<number>\d(?:\.\d{1,3})?)(?![\d.]\d)"
)
_DEPTH_NUMBER = re.compile(
    r"\bdepth\W+(?:(?:of|is|was|at|about)\W+){0,2}(?P<number>\d{1,3}(?:\.\d{1,3})?)\s*km\b", re.IGNORECASE
)
_DEEP_NUMBER = re.compile(r"(?<![\w.,−-])(?P<number>\d{1,3}(?:\.\d{1,3})?)\s*km\s+deep\b", re.IGNORECASE)
_P = r"(?:\bP\b|\b[pP][ -]?waves?\b|\b[pP]rimary\b)"
_S = r"(?:(?<!['’])\bS\b|\b[sS][ -]?waves?\b|\b[sS]econdary\b)"
_WAVE = re.compile(rf"(?P<p>{_P})|(?P<s>{_S})")
_DIFFERENCE_BEFORE = re.compile(
    rf"(?:{_S}\s*(?:[-−–]|minus\b)\s*(?:the\s+)?{_P}|{_P}(?:\s+|-)(?:to|and)(?:\s+|-)(?:the\s+)?{_S}"
    rf"|\b[sS][-−–]?[pP]\s+(?:time|interval|difference|delay)\b|\bby\s*$)"
)
_DIFFERENCE_AFTER = re.compile(
    rf"^\s*(?:later\b|behind\b|after\s+(?:the\s+)?{_P}|before\s+(?:the\s+)?{_S}|after\s+it\b)"
)
_SENTENCE_END = re.compile(r"[.!?;](?=\s|$)|\n")


def extract_facts(text: str, regions: Sequence[str] = REGIONS) -> dict[str, Any]:
    """The facts that a text states once and without contradiction; what it does not state is absent.

    Never raises on a string. Classes are read as words or from a number (`magnitude 6.4`, `depth of 30 km`).

    Args:
        text: any string.
        regions: the region names to look for, as they are spelt in the facts (case is ignored).
    """
    return {name: values[0] for name, values in find_facts(text, regions).items() if len(values) == 1}


def stated_facts(reference: str) -> dict[str, Any]:
    """The six facts of a reference description, whose region may be any, as a recorded earthquake's may.

    Raises:
        ValueError: a text that does not state every fact once.
    """
    facts = extract_facts(reference, region_names())
    missing = [name for name in FACTS if name not in facts]
    if missing:
        raise ValueError(f"the reference {reference!r} does not state {', '.join(missing)}")
    return facts


def contradictions(text: str, regions: Sequence[str] = REGIONS) -> dict[str, tuple[Any, ...]]:
    """The facts that a text states with two values or more, and these values."""
    return {name: values for name, values in find_facts(text, regions).items() if len(values) > 1}


def find_facts(text: str, regions: Sequence[str] = REGIONS) -> dict[str, tuple[Any, ...]]:
    """Every different value that a text states, by fact, in the order in which the text states them."""
    times = _times(text)
    if not times["s_minus_p_s"] and len(set(times["p_time_s"])) == len(set(times["s_time_s"])) == 1:
        times["s_minus_p_s"] = [times["s_time_s"][0] - times["p_time_s"][0]]
    found: dict[str, list[Any]] = {
        "magnitude_class": [*_words(_MAGNITUDE_WORD, text), *_magnitude_numbers(text)],
        "depth_class": [*_words(_DEPTH_WORD, text), *_depth_numbers(text)],
        "region": _regions(text, tuple(regions)),
        "distance_deg": _distances(text),
        "p_time_s": times["p_time_s"],
        "s_minus_p_s": times["s_minus_p_s"],
    }
    return {name: tuple(dict.fromkeys(values)) for name, values in found.items() if values}


def _number(text: str) -> int | float:
    value = float(text.replace(",", ""))
    return int(value) if value.is_integer() else value


def _words(pattern: re.Pattern[str], text: str) -> list[str]:
    return [match["word"].lower() for match in pattern.finditer(text) if not match["other"]]


def _magnitude_numbers(text: str) -> list[str]:
    values = (float(match["number"]) for match in _MAGNITUDE_NUMBER.finditer(text))
    return [magnitude_class(value) for value in values if 4 <= value < 10]


def _depth_numbers(text: str) -> list[str]:
    matches = [*_DEPTH_NUMBER.finditer(text), *_DEEP_NUMBER.finditer(text)]
    return [depth_class(float(match["number"])) for match in matches if float(match["number"]) <= 700]


def _distances(text: str) -> list[int | float]:
    return [
        _number(match["number"])
        for match in _DEGREES.finditer(text)
        if not _NOT_A_DISTANCE.search(text[max(0, match.start() - 40) : match.start()])
    ]


@lru_cache(maxsize=64)
def _region_pattern(regions: tuple[str, ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern that prefers longer names (`South Of Fiji` to `Fiji`), and the spelling of each."""
    spelling = {name.lower().rstrip("."): name for name in regions}  # `Aleutian Is.` may lose its full stop
    ordered = sorted(spelling, key=len, reverse=True)
    joined = "|".join(r"\s+".join(re.escape(word) for word in name.split()) for name in ordered) or r"(?!)"
    return re.compile(rf"(?<!\w)(?:{joined})(?!\w)", re.IGNORECASE), spelling


def _regions(text: str, regions: tuple[str, ...]) -> list[str]:
    """Names in the text; `the Taiwan region` is `Taiwan` where both `Taiwan` and `Taiwan Region` exist."""
    pattern, spelling = _region_pattern(regions)
    found = []
    for match in pattern.finditer(text):
        name = " ".join(match[0].split())
        without = name.removesuffix(" region").lower()  # in lower case it may be the sentence's own word
        found.append(spelling.get(without, spelling[name.lower()]))
    return found


def _times(text: str) -> dict[str, list[int | float]]:
    times: dict[str, list[int | float]] = {"p_time_s": [], "s_time_s": [], "s_minus_p_s": []}
    for value, before, after in _seconds_in_context(text):
        kind = _kind_of_time(before, after)
        if kind:
            times[kind].append(value)
    return times


def _seconds_in_context(text: str) -> Iterator[tuple[int | float, str, str]]:
    """Every number of seconds with the words before and after it, up to the next one or the sentence end."""
    start = 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        sentence = text[start:end]
        start = end
        matches = list(_SECONDS.finditer(sentence))
        edges = [0, *(match.end() for match in matches)]
        following = [*(match.start() for match in matches[1:]), len(sentence)]
        for match, left, right in zip(matches, edges, following, strict=False):
            yield _number(match["number"]), sentence[left : match.start()], sentence[match.end() : right]


def _kind_of_time(before: str, after: str) -> str | None:
    differences = list(_DIFFERENCE_BEFORE.finditer(before))
    if differences and not _WAVE.search(before, differences[-1].end()):
        return "s_minus_p_s"
    if _DIFFERENCE_AFTER.search(after):
        return "s_minus_p_s"
    waves = list(_WAVE.finditer(before))[-1:] or list(_WAVE.finditer(after))[:1]
    if not waves:
        return None
    return "p_time_s" if waves[0]["p"] else "s_time_s"


def coordinate_stage(text: str) -> tuple[str, tuple[float, float] | None]:
    """How far up the ladder an answer comes, and the coordinates where it reaches the top.

    Returns:
        ("text", None) if the whole answer is not JSON, ("json", None) if it is JSON but not an object with
        just the numbers `latitude` and `longitude`, ("schema", None) if a number is out of range, otherwise
        ("range", (latitude_deg, longitude_deg)).
    """
    try:
        value = json.loads(text, object_pairs_hook=list, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return "text", None
    pairs = value if isinstance(value, list) and all(isinstance(pair, tuple) for pair in value) else []
    if sorted(name for name, _ in pairs) != ["latitude", "longitude"]:
        return "json", None
    numbers = dict(pairs)
    if not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in numbers.values()
    ):
        return "json", None
    latitude_deg, longitude_deg = numbers["latitude"], numbers["longitude"]
    if not (-90 <= latitude_deg <= 90 and -180 <= longitude_deg <= 180):
        return "schema", None
    return "range", (float(latitude_deg), float(longitude_deg))


def parse_coordinates(text: str) -> tuple[float, float] | None:
    """(latitude_deg, longitude_deg) if the whole text, but for white space, is the JSON object asked for.

    Exactly two members, numbers, latitude in -90 to 90, longitude in -180 to 180; None otherwise.
    """
    return coordinate_stage(text)[1]


_LOOSE_NUMBER = re.compile(
    r"(?<![\w.])(?P<number>[-+−]?\d{1,6}(?:\.\d{1,9})?)(?:\s*°?\s*(?P<side>[NSEWnsew])\b)?"
)


def find_coordinates(text: str) -> tuple[float, float] | None:
    """(latitude_deg, longitude_deg) from the first two numbers of any text; None if absent or out of range.

    `12.4 S, 143.9 E` counts as -12.4 and 143.9; a longitude of 180 to 360 is brought into -180 to 180.
    """
    matches = list(_LOOSE_NUMBER.finditer(text))[:2]
    if len(matches) < 2:
        return None
    first, second = (
        float(match["number"].replace("−", "-")) * (-1 if (match["side"] or "").upper() in ("S", "W") else 1)
        for match in matches
    )
    if not (-90 <= first <= 90 and -180 <= second <= 360):
        return None
    return first, second - 360 if second > 180 else second


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def great_circle_km(
    latitude_1_deg: ArrayLike,
    longitude_1_deg: ArrayLike,
    latitude_2_deg: ArrayLike,
    longitude_2_deg: ArrayLike,
) -> NDArray[np.float64]:
    """Great-circle distance in km on a sphere of radius 6,371 km (haversine); arrays broadcast.

    Within 0.6 % of the WGS84 geodesic, far below every tolerance of the study. NaN where an input is NaN.
    """
    lat1, lon1, lat2, lon2 = (
        np.radians(np.asarray(angle, dtype=np.float64))
        for angle in (latitude_1_deg, longitude_1_deg, latitude_2_deg, longitude_2_deg)
    )
    half = np.sin((lat2 - lat1) / 2) ** 2 + np.cos(lat1) * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1)))
