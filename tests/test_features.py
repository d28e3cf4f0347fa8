"""Cached features equal the encoder's own output, and everything wrong is refused by name."""

import numpy as np
import pytest
import torch
from PIL import Image

from barnlib import features, parameters
from barnlib.data.build import build_data, load_pictures
from barnlib.encoder import draw_pictures, train_clip
from barnlib.parameters import load_study
from barnlib.paths import ROOT
from barnlib.vision import load_vision_model
from tests.test_encoder import RECIPE


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """The smoke study with an untrained-size encoder of its own."""
    root = tmp_path_factory.mktemp("root")
    recipe = RECIPE.model_copy(update={"epochs": 1.0})
    train_clip(recipe, *draw_pictures(recipe, root / "pixels.npy"), root / "encoder", root / "kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARNLIB_RUNS", str(root / "runs"))
        encoder = parameters.load_encoder("clip", "nano").model_copy(
            update={"checkpoint": str(root / "encoder")}
        )
        patch.setattr(features, "load_encoder", lambda name, scale: encoder)
        yield load_study("smoke")


def test_rows_are_the_encoders_patches(study):
    cached = features.load(study)
    assert cached.values.dtype == torch.float32 and cached.values.shape[1:] == (36, 32)
    tower = load_vision_model(ROOT / features.load_encoder("clip", "nano").checkpoint)
    chosen = load_pictures(study, "test")[3:5]
    pixels = np.stack([np.asarray(Image.open(build_data(study) / picture.image)) for picture in chosen])
    expected = features.patch_features(tower, pixels, -2)
    found = cached.values[cached.rows([picture.image for picture in chosen])]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    grey = np.full((1, 96, 96, 3), 128, np.uint8)
    torch.testing.assert_close(
        cached.blank, features.patch_features(tower, grey, -2)[0], atol=1e-5, rtol=1e-5
    )


def test_image_without_features_is_refused(study):
    with pytest.raises(ValueError, match=r"no features for image 'images/train/none\.png'"):
        features.load(study).rows(["images/train/none.png"])


def test_wrong_image_size_is_refused(study, monkeypatch, tmp_path):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    small = study.model_copy(update={"data": study.data.model_copy(update={"image_size": 64})})
    with pytest.raises(
        ValueError, match=r"smoke\.yaml: key 'data\.image_size': the encoder 'clip' takes 96 pixels, found 64"
    ):
        features.build_features(small)
    assert not list(tmp_path.glob("*/data")), "nothing was drawn"


def test_a_layer_that_the_encoder_does_not_have_is_refused(study, monkeypatch, tmp_path):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    deep = study.model_copy(update={"encoder": study.encoder.model_copy(update={"layer": -99})})
    with pytest.raises(
        ValueError, match=r"smoke\.yaml: key 'encoder\.layer': expected -\d to \d for the encoder"
    ):
        features.build_features(deep)
    assert not list(tmp_path.glob("*/data")), "nothing was drawn"
