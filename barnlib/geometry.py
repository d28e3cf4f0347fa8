"""Which patches of a picture a box covers.

In:  a box as fractions of the picture. Out: weights over patches, for the encoder's phrase loss and for the probes.
"""

import numpy as np


def patch_weights(box: tuple[float, float, float, float], grid: int) -> np.ndarray:
    """How much of each patch of a ``grid`` x ``grid`` picture a box covers, summing to 1: float32[grid * grid]."""
    edges = np.arange(grid + 1) / grid
    x0, y0, x1, y1 = box
    across = np.clip(np.minimum(edges[1:], x1) - np.maximum(edges[:-1], x0), 0, None)
    down = np.clip(np.minimum(edges[1:], y1) - np.maximum(edges[:-1], y0), 0, None)
    weights = np.outer(down, across).ravel()
    return (weights / weights.sum()).astype(np.float32)
