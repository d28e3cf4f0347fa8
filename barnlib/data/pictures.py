"""One picture of either kind with everything that is known about it, from a random generator.

In:  a generator of :func:`generator`, whose purpose keeps the streams of data, encoder and text corpus apart.
Out: a Pillow image and its :class:`~barnlib.data.records.Picture`, for :mod:`barnlib.data.build` (the study's data)
     and :mod:`barnlib.encoder` (the encoder's own training pictures).
"""

from typing import Protocol, TypeVar

import numpy as np
from PIL.Image import Image

from barnlib.artefacts import digest
from barnlib.data import cards, descriptions, earthquakes, scenes, seismograms
from barnlib.data.records import KINDS, Picture
from barnlib.data.reserve import told_in_text

Made = TypeVar("Made", scenes.Scene, earthquakes.Earthquake, covariant=True)


class Sampler(Protocol[Made]):
    def __call__(self, rng: np.random.Generator, *, held_out: bool) -> Made: ...


def generator(purpose: str, *labels: int | str) -> np.random.Generator:
    """A generator whose stream is fixed by its purpose and labels, and independent of every other's."""
    return np.random.default_rng(int(digest([purpose, *labels])[:32], 16))


def picture(
    kind: str, rng: np.random.Generator, image_size: int, path: str, *, held_out: bool
) -> tuple[Image, Picture]:
    """Draw one picture.

    Args:
        kind: "scene" or "card".
        rng: where all randomness comes from.
        image_size: pixels, square.
        path: the image's path in the record.
        held_out: a scene with an attribute pair, or a card from a region, that training never shows.

    Raises:
        ValueError: no such kind.
    """
    if kind == "scene":
        scene = _untold(scenes.sample_scene, rng, held_out)
        image = scenes.draw_scene(scene, image_size)
        caption, phrases = scenes.scene_caption(scene, rng), scenes.scene_phrases(scene)
        facts = scenes.scene_facts(scene)
    elif kind == "card":
        earthquake = _untold(earthquakes.sample_earthquake, rng, held_out)
        traces = seismograms.synthesise(earthquake, rng, seismograms.SAMPLING_RATE_HZ)
        image = cards.draw_card(earthquake, traces, seismograms.SAMPLING_RATE_HZ, image_size)
        caption, phrases = (
            descriptions.card_caption(earthquake, rng),
            cards.card_phrases(earthquake, image_size),
        )
        facts = earthquakes.earthquake_facts(earthquake)
    else:
        raise ValueError(f"no kind of picture '{kind}'; expected one of {', '.join(KINDS)}")
    return image, Picture(path, kind, caption, phrases, facts)


def _untold(sample: Sampler[Made], rng: np.random.Generator, held_out: bool) -> Made:
    """A sample whose facts no backbone can have read in its text corpus."""
    while told_in_text(made := sample(rng, held_out=held_out)):
        pass
    return made
