"""The frozen encoder's features of every picture, computed once and shared by every backbone and seed.

In:  the study's data and its encoder.
Out: ``runs/STUDY/features`` with ``features.safetensors`` (float[N, T, D] patch features, N pictures of all splits, in
     the study's ``compute.precision``), ``blank.safetensors`` (float[T, D], an even grey picture) and ``images.json``
     (the N paths), which training and evaluation hand to the projector in place of pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tqdm import tqdm
from transformers import PreTrainedModel

from barnlib import controls, devices
from barnlib.artefacts import build_once, file_digest, read_json, write_json
from barnlib.controls import encoder_folder
from barnlib.data.build import build_data
from barnlib.data.records import SPLITS, read_pictures
from barnlib.hub import require_disk
from barnlib.ledger import text_digest
from barnlib.parameters import load_encoder, require_fitting_encoder
from barnlib.study import Study
from barnlib.vision import MEAN, STD, class_tokens, load_vision_model, normalisation, normalise

BATCH = 64
GREY = 128  # an even picture of this level is the blank image


@dataclass(frozen=True)
class Features:
    """Cached patch features of a study's pictures.

    Attributes:
        values: float[N, T, D], float32 or bfloat16.
        blank: float[T, D], the features of the blank image.
        images: the N image paths, in the order of ``values``.
        digest: SHA-256 of the file that holds ``values``, for the ledger.
    """

    values: torch.Tensor
    blank: torch.Tensor
    images: tuple[str, ...]
    digest: str

    def rows(self, images: Sequence[str]) -> torch.Tensor:
        """int64 rows of these images in ``values``.

        Raises:
            ValueError: an image without features; names it.
        """
        row = {image: number for number, image in enumerate(self.images)}
        missing = [image for image in images if image not in row]
        if missing:
            raise ValueError(
                f"no features for image '{missing[0]}' ({len(missing)} missing); build the features anew"
            )
        return torch.tensor([row[image] for image in images], dtype=torch.int64)


def build_features(study: Study) -> Path:
    """Compute the features, or find them unchanged; returns ``runs/STUDY/features``.

    Raises:
        ValueError: an encoder that takes pictures of another size than the study's or lacks its layer, a picture that
            cannot be read, a disk without room, or a finished folder that was changed afterwards.
    """
    encoder = load_encoder(study.encoder.name, study.scale)
    checkpoint = encoder_folder(encoder)
    require_fitting_encoder(study, read_json(checkpoint / "config.json"))  # before data are made
    data = build_data(study)
    inputs = {
        "data": file_digest(data / "manifest.json"),
        "encoder": encoder_digest(checkpoint),
        "layer": study.encoder.layer,
        "precision": study.compute.precision,
    }
    if encoder.kind == "oracle":
        inputs |= {"oracle": encoder.seed, "code": file_digest(Path(controls.__file__))}

    def build(folder: Path) -> None:
        (_build_oracle if encoder.kind == "oracle" else _build)(study, data, checkpoint, folder)

    return build_once(study.folder / "features", inputs, build)


def load(study: Study) -> Features:
    """The study's features; builds them where needed. Raises as :func:`build_features`."""
    folder = build_features(study)
    return Features(
        values=load_file(folder / "features.safetensors")["features"],
        blank=load_file(folder / "blank.safetensors")["features"],
        images=tuple(read_json(folder / "images.json")),
        digest=file_digest(folder / "features.safetensors"),
    )


def encoder_digest(checkpoint: Path) -> str:
    """Digest of an encoder's weights, in one file or in several."""
    digests = [file_digest(path) for path in sorted(checkpoint.glob("*.safetensors"))]
    return digests[0] if len(digests) == 1 else text_digest(digests)


@torch.inference_mode()
def patch_features(
    model: PreTrainedModel,
    pixels: np.ndarray,
    layer: int,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
) -> torch.Tensor:
    """``hidden_states[layer]`` of uint8[B, H, W, 3] pixels without the class token, where the encoder has one:
    float32[B, T, D] on the CPU, as LLaVA takes them.

    Args:
        mean, std: of the encoder's own image processor (:func:`barnlib.vision.normalisation`).
    """
    device = next(model.parameters()).device
    hidden = model(normalise(pixels, mean, std).to(device), output_hidden_states=True).hidden_states[layer]
    return hidden[:, class_tokens(model.config, hidden.shape[1]) :].cpu()


def _build(study: Study, data: Path, checkpoint: Path, folder: Path) -> None:
    model: Any = load_vision_model(checkpoint)
    model.to(devices.one_device())
    colours = normalisation(checkpoint)
    images = [picture.image for split in SPLITS for picture in read_pictures(data / f"{split}.pictures.json")]
    size = study.data.image_size
    require_fitting_encoder(study, model.config.to_dict())  # which says more than a config.json has to
    grey = np.full((1, size, size, 3), GREY, np.uint8)
    blank = patch_features(model, grey, study.encoder.layer, *colours)[0].to(
        getattr(torch, study.compute.precision)
    )
    # filled in place: at paper scale it takes tens of GiB
    values = blank.new_empty(len(images), *blank.shape)
    require_disk(folder, values.nbytes, "the table of cached features")
    for start in tqdm(range(0, len(images), BATCH), desc="features", mininterval=5):
        pixels = np.stack([read_pixels(data / image, size) for image in images[start : start + BATCH]])
        values[start : start + BATCH] = patch_features(model, pixels, study.encoder.layer, *colours)
    save_file({"features": values}, folder / "features.safetensors")
    save_file({"features": blank.contiguous()}, folder / "blank.safetensors")
    write_json(folder / "images.json", images)


def _build_oracle(study: Study, data: Path, checkpoint: Path, folder: Path) -> None:
    """As `_build`, from the pictures' facts; the checkpoint says how many tokens of which width to make."""
    config: Any = load_vision_model(checkpoint).config
    tokens, width = (config.image_size // config.patch_size) ** 2, config.hidden_size
    seed = load_encoder(study.encoder.name, study.scale).seed
    pictures = [picture for split in SPLITS for picture in read_pictures(data / f"{split}.pictures.json")]
    values = torch.from_numpy(controls.oracle_features(pictures, tokens, width, seed))
    blank = torch.from_numpy(controls.oracle_blank(tokens, width, seed))
    save_file({"features": values.contiguous()}, folder / "features.safetensors")
    save_file({"features": blank.contiguous()}, folder / "blank.safetensors")
    write_json(folder / "images.json", [picture.image for picture in pictures])


def read_pixels(path: Path, size: int) -> np.ndarray:
    """uint8[size, size, 3] of an image file.

    Raises:
        ValueError: it cannot be read, or has another size.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ValueError(
            f"{path}: the image cannot be read ({error}); delete the data folder to make it anew"
        ) from error
    if pixels.shape != (size, size, 3):
        raise ValueError(
            f"{path}: expected {size} x {size} pixels, found {pixels.shape[1]} x {pixels.shape[0]}"
        )
    return pixels
