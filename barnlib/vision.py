"""Vision encoders as this project uses them: the frozen tower, its pixels, and what stands before its patches.

In:  the Hugging Face folder of a CLIP, SigLIP or DINOv2; :mod:`barnlib.encoder` makes such a CLIP.
Out: the tower in float32 and normalised pixels, for :mod:`barnlib.features`, :mod:`barnlib.model` and
     :mod:`barnlib.perturbed`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, PreTrainedModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from barnlib.artefacts import read_json

MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
"""Of each channel, of the encoders that are made here."""


def normalise(pixels: np.ndarray, mean: Sequence[float] = MEAN, std: Sequence[float] = STD) -> torch.Tensor:
    """uint8[B, H, W, 3] to float32[B, 3, H, W], (pixel / 255 - mean) / std for each channel, as the encoder's saved
    image processor does; with the mean and std of the encoders made here the range is [-1, 1]."""
    scale, shift = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (std, mean))
    values = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    return values.div_((255 * scale).float()).sub_((shift / scale).float())


def normalisation(folder: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel that an encoder's pixels are normalised with.

    Raises:
        ValueError: the folder says nothing about it.
    """
    path = folder / "preprocessor_config.json"
    said = read_json(path) if path.is_file() else {}
    mean, std = (tuple(map(float, said.get(key) or ())) for key in ("image_mean", "image_std"))
    if len(mean) != 3 or len(std) != 3:
        raise ValueError(
            f"{path}: expected 'image_mean' and 'image_std' of three channels each, found {mean} and {std}; "
            "without them the encoder would see other colours than it was trained on"
        )
    return mean, std


def image_processor(image_size: int) -> CLIPImageProcessorPil:
    """The Hugging Face processor that does what :func:`normalise` does, for pictures of any size."""
    size = {"height": image_size, "width": image_size}
    return CLIPImageProcessorPil(
        size=size, crop_size=size, do_center_crop=False, image_mean=MEAN, image_std=STD
    )


def load_vision_model(folder: Path | str) -> PreTrainedModel:
    """The frozen vision tower in float32: a vision model (CLIP's, SigLIP's, DINOv2), or the half of a whole CLIP or
    SigLIP that sees."""
    whole = AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True)
    tower: PreTrainedModel = getattr(whole, "vision_model", whole)
    return tower.eval().requires_grad_(False)


def class_tokens(config: Any, tokens: int) -> int:
    """How many of an encoder's tokens stand before the patches: 1 (CLIP, DINOv2) or 0 (SigLIP).

    Register tokens (DINOv2) are kept like patches, because a standard LLaVA checkpoint cannot drop them.

    Args:
        config: of the vision model.
        tokens: that it gives for an image.

    Raises:
        ValueError: a number of tokens that patches, registers and one class token do not explain.
    """
    patches = (config.image_size // config.patch_size) ** 2
    others = tokens - patches - getattr(config, "num_register_tokens", 0)
    if others not in (0, 1):
        raise ValueError(
            f"'{config.model_type}' gives {tokens} tokens for an image of {patches} patches; expected one class token "
            "or none beside them"
        )
    return others


@torch.inference_mode()
def has_class_token(tower: PreTrainedModel) -> bool:
    """Whether an encoder puts a class token before the patches; it looks at one image. Raises as
    :func:`class_tokens`."""
    config: Any = tower.config
    image = torch.zeros(1, getattr(config, "num_channels", 3), config.image_size, config.image_size)
    output = tower(image.to(next(tower.parameters())), output_hidden_states=True)
    return class_tokens(config, output.hidden_states[-1].shape[1]) == 1
