"""Probes find what is there, and nothing where there is nothing."""

from dataclasses import replace

import numpy as np
import pytest

from barnlib.data.pictures import generator, picture
from barnlib.probes import ATTRIBUTES, NUMBERS, probe

COLOURS = ["red", "green", "blue", "yellow", "purple", "black"]


@pytest.fixture(scope="module")
def pictures():
    return [
        picture(("scene", "card")[n % 2], generator("probe", n), 96, f"{n}.png", held_out=False)[1]
        for n in range(160)
    ]


def planted(pictures, rng, signal):
    """Features of noise, with each thing's colour and each card's latitude written into them at strength ``signal``."""
    features = rng.normal(size=(len(pictures), 36, 8))
    for patches, made in zip(features, pictures, strict=True):
        if made.kind == "scene":
            for thing in made.facts["things"]:
                column, row = int(thing["x"] * 6), int(thing["y"] * 6)
                patches[6 * row + column, COLOURS.index(thing["colour"])] += 30 * signal
        else:
            patches[:, 0] += signal * made.facts["latitude_deg"]
    return features.astype(np.float32)


def test_probe_reads_what_is_planted_and_only_that(pictures):
    rng = np.random.default_rng(0)
    features = planted(pictures, rng, 1.0)
    rows = probe(features[:120], pictures[:120], features[120:], pictures[120:]).set_index("property")
    assert set(rows.index) == {*ATTRIBUTES, *NUMBERS}
    assert rows.value["colour"] > 0.9 and rows.value["latitude_deg"] > 0.9
    assert rows.value["shape"] < rows.chance["shape"] + 0.25
    assert rows.value["p_time_s"] < 0.3
    things = sum(len(made.phrases) for made in pictures[120:] if made.kind == "scene")
    assert rows.n["colour"] == things and rows.n["latitude_deg"] == 20


def test_probe_reads_nothing_from_noise(pictures):
    features = planted(pictures, np.random.default_rng(1), 0.0)
    rows = probe(features[:120], pictures[:120], features[120:], pictures[120:]).set_index("property")
    assert rows.value["latitude_deg"] < 0.2
    assert rows.value["colour"] < rows.chance["colour"] + 0.2


def test_what_is_on_a_photograph_is_not_probed(pictures):
    """Photographs among the scenes change nothing; where there is nothing else, cards alone are probed."""
    features = planted(pictures, np.random.default_rng(0), 1.0)
    mixed = [replace(one, facts={}) if n % 4 == 0 else one for n, one in enumerate(pictures)]
    rows = probe(features[:120], mixed[:120], features[120:], mixed[120:]).set_index("property")
    things = sum(len(one.facts.get("things", ())) for one in mixed[120:])
    assert rows.n["colour"] == things and rows.value["colour"] > 0.9
    bare = [replace(one, facts={}) if one.kind == "scene" else one for one in pictures]
    rows = probe(features[:120], bare[:120], features[120:], bare[120:])
    assert list(rows["property"]) == list(NUMBERS)
