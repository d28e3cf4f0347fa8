"""The two sides: text and pictures share no scene and no earthquake."""

from dataclasses import replace

import numpy as np
import pytest

from barnlib.data.earthquakes import sample_earthquake
from barnlib.data.pictures import generator, picture
from barnlib.data.reserve import earthquake_key, scene_key, told_in_text
from barnlib.data.scenes import sample_scene, scene_from_facts


def test_side_depends_only_on_what_a_caption_says():
    scene = sample_scene(np.random.default_rng(1))
    moved = replace(
        scene,
        things=tuple(replace(thing, x=thing.x + 0.001) for thing in reversed(scene.things)),
        background="grey" if scene.background != "grey" else "white",
    )
    assert scene_key(moved) == scene_key(scene)
    other = replace(scene, things=scene.things[1:])
    assert scene_key(other) != scene_key(scene)
    earthquake = sample_earthquake(np.random.default_rng(1))
    near = replace(earthquake, magnitude=4.0, depth_km=10.0)
    assert told_in_text(near) == told_in_text(earthquake)
    assert earthquake_key(replace(earthquake, latitude_deg=earthquake.latitude_deg + 1)) != earthquake_key(
        earthquake
    )


@pytest.mark.parametrize("sample", [sample_scene, sample_earthquake])
def test_about_half_is_on_each_side(sample):
    rng = np.random.default_rng(2)
    told = np.mean([told_in_text(sample(rng)) for _ in range(400)])
    assert 0.4 < told < 0.6  # 4 standard deviations of a fair coin


@pytest.mark.parametrize("held_out", [False, True])
def test_no_picture_is_on_the_text_side(held_out):
    rng = generator("test of the sides")
    for number in range(20):
        _, made = picture("scene", rng, 32, f"images/{number}.png", held_out=held_out)
        assert not told_in_text(scene_from_facts(made.facts))
