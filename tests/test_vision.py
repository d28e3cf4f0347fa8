"""Towers and their pixels: against the library's own processor, and what is refused."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, CLIPVisionConfig, CLIPVisionModel

from barnlib.vision import (
    class_tokens,
    has_class_token,
    image_processor,
    load_vision_model,
    normalisation,
    normalise,
)
from tests.conftest import IMAGE_SIZE, PATCH


def test_normalise_range():
    ends = normalise(np.array([0, 255], np.uint8).reshape(1, 1, 2, 1).repeat(3, axis=3))
    assert ends.min() == -1 and ends.max() == 1 and ends.shape == (1, 3, 1, 2)


def test_pixels_are_those_of_the_saved_processor(tmp_path):
    image_processor(IMAGE_SIZE).save_pretrained(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (1, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    for values in (None, {"image_mean": [0.48, 0.45, 0.40], "image_std": [0.26, 0.27, 0.28]}):
        processor = AutoImageProcessor.from_pretrained(tmp_path, use_fast=False, **values or {})
        processor.save_pretrained(tmp_path)
        expected = processor(Image.fromarray(pixels[0]), return_tensors="pt")["pixel_values"]
        torch.testing.assert_close(normalise(pixels, *normalisation(tmp_path)), expected, atol=1e-6, rtol=0)


def test_a_tower_is_frozen_and_in_float32(tiny_clip, tmp_path):
    CLIPVisionModel.from_pretrained(tiny_clip).half().save_pretrained(tmp_path)
    tower = load_vision_model(tmp_path)
    assert not tower.training and has_class_token(tower)
    assert {parameter.dtype for parameter in tower.parameters()} == {torch.float32}
    assert not any(parameter.requires_grad for parameter in tower.parameters())


def test_an_encoder_whose_tokens_are_not_explained_is_refused():
    config = CLIPVisionConfig(image_size=IMAGE_SIZE, patch_size=PATCH)
    with pytest.raises(
        ValueError, match=r"gives 12 tokens for an image of 9 patches; expected one class token"
    ):
        class_tokens(config, 12)


def test_an_encoder_without_its_colours_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"preprocessor_config\.json: expected 'image_mean' and 'image_std'"):
        normalisation(tmp_path)
