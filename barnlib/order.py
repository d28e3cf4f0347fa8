"""In which order a stage sees its pictures, and how its learning rate goes: the same for every backbone.

In:  the training pictures, the length of a stage, a random generator made from the seed alone.
Out: lists of images, one for each optimiser step, which finetune.py packs; their digest goes into the ledger.

Nothing here knows a backbone, and no model has drawn a random number before the order is fixed.
"""

import math
from collections.abc import Sequence

import numpy as np

from barnlib.data.records import Picture
from barnlib.ledger import text_digest


def example_order(
    pictures: Sequence[Picture], epochs: float, batch_images: int, rng: np.random.Generator
) -> list[list[str]]:
    """Images of each optimiser step; kinds are mixed, so that every batch holds about their share of each.

    In every epoch each kind is shuffled and spread evenly over the epoch, with a random offset for each image:
    batches are nearly alike in their mix. Batches run on over the end of an epoch; a last epoch may be a part of
    one, and the last batch may be smaller.

    Args:
        pictures: the training split.
        epochs: how often each image is seen, above zero; 1.5 gives the second pass half of the images.
        batch_images: images in a step.
        rng: made from the seed alone.

    Raises:
        ValueError: no pictures.
    """
    if not pictures:
        raise ValueError("no training pictures to put in order; expected at least one")
    kinds = sorted({picture.kind for picture in pictures})
    by_kind = [[picture.image for picture in pictures if picture.kind == kind] for kind in kinds]
    images: list[str] = []
    total = max(1, round(epochs * len(pictures)))
    while len(images) < total:
        places: list[tuple[float, str]] = []
        for of_kind in by_kind:
            offsets = (np.arange(len(of_kind)) + rng.random(len(of_kind))) / len(of_kind)
            shuffled = rng.permutation(len(of_kind))
            places += [
                (offset, of_kind[i]) for offset, i in zip(offsets.tolist(), shuffled.tolist(), strict=True)
            ]
        images += [image for _, image in sorted(places)]
    images = images[:total]
    return [images[start : start + batch_images] for start in range(0, total, batch_images)]


def order_digest(batches: Sequence[Sequence[str]]) -> str:
    """Digest of an order; moving an image to another step changes it."""
    return text_digest(["\n".join(batch) for batch in batches])


def rate_factor(step: int, steps: int, warmup: float) -> float:
    """What the learning rate is multiplied with in optimiser step 0 to ``steps - 1``.

    It rises linearly over the first ``warmup`` share of the steps, then falls to zero along half a cosine
    (Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts), as LLaVA trains. A pure function of the step:
    a run that is resumed has no schedule to restore.
    """
    rising = math.ceil(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def evaluation_steps(steps: int, evaluations: int) -> list[int]:
    """After which of ``steps`` optimiser steps validation looks: evenly spaced, from 0 to the last."""
    return sorted({round(number * steps / evaluations) for number in range(evaluations + 1)})
