"""Encoders that are controls: one that was never trained, and an oracle that is told what the picture shows.

In:  ``params/encoders/NAME.yaml`` of kind ``random`` or ``oracle``; its checkpoint is the encoder that it replaces.
Out: a folder with random weights, or features computed from a picture's facts; :mod:`barnlib.features` caches either
     as it does those of a trained encoder, and everything after it is the same.

Both have the tokens and the width of the encoder that they replace, so that projector and backbones do not change. The
random encoder is a lower bound on perception. The oracle is an upper bound: every fact that a question asks for stands
in the features, none has to be seen. What is still answered wrongly with it is not lost in the eye.
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from math import isqrt
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoImageProcessor, AutoModel, PreTrainedModel

from barnlib.artefacts import build_once, file_digest, read_json
from barnlib.components import Encoder, existing_checkpoint
from barnlib.data.descriptions import coarse_place, description_facts
from barnlib.data.earthquakes import Earthquake
from barnlib.data.records import Picture
from barnlib.data.scenes import ATTRIBUTES
from barnlib.hub import local_folder
from barnlib.paths import runs_root
from barnlib.vision import load_vision_model

Array = NDArray[np.float32]
DEGREES = ("latitude_deg", "longitude_deg", "station_latitude_deg", "station_longitude_deg")
SIZE = 4.0  # standard deviation of the oracle's features, about that of the nano encoder's
NOTHING = "nothing"  # what a token says that has no fact


def encoder_folder(encoder: Encoder) -> Path:
    """Where an encoder's weights lie: its checkpoint, or, for a random one, a folder that is made where it is missing.

    An oracle looks at no picture; it names the checkpoint whose shape it has, so that a model can be composed.

    Raises:
        ValueError: the checkpoint is not there; says how it is made or what the hub answers.
    """
    checkpoint = local_folder(existing_checkpoint(encoder))
    if encoder.kind != "random":
        return checkpoint

    def build(folder: Path) -> None:
        untrained(load_vision_model(checkpoint), encoder.seed).save_pretrained(folder)
        AutoImageProcessor.from_pretrained(checkpoint).save_pretrained(folder)

    inputs = {"shape": file_digest(checkpoint / "config.json"), "seed": encoder.seed}
    return build_once(runs_root() / "encoders" / f"{encoder.name}-{encoder.scale}", inputs, build)


def encoder_card(encoder: Encoder) -> dict[str, Any]:
    """What an encoder is, what it was trained on and how its training went: `what`, `data`, `history`."""
    if encoder.kind == "random":
        return {"what": f"random weights, drawn from seed {encoder.seed}", "data": "nothing", "history": []}
    if encoder.kind == "oracle":
        what = f"the facts of each picture in a random code, drawn from seed {encoder.seed}"
        return {"what": what, "data": "nothing", "history": []}
    path = encoder_folder(encoder) / "card.json"
    if path.is_file():
        return read_json(path)
    return {"what": f"published weights, {encoder.checkpoint}", "data": "what its makers say", "history": []}


def untrained(model: PreTrainedModel, seed: int) -> PreTrainedModel:
    """An encoder of the same shape whose weights are drawn anew from a seed; the global generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModel.from_config(model.config).eval().requires_grad_(False)


def oracle_features(pictures: Sequence[Picture], tokens: int, width: int, seed: int) -> Array:
    """The facts of pictures as features, float32[N, T, D].

    Each fact is a vector of independent normal numbers of size ``SIZE``, drawn from the seed and the fact's own text,
    so that the same fact is the same vector in every picture and any other is nearly orthogonal to it. A token that
    holds several facts is their sum over the root of their number, so that all tokens have the same size.

    - Scenes: the tokens are the patches of a square grid, as an encoder's are. Each patch that a thing covers holds the
      thing's attributes and position, the others the background.
    - Cards: one token for each fact, in a fixed order: what descriptions and captions state, and the coordinates of
      epicentre and station to a tenth of a degree. Numbers are the sum of their characters, each at its place.

    Raises:
        ValueError: fewer tokens than a card has facts; a photograph, whose facts nobody has written down.
    """
    return np.stack(
        [
            _scene(picture.facts, tokens, width, seed)
            if picture.kind == "scene"
            else _card(picture.facts, tokens, width, seed)
            for picture in pictures
        ]
    )


def oracle_blank(tokens: int, width: int, seed: int) -> Array:
    """What the oracle says of an empty picture, float32[T, D]: nothing, in every token."""
    return np.tile(_vector(NOTHING, width, seed), (tokens, 1))


def card_facts(facts: dict[str, Any]) -> dict[str, str]:
    """The facts of an event card as texts, by name; numbers as wide as they can become."""
    earthquake = Earthquake(**facts)
    stated = {
        **description_facts(earthquake),
        **coarse_place(earthquake.latitude_deg, earthquake.longitude_deg),
    }
    places = {name: f"{_inside(getattr(earthquake, name), name):+06.1f}" for name in DEGREES}
    numbers = {name: f"{value:04d}" for name, value in stated.items() if isinstance(value, int)}
    return {**stated, **numbers, **places}


def _inside(degrees: float, name: str) -> float:
    """Longitudes brought into -180 to 180, as answers write them."""
    return (degrees + 180) % 360 - 180 if "longitude" in name else degrees


def _scene(facts: dict[str, Any], tokens: int, width: int, seed: int) -> Array:
    if "things" not in facts:
        raise ValueError(
            "the oracle says what is in a scene, and nothing says it of a photograph; expected scenes that are made "
            "here"
        )
    grid = isqrt(tokens)
    background = _vector(f"background={facts['background']}", width, seed)
    found = np.tile(background, (tokens, 1))
    found[grid * grid :] = _vector(NOTHING, width, seed)
    middles = (np.arange(grid) + 0.5) / grid
    across, down = np.meshgrid(middles, middles)
    things = facts["things"]
    distance = np.stack([np.hypot(across - thing["x"], down - thing["y"]).ravel() for thing in things])
    nearest = distance.argmin(0)
    for number, thing in enumerate(things):
        texts = [f"{name}={thing[name]}" for name in (*ATTRIBUTES, "position")]
        covered = (nearest == number) & (distance[number] <= thing["radius"])
        # a thing smaller than a patch keeps the patch of its centre
        covered[distance[number].argmin()] = True
        found[: grid * grid][covered] = _sum(texts, width, seed)
    return found


def _card(facts: dict[str, Any], tokens: int, width: int, seed: int) -> Array:
    texts = card_facts(facts)
    if len(texts) > tokens:
        raise ValueError(
            f"the oracle needs a token for each of the {len(texts)} facts of a card; the encoder that it stands in for "
            f"gives {tokens}"
        )
    found = np.tile(_vector(NOTHING, width, seed), (tokens, 1))
    for row, (name, text) in enumerate(texts.items()):
        is_number = text.lstrip("+-").replace(".", "").isdigit()
        parts = [f"{name}[{place}]={character}" for place, character in enumerate(text)]
        found[row] = _sum([name, *(parts if is_number else [f"{name}={text}"])], width, seed)
    return found


def _sum(texts: Sequence[str], width: int, seed: int) -> Array:
    total = np.sum([_vector(text, width, seed) for text in texts], axis=0)
    return (total / np.sqrt(len(texts))).astype(np.float32)


@lru_cache(maxsize=4096)
def _vector(text: str, width: int, seed: int) -> Array:
    drawn = int.from_bytes(hashlib.sha256(f"{seed}:{text}".encode()).digest()[:8], "big")
    return np.random.default_rng(drawn).normal(0, SIZE, width).astype(np.float32)
