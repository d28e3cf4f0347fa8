"""The cache with room to grow holds what transformers' own cache holds."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import DynamicCache

from barnlib.key_values import ROOM, roomy_cache

STEPS = st.lists(
    st.one_of(st.integers(1, ROOM + 5), st.just("drop a row")), min_size=1, max_size=8
)  # how many positions are added


@settings(max_examples=30, deadline=None)
@given(steps=STEPS)
def test_keys_and_values_are_those_of_the_growing_cache(steps: list[int | str]):
    generator = torch.Generator().manual_seed(0)
    roomy, growing, rows = roomy_cache(), DynamicCache(), 4
    for step in [3, *steps]:
        if isinstance(step, str):
            rows = max(1, rows - 1)
            kept = torch.arange(rows).flip(0)
            roomy.batch_select_indices(kept)
            growing.batch_select_indices(kept)
            continue
        for layer in range(2):
            new = torch.randn(2, rows, 2, step, 5, generator=generator)
            found, expected = (cache.update(new[0], new[1], layer) for cache in (roomy, growing))
            assert torch.equal(found[0], expected[0])
            assert torch.equal(found[1], expected[1])
    assert roomy.get_seq_length() == growing.get_seq_length()


def test_adding_a_position_moves_nothing_while_there_is_room():
    cache, new = roomy_cache(), torch.ones(1, 1, 1, 4)
    first, _ = cache.update(new, new, 0)
    second, _ = cache.update(new, new, 0)
    assert second.shape[2] == 2
    assert second.data_ptr() == first.data_ptr()
