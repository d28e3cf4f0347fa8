"""The perception ceiling: what a linear probe reads from the frozen encoder, beside an untrained one and chance.

In:  a study; its data and features are built where needed.
Out: one row per property and kind of features, for the encoder's notebook.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from transformers import PreTrainedModel

from barnlib import features
from barnlib.controls import encoder_folder, untrained
from barnlib.data.build import build_data
from barnlib.data.records import first_of_each_kind, read_pictures
from barnlib.parameters import load_encoder
from barnlib.probes import probe
from barnlib.study import Study
from barnlib.vision import MEAN, STD, load_vision_model, normalisation

BATCH = 64
TITLES = {
    "latitude_deg": "latitude",
    "longitude_deg": "longitude",
    "p_time_s": "arrival of P",
    "s_time_s": "arrival of S",
    "depth_km": "depth",
}
"""Of properties that facts call by a name with a unit."""
OWN = {"trained": "trained encoder", "random": "random encoder", "oracle": "oracle"}  # by kind of encoder


def perception_ceiling(study: Study, *, pictures: int) -> pd.DataFrame:
    """Probe the study's features and those of an encoder of the same shape with random weights.

    Args:
        study: whose training pictures fit the probes, and whose validation pictures score them.
        pictures: how many training pictures of each kind to fit on; fewer take less time.

    Returns:
        The columns of :func:`barnlib.probes.probe`, ``property`` by its title, and ``kind``: one of ``OWN`` for the
        study's own features, which come first; "random encoder"; and "chance".
    """
    folder = build_data(study)
    train = first_of_each_kind(read_pictures(folder / "train.pictures.json"), pictures)
    validation = read_pictures(folder / "validation.pictures.json")
    encoder, own = load_encoder(study.encoder.name, study.scale), features.load(study)
    shown = [[picture.image for picture in side] for side in (train, validation)]
    found = {OWN[encoder.kind]: [own.values[own.rows(images)].float().numpy() for images in shown]}
    if encoder.kind != "random":
        checkpoint = encoder_folder(encoder)
        model, colours = untrained(load_vision_model(checkpoint), study.data.seed), normalisation(checkpoint)
        found[OWN["random"]] = [
            patches(model, folder, images, study.encoder.layer, *colours) for images in shown
        ]
    tables = [
        probe(seen, train, unseen, validation).assign(kind=kind) for kind, (seen, unseen) in found.items()
    ]
    chance = tables[0].assign(kind="chance", value=tables[0]["chance"], error=np.nan)
    return pd.concat([*tables, chance], ignore_index=True).replace({"property": TITLES})


def patches(
    model: PreTrainedModel,
    folder: Path,
    images: Sequence[str],
    layer: int,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> np.ndarray:
    """Patch features of images on disk: float32[N, T, D]."""
    parts = []
    for start in range(0, len(images), BATCH):
        pixels = [
            np.asarray(Image.open(folder / image).convert("RGB")) for image in images[start : start + BATCH]
        ]
        parts.append(features.patch_features(model, np.stack(pixels), layer, mean, std).numpy())
    return np.concatenate(parts)
