"""The perception ceiling: an untrained encoder as the control, and features read from disk as the study reads them."""

import numpy as np
import torch
from PIL import Image

from barnlib.ceiling import TITLES, patches
from barnlib.controls import untrained
from barnlib.features import patch_features
from barnlib.probes import NUMBERS
from barnlib.vision import load_vision_model


def test_an_untrained_encoder_has_the_same_shape_and_other_weights(tiny_clip):
    model = load_vision_model(tiny_clip)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    one, same, other = untrained(model, 1), untrained(model, 1), untrained(model, 2)
    assert torch.equal(torch.get_rng_state(), state), "the global generator was touched"
    weights = [dict(each.named_parameters()) for each in (model, one, same, other)]
    assert len({tuple((name, tuple(value.shape)) for name, value in each.items()) for each in weights}) == 1
    name = next(name for name in weights[0] if "patch_embedding" in name)
    trained, first, again, second = (each[name] for each in weights)
    assert torch.equal(first, again) and not torch.equal(first, second) and not torch.equal(first, trained)


def test_patches_are_those_of_the_pictures_in_their_order(tiny_clip, tmp_path):
    model = load_vision_model(tiny_clip)
    size = model.config.image_size
    pictures = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    for number, pixels in enumerate(pictures):
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    found = patches(model, tmp_path, ["2.png", "0.png"], -2)
    expected = patch_features(model, pictures[[2, 0]], -2).numpy()
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_no_property_is_shown_by_a_name_with_a_unit():
    assert set(TITLES) == {name for name in NUMBERS if "_" in name}
