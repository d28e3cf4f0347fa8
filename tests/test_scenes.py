"""Scenes: what is drawn is what is described, at every size, and held-out pairs stay held out."""

from collections import Counter
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data import scenes
from barnlib.data.scenes import (
    ATTRIBUTES,
    HELD_OUT,
    MARGIN,
    POSITIONS,
    Scene,
    Thing,
    draw_scene,
    in_reading_order,
    sample_scene,
    scene_caption,
    scene_facts,
    scene_from_facts,
    scene_phrases,
)

SEEDS = st.integers(0, 2**32 - 1)


def sampled(seed: int, *, held_out: bool = False) -> Scene:
    return sample_scene(np.random.default_rng(seed), held_out=held_out)


def one_thing(**changes) -> Scene:
    thing = Thing("red", "square", "large", "solid", x=0.5, y=0.5, radius=0.138, position="centre")
    return Scene((replace(thing, **changes),), "white")


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, held_out=st.booleans())
def test_a_scene_is_what_it_promises(seed, held_out):
    scene = sampled(seed, held_out=held_out)
    things = scene.things
    assert 3 <= len(things) <= 6
    assert len({thing.position for thing in things}) == len(things)
    assert len({tuple(getattr(thing, name) for name in ATTRIBUTES) for thing in things}) == len(things)
    assert any((thing.colour, thing.shape) in HELD_OUT for thing in things) == held_out
    for thing in things:
        for centre in (thing.x, thing.y):
            assert thing.radius < centre < 1 - thing.radius
        assert POSITIONS.index(thing.position) == 3 * int(3 * thing.y) + int(3 * thing.x)
    for a, b in combinations(things, 2):
        for axis, cell in (("x", lambda i: i % 3), ("y", lambda i: i // 3)):
            apart = abs(getattr(a, axis) - getattr(b, axis))
            in_line = cell(POSITIONS.index(a.position)) == cell(POSITIONS.index(b.position))
            assert (apart < MARGIN) == in_line


def test_the_same_seed_gives_the_same_scene_picture_and_caption():
    assert sampled(3) == sampled(3) != sampled(4)
    assert draw_scene(sampled(3), 96).tobytes() == draw_scene(sampled(3), 96).tobytes()
    captions = [scene_caption(sampled(3), np.random.default_rng(0)) for _ in range(2)]
    assert captions[0] == captions[1]


def test_every_allowed_pair_and_every_value_is_common():
    things = [thing for seed in range(250) for thing in sampled(seed).things]
    pairs = Counter((thing.colour, thing.shape) for thing in things)
    assert len(pairs) == 6 * 4 - len(HELD_OUT) and not set(pairs) & HELD_OUT
    for name, values in ATTRIBUTES.items():
        counts = Counter(getattr(thing, name) for thing in things)
        assert set(counts) == set(values)
        assert max(counts.values()) < 1.5 * min(counts.values()), counts
    unseen = [thing for seed in range(200) for thing in sampled(seed, held_out=True).things]
    assert {(thing.colour, thing.shape) for thing in unseen} >= HELD_OUT


def test_held_out_pairs_leave_every_colour_and_every_shape_a_partner():
    assert len(HELD_OUT) == 4
    assert len({colour for colour, _ in HELD_OUT}) == len({shape for _, shape in HELD_OUT}) == 4


def test_things_overlap_in_some_scenes_and_none_is_hidden():
    overlapping = 0
    for seed in range(40):
        scene = sampled(seed)
        covered = np.zeros((48, 48), dtype=bool)
        for thing in reversed(scene.things):  # the last is on top
            black = Scene((replace(thing, colour="black", texture="solid"),), "white")
            alone = np.asarray(draw_scene(black, 48).convert("L")) < 128
            overlapping += bool((alone & covered).any())
            assert (alone & ~covered).sum() > 0.6 * alone.sum(), f"seed {seed}, {thing}"
            covered |= alone
    assert overlapping >= 3


@pytest.mark.parametrize("image_size", [96, 224, 336])
def test_a_square_is_drawn_where_and_as_large_as_it_says(image_size):
    pixels = np.asarray(draw_scene(one_thing(x=0.4, y=0.6, position="centre"), image_size)).astype(int)
    assert pixels.shape == (image_size, image_size, 3)
    rows, columns = np.nonzero((pixels[..., 0] > 180) & (pixels[..., 1] < 100))
    assert np.mean(columns + 0.5) / image_size == pytest.approx(0.4, abs=0.008)
    assert np.mean(rows + 0.5) / image_size == pytest.approx(0.6, abs=0.008)
    assert np.ptp(columns) / image_size == pytest.approx(2 * 0.9 * 0.138, abs=0.02)


def test_shapes_textures_and_sizes_differ_at_96_pixels():
    """By far more than antialiasing: a fraction of the thing's box, for any two shapes and for the textures."""

    def darkness(**changes) -> np.ndarray:
        return np.asarray(draw_scene(one_thing(colour="black", **changes), 96).convert("L")) < 128

    for size, radius in scenes.RADIUS.items():
        box = (2 * radius * 96) ** 2
        for a, b in combinations(scenes.SHAPES, 2):
            apart = (darkness(shape=a, radius=radius) ^ darkness(shape=b, radius=radius)).sum()
            assert apart > 0.12 * box, (size, a, b)
        for shape in scenes.SHAPES:
            plain = darkness(shape=shape, radius=radius)
            striped = darkness(shape=shape, radius=radius, texture="striped")
            assert (plain ^ striped).sum() > 0.1 * box, (size, shape)
            column = striped[:, 48]
            assert np.sum(np.diff(column.astype(int)) == 1) >= (3 if size == "small" else 4), shape
    assert 2.2 < darkness(shape="circle").sum() / darkness(shape="circle", radius=0.08).sum() < 4


def test_a_small_picture_is_a_scaled_down_large_one():
    scene = sampled(7)
    large = draw_scene(scene, 384).reduce(4)
    assert np.abs(np.asarray(large).astype(int) - np.asarray(draw_scene(scene, 96))).mean() < 2


def test_a_caption_names_everything_in_reading_order():
    things = (
        Thing("blue", "square", "small", "solid", 0.5, 0.5, 0.08, "centre"),
        Thing("red", "circle", "large", "striped", 0.2, 0.2, 0.138, "top left"),
    )
    scene = Scene(things, "grey")
    body = "a large striped red circle at the top left, a small solid blue square in the centre."
    captions = {scene_caption(scene, np.random.default_rng(seed)) for seed in range(20)}
    assert captions == {body, f"there is {body}", f"2 things: {body}"}
    assert [phrase.text for phrase in scene_phrases(scene)] == [
        "large striped red circle at the top left",
        "small solid blue square in the centre",
    ]
    assert scene_phrases(scene)[0].box == pytest.approx((0.062, 0.062, 0.338, 0.338))


def test_phrases_frame_the_things():
    for seed in range(20):
        scene = sampled(seed)
        ordered = in_reading_order(scene)
        assert [POSITIONS.index(thing.position) for thing in ordered] == sorted(
            POSITIONS.index(thing.position) for thing in ordered
        )
        for thing, phrase in zip(ordered, scene_phrases(scene), strict=True):
            x0, y0, x1, y1 = phrase.box
            assert 0 <= x0 < thing.x < x1 <= 1 and 0 <= y0 < thing.y < y1 <= 1


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_facts_round_trip(seed):
    scene = sampled(seed)
    assert scene_from_facts(scene_facts(scene)) == scene


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: facts.pop("background"), "keys things and background"),
        (lambda facts: facts.update(background="tartan"), "background is 'tartan': one of white"),
        (lambda facts: facts["things"][1].pop("colour"), r"thing 1 lacks \['colour'\]"),
        (lambda facts: facts["things"][0].update(mass=1), r"thing 0 lacks \[\] .* \['mass'\]"),
        (lambda facts: facts["things"][0].update(shape="blob"), "thing 0: shape is 'blob': one of circle"),
        (lambda facts: facts["things"][2].update(x=1.5), "thing 2: x is 1.5: a fraction"),
    ],
)
def test_facts_that_are_wrong_are_named(change, message):
    facts = scene_facts(sampled(0))
    change(facts)
    with pytest.raises(ValueError, match=message):
        scene_from_facts(facts)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="image_size is 16: stripes need at least 32"):
        draw_scene(one_thing(), 16)
    with pytest.raises(ValueError, match="shape is 'blob': one of circle"):
        draw_scene(one_thing(shape="blob"), 96)
