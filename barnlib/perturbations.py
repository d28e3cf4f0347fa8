"""Small disturbances of what a model is given: of the picture's pixels, and of the question's words.

In:  pixels of a picture, or an item, and the strengths in the study file.
Out: other pixels, or another wording; perturbed.py encodes the pixels, states.py asks the questions.

Whatever chance there is comes from the study's data seed and the name of the picture or item, so every backbone and
every seed meets the same disturbance.
"""

import numpy as np
from scipy.ndimage import gaussian_filter

from barnlib.data.pictures import generator
from barnlib.data.records import Item
from barnlib.features import GREY
from barnlib.study import PerturbationParameters
from barnlib.tasks.registry import task_named

KINDS = ("noise", "blur", "occlusion")


def disturb(
    pixels: np.ndarray, kind: str, strengths: PerturbationParameters, rng: np.random.Generator
) -> np.ndarray:
    """A picture with one disturbance.

    Args:
        pixels: uint8[H, W, 3].
        kind: ``noise``, Gaussian on every channel of every pixel; ``blur``, a Gaussian filter; ``occlusion``, a grey
            square at a random place, inside the picture.
        strengths: of which one field is used.
        rng: draws the noise and the place of the square; a blur has no chance in it.

    Returns:
        uint8[H, W, 3].

    Raises:
        ValueError: no such kind.
    """
    if kind == "noise":
        noisy = pixels + rng.normal(0.0, 255 * strengths.noise, pixels.shape)
        return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if kind == "blur":
        sigma = strengths.blur * max(pixels.shape[:2])
        blurred = gaussian_filter(pixels.astype(np.float64), (sigma, sigma, 0), mode="nearest")
        return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)
    if kind == "occlusion":
        height, width = pixels.shape[:2]
        side = round((strengths.occlusion * height * width) ** 0.5)
        side = min(side, height, width)
        top, left = (int(rng.integers(length - side + 1)) for length in (height, width))
        hidden = pixels.copy()
        hidden[top : top + side, left : left + side] = GREY
        return hidden
    raise ValueError(f"no disturbance '{kind}'; there are: {', '.join(KINDS)}")


def other_wording(item: Item, seed: int) -> str | None:
    """Another wording of an item's question with the same answer, or None where none is known.

    Args:
        seed: the study's data seed; with the item's id it decides which of the other wordings.
    """
    others = [wording for wording in task_named(item.task).wordings(item.facts) if wording != item.question]
    if not others:
        return None
    return others[int(generator("paraphrase", seed, item.id).integers(len(others)))]
