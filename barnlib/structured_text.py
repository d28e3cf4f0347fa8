"""JSON records of many kinds: the structured part of the text of a backbone that is made here, beside Python code.

In:  a random generator. Out: texts without end, for the structured kind of corpus.py.

This is the only place in the corpus where the answer format of the coordinate task, ``{"latitude": ..,
"longitude": ..}``, occurs, as the position of events, towns and points. The task's own questions occur
nowhere: no document asks for an epicentre as JSON.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from barnlib.data.descriptions import write_coordinates
from barnlib.data.earthquakes import STATIONS, region_name
from barnlib.data.scenes import COLOURS, SHAPES, SIZES, TEXTURES

NAMES = ("anna", "boris", "chen", "dara", "emil", "fatima", "george", "hana", "ivan", "julia", "kofi", "lena")
TOWNS = (
    "Alma",
    "Brook",
    "Carver",
    "Dunmore",
    "Elgin",
    "Forest",
    "Granby",
    "Hollis",
    "Irving",
    "Kent",
    "Linden",
    "Moss",
)
UNITS = ("m", "km", "s", "Hz", "deg", "counts")
CHANNELS = ("BHZ", "BHN", "BHE", "HHZ", "LHZ")
POINT_QUESTIONS = (
    "Where is {name}? Answer as JSON.",
    "Give the coordinates of {name} as JSON.",
    "Write the position of {name} as JSON.",
)


def records(rng: np.random.Generator) -> Iterator[str]:
    """Records and texts about them, without end, each kind equally often."""
    writers: tuple[Callable[[np.random.Generator], str], ...] = (
        _station_list,
        _event_catalogue,
        _product_list,
        _settings,
        _place_questions,
        _place_list,
        _person_table,
        _feature_collection,
    )
    while True:
        yield writers[int(rng.integers(len(writers)))](rng)


def _dump(value: Any, rng: np.random.Generator) -> str:
    return json.dumps(value, indent=2 if rng.random() < 0.25 else None)


def _pick(values: tuple, rng: np.random.Generator) -> Any:
    return values[int(rng.integers(len(values)))]


def _latitude(rng: np.random.Generator) -> float:
    return round(float(np.degrees(np.arcsin(rng.uniform(-1, 1)))), 1)


def _longitude(rng: np.random.Generator) -> float:
    return round(float(rng.uniform(-180, 180)), 1)


def _point(rng: np.random.Generator) -> dict[str, float]:
    return {"latitude": _latitude(rng), "longitude": _longitude(rng)}


def _station_list(rng: np.random.Generator) -> str:
    codes = rng.permutation(list(STATIONS))[: int(rng.integers(1, 4))]
    stations = [
        {
            "code": str(code),
            "latitude": STATIONS[str(code)][0],
            "longitude": STATIONS[str(code)][1],
            "elevation_m": int(rng.integers(0, 3000)),
            "channels": [str(channel) for channel in rng.permutation(CHANNELS)[: int(rng.integers(1, 4))]],
        }
        for code in codes
    ]
    return _dump({"network": _pick(("II", "IU", "GE", "G"), rng), "stations": stations}, rng)


def _event_catalogue(rng: np.random.Generator) -> str:
    points = [_point(rng) for _ in range(int(rng.integers(1, 4)))]
    events = [
        {
            "id": f"ev{int(rng.integers(10_000)):04d}",
            "magnitude": round(float(rng.uniform(4, 8)), 1),
            "depth_km": int(rng.integers(5, 650)),
            "region": region_name(**{f"{name}_deg": value for name, value in point.items()}),
            "position": point,
        }
        for point in points
    ]
    return _dump({"events": events} if rng.random() < 0.5 else events, rng)


def _product_list(rng: np.random.Generator) -> str:
    products = [
        {
            "sku": int(rng.integers(100, 1000)),
            "name": f"{_pick(SIZES, rng)} {_pick(TEXTURES, rng)} {_pick(TOWNS, rng)} box",
            "price": round(float(rng.uniform(1, 100)), 2),
            "in_stock": bool(rng.random() < 0.7),
            "colours": sorted({_pick(COLOURS, rng) for _ in range(2)}),
        }
        for _ in range(int(rng.integers(1, 4)))
    ]
    return _dump({"products": products, "total": len(products)}, rng)


def _settings(rng: np.random.Generator) -> str:
    value = {
        "version": f"{int(rng.integers(4))}.{int(rng.integers(20))}",
        "debug": bool(rng.random() < 0.5),
        "limits": {
            "minimum": int(rng.integers(10)),
            "maximum": int(rng.integers(10, 1000)),
            "unit": _pick(UNITS, rng),
        },
        "filter": {
            "type": _pick(("bandpass", "lowpass", "highpass"), rng),
            "corners": int(rng.integers(1, 5)),
        },
        "output": None if rng.random() < 0.3 else f"/data/{_pick(NAMES, rng)}/{int(rng.integers(100))}.json",
        "shapes": [_pick(SHAPES, rng) for _ in range(int(rng.integers(3)))],
    }
    keys = list(value)
    return _dump({keys[int(i)]: value[keys[int(i)]] for i in rng.permutation(len(keys))[:4]}, rng)


def _place_list(rng: np.random.Generator) -> str:
    short = rng.random() < 0.3
    places = []
    for _ in range(int(rng.integers(1, 5))):
        point = _point(rng)
        at = {"lat": point["latitude"], "lon": point["longitude"]} if short else point
        places.append({"town": _pick(TOWNS, rng), "position": at})
    return _dump(places, rng)


def _place_questions(rng: np.random.Generator) -> str:
    """Places in words, then their positions as JSON on request, in the layout of a prompt."""
    names = [
        f"camp {_pick(NAMES, rng)}",
        f"the town {_pick(TOWNS, rng)}",
        f"point {int(rng.integers(1, 100))}",
    ]
    points = [_point(rng) for _ in names]
    order = [int(i) for i in rng.permutation(len(names))[: int(rng.integers(1, 4))]]
    told = " ".join(
        f"{names[i][0].upper()}{names[i][1:]} lies at latitude {points[i]['latitude']}, "
        f"longitude {points[i]['longitude']}."
        for i in order
    )
    text = told
    for i in rng.permutation(order):
        question = _pick(POINT_QUESTIONS, rng).format(name=names[int(i)])
        answer = write_coordinates(points[int(i)]["latitude"], points[int(i)]["longitude"])
        text += f"\nQuestion: {question}\nAnswer: {answer}"
    return text


def _person_table(rng: np.random.Generator) -> str:
    people = [
        {
            "user": _pick(NAMES, rng),
            "age": int(rng.integers(18, 90)),
            "active": bool(rng.random() < 0.5),
            "home": {"town": _pick(TOWNS, rng), "post_code": int(rng.integers(10_000, 100_000))},
        }
        for _ in range(int(rng.integers(1, 4)))
    ]
    return _dump({"rows": people}, rng)


def _feature_collection(rng: np.random.Generator) -> str:
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [_longitude(rng), _latitude(rng)]},
            "properties": {"name": _pick(TOWNS, rng), "value": round(float(rng.uniform(0, 10)), 1)},
        }
        for _ in range(int(rng.integers(1, 3)))
    ]
    return _dump({"type": "FeatureCollection", "features": features}, rng)
