"""The order of examples is fair to both kinds, complete in every epoch, and the seed's alone."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.records import Picture
from barnlib.order import evaluation_steps, example_order, order_digest, rate_factor


def pictures(scenes: int, cards: int) -> list[Picture]:
    kinds = ["scene"] * scenes + ["card"] * cards
    return [Picture(f"images/train/{kind}-{n}.png", kind, "caption", (), {}) for n, kind in enumerate(kinds)]


@settings(max_examples=30, deadline=None)
@given(scenes=st.integers(0, 20), cards=st.integers(1, 20), batch=st.integers(1, 9), seed=st.integers(0, 99))
def test_every_epoch_shows_every_picture_once(scenes, cards, batch, seed):
    shown = pictures(scenes, cards)
    batches = example_order(shown, 2.0, batch, np.random.default_rng(seed))
    assert all(len(one) == batch for one in batches[:-1]) and 1 <= len(batches[-1]) <= batch
    flat = [image for one in batches for image in one]
    every = sorted(picture.image for picture in shown)
    assert sorted(flat[: len(shown)]) == every and sorted(flat[len(shown) :]) == every


def test_kinds_are_mixed_in_every_batch():
    batches = example_order(pictures(240, 80), 3.0, 32, np.random.default_rng(0))
    scenes = [sum("scene" in image for image in batch) for batch in batches]
    assert len(batches) == 30 and min(scenes) >= 22 and max(scenes) <= 26  # 24 on average


def test_a_part_of_an_epoch():
    batches = example_order(pictures(5, 5), 1.5, 4, np.random.default_rng(0))
    assert [len(batch) for batch in batches] == [4, 4, 4, 3]


def test_the_seed_decides_and_the_digest_shows_it():
    first, again, other = (example_order(pictures(9, 9), 1.0, 4, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first == again and order_digest(first) == order_digest(again) != order_digest(other)
    moved = [*first[:-2], [*first[-2], first[-1][0]], first[-1][1:]]
    assert order_digest(moved) != order_digest(first)


def test_nothing_to_order_is_refused():
    with pytest.raises(ValueError, match="no training pictures"):
        example_order([], 1.0, 4, np.random.default_rng(0))


def test_learning_rate_rises_then_falls_along_a_cosine():
    factors = [rate_factor(step, 100, 0.1) for step in range(100)]
    assert factors[:10] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert factors[10] == 1.0 and factors[55] == pytest.approx(0.5) and 0 < factors[99] < 0.001
    assert all(a >= b for a, b in pairwise(factors[10:]))
    assert rate_factor(0, 1, 0.0) == 1.0


def test_looks_are_even_and_include_both_ends():
    assert evaluation_steps(100, 4) == [0, 25, 50, 75, 100]
    assert evaluation_steps(2, 8) == [0, 1, 2]
