"""Disturbances: as strong as the study file says, the same every time, and a paraphrase that keeps the answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d

from barnlib.data.build import load_items
from barnlib.data.descriptions import COORDINATE_QUESTIONS, DESCRIPTION_QUESTIONS
from barnlib.data.questions import WORDINGS
from barnlib.data.records import Item
from barnlib.perturbations import GREY, KINDS, disturb, other_wording
from barnlib.study import PerturbationParameters

STRENGTHS = PerturbationParameters(noise=0.05, blur=0.02, occlusion=0.05)


def picture(size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).integers(60, 190, (size, size, 3)).astype(np.uint8)


def test_noise_has_the_standard_deviation_that_is_asked_for():
    pixels = picture(200)
    noise = disturb(pixels, "noise", STRENGTHS, np.random.default_rng(1)).astype(float) - pixels
    assert noise.std() == pytest.approx(0.05 * 255, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.2)


def test_blur_is_a_gaussian_filter():
    pixels = picture(100)
    x = np.arange(-8, 9)
    kernel = np.exp(-0.5 * (x / 2.0) ** 2)  # 2 % of 100 pixels, cut at four standard deviations as scipy does
    kernel /= kernel.sum()
    expected = pixels.astype(float)
    for axis in (0, 1):
        expected = convolve1d(expected, kernel, axis=axis, mode="nearest")
    found = disturb(pixels, "blur", STRENGTHS, np.random.default_rng(0))
    np.testing.assert_allclose(found, expected, atol=0.51)


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1))
def test_occlusion_hides_a_square_inside_the_picture(seed, share):
    pixels = picture()
    pixels[pixels == GREY] += 1
    strengths = PerturbationParameters(noise=0.0, blur=0.0, occlusion=share)
    hidden = (disturb(pixels, "occlusion", strengths, np.random.default_rng(seed)) == GREY).all(-1)
    side = round((share * 64 * 64) ** 0.5)
    assert hidden.sum() == side**2
    if side:
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert len(rows) == len(columns) == side and hidden[rows[0] : rows[-1] + 1, columns].all()


@pytest.mark.parametrize("kind", KINDS)
def test_no_strength_changes_nothing_and_the_picture_itself_stays(kind):
    pixels, before = picture(), picture()
    none = PerturbationParameters(noise=0.0, blur=0.0, occlusion=0.0)
    np.testing.assert_array_equal(disturb(pixels, kind, none, np.random.default_rng(0)), pixels)
    disturb(pixels, kind, STRENGTHS, np.random.default_rng(0))
    np.testing.assert_array_equal(pixels, before)


def test_an_unknown_disturbance_is_named():
    with pytest.raises(ValueError, match="no disturbance 'fog'; there are: noise, blur, occlusion"):
        disturb(picture(), "fog", STRENGTHS, np.random.default_rng(0))


def test_a_paraphrase_is_another_wording_of_the_same_kind(tiny_study):
    for item in load_items(tiny_study, "test"):
        found = other_wording(item, 5)
        assert found is not None and found != item.question and found == other_wording(item, 5)
        if item.task == "seismic_description":
            assert found in DESCRIPTION_QUESTIONS
        elif item.task == "seismic_coordinates":
            assert found in COORDINATE_QUESTIONS
    assert all(len(set(wordings)) > 1 for wordings in WORDINGS.values())


def test_a_question_of_another_origin_has_no_paraphrase():
    item = Item("a", "a.png", "vqa_scene", "other", "easy", "Why?", "yes", (), {"source": "elsewhere"})
    assert other_wording(item, 5) is None
