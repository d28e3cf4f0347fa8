"""The frozen encoder's features of disturbed pictures, computed once and shared by every backbone and seed.

In:  the study's test pictures, its encoder, and the strengths in the study file.
Out: ``runs/STUDY/perturbed`` with ``features.safetensors`` (float32[N, T, D] under ``noise``, ``blur`` and
     ``occlusion``) and ``images.json`` (the N paths); states.py hands them to the projector in place of the features.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from barnlib.artefacts import build_once, file_digest, read_json, write_json
from barnlib.controls import encoder_folder
from barnlib.data.build import data_folder
from barnlib.data.pictures import generator
from barnlib.features import BATCH, encoder_digest, patch_features, read_pixels
from barnlib.features import load as load_features
from barnlib.parameters import load_encoder
from barnlib.perturbations import KINDS, disturb
from barnlib.study import Study
from barnlib.vision import load_vision_model, normalisation


def perturbed_features(study: Study, images: Sequence[str]) -> dict[str, torch.Tensor]:
    """Features of disturbed pictures, made where needed.

    Args:
        images: paths relative to the data folder.

    Returns:
        float32[N, T, D] for each kind of disturbance, rows in the order of ``images``. For an oracle they are those
        of the undisturbed pictures: it reads facts, which a disturbance does not change.

    Raises:
        ValueError: an image that cannot be read or has another size than the study says.
    """
    encoder = load_encoder(study.encoder.name, study.scale)
    if encoder.kind == "oracle":
        features = load_features(study)
        known = features.values[features.rows(images)]
        return {kind: known.clone() for kind in KINDS}
    checkpoint = encoder_folder(encoder)
    inputs = {
        "data": file_digest(data_folder(study) / "manifest.json"),
        "encoder": encoder_digest(checkpoint),
        "layer": study.encoder.layer,
        "strengths": study.evaluation.perturbations.model_dump(),
        "images": list(images),
    }
    folder = build_once(
        study.folder / "perturbed", inputs, lambda folder: _build(study, checkpoint, images, folder)
    )
    if read_json(folder / "images.json") != list(images):
        raise ValueError(f"{folder}: holds other pictures than its manifest says; delete it and run again")
    return load_file(folder / "features.safetensors")


def _build(study: Study, checkpoint: Path, images: Sequence[str], folder: Path) -> None:
    model, colours = load_vision_model(checkpoint), normalisation(checkpoint)
    data, size, strengths = data_folder(study), study.data.image_size, study.evaluation.perturbations
    found: dict[str, list[torch.Tensor]] = {kind: [] for kind in KINDS}
    for start in range(0, len(images), BATCH):
        names = images[start : start + BATCH]
        pixels = [read_pixels(data / name, size) for name in names]
        for kind in KINDS:
            rngs = [generator("perturbation", study.data.seed, kind, name) for name in names]
            disturbed = [disturb(p, kind, strengths, rng) for p, rng in zip(pixels, rngs, strict=True)]
            found[kind].append(patch_features(model, np.stack(disturbed), study.encoder.layer, *colours))
    save_file(
        {kind: torch.cat(parts).contiguous() for kind, parts in found.items()},
        folder / "features.safetensors",
    )
    write_json(folder / "images.json", list(images))
