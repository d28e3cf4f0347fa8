"""Patch weights against a count of points."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from barnlib.geometry import patch_weights

EDGE = st.floats(0, 0.98)


@given(x=EDGE, y=EDGE, w=st.floats(0.02, 1), h=st.floats(0.02, 1), grid=st.integers(1, 8))
def test_weights_are_the_covered_share_of_each_patch(x, y, w, h, grid):
    box = (x, y, min(1.0, x + w), min(1.0, y + h))
    weights = patch_weights(box, grid)
    assert weights.shape == (grid * grid,) and np.isclose(weights.sum(), 1, atol=1e-5)
    u = np.linspace(box[0], box[2], 401)[:-1] + (box[2] - box[0]) / 800
    v = np.linspace(box[1], box[3], 401)[:-1] + (box[3] - box[1]) / 800
    column, row = (u * grid).astype(int), (v * grid).astype(int)
    counted = np.outer(np.bincount(row, minlength=grid), np.bincount(column, minlength=grid)) / 400**2
    assert np.allclose(weights.reshape(grid, grid), counted, atol=0.01)


def test_box_of_one_patch():
    assert patch_weights((0.5, 0.0, 1.0, 0.5), 2).tolist() == [0, 1, 0, 0]
