"""Features of disturbed pictures: those of the disturbance that the study asks for, made once, and only where seen."""

import numpy as np
import pytest
import torch
from PIL import Image

from barnlib import features, perturbed
from barnlib.artefacts import seal, write_json
from barnlib.data.build import build_data, data_folder, load_pictures
from barnlib.data.pictures import generator
from barnlib.parameters import load_encoder
from barnlib.perturbations import KINDS, disturb
from barnlib.perturbed import perturbed_features
from barnlib.study import PerturbationParameters
from barnlib.vision import load_vision_model


@pytest.fixture(scope="module")
def images(tiny_study):
    """Test pictures of both kinds, on disk."""
    build_data(tiny_study)
    return [picture.image for picture in load_pictures(tiny_study, "test")]


def with_strengths(study, **strengths):
    """The study with other disturbances."""
    changed = study.evaluation.perturbations.model_copy(update=strengths)
    return study.model_copy(
        update={"evaluation": study.evaluation.model_copy(update={"perturbations": changed})}
    )


def count_builds(monkeypatch):
    """A list that grows by one whenever features are computed."""
    made, build = [], perturbed._build
    monkeypatch.setattr(perturbed, "_build", lambda *arguments: made.append(1) or build(*arguments))
    return made


def test_rows_are_the_encoders_patches_of_each_disturbed_picture(tiny_study, tiny_clip, images):
    found = perturbed_features(tiny_study, images)
    assert tuple(found) != () and set(found) == set(KINDS)
    model = load_vision_model(tiny_clip)
    for kind, values in found.items():
        assert values.shape == (len(images), 9, 16) and values.dtype == torch.float32
        for image, row in zip(images, values, strict=True):
            pixels = np.asarray(Image.open(data_folder(tiny_study) / image).convert("RGB"))
            rng = generator("perturbation", tiny_study.data.seed, kind, image)
            alone = disturb(pixels, kind, tiny_study.evaluation.perturbations, rng)
            expected = features.patch_features(model, alone[None], tiny_study.encoder.layer)[0]
            torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)


def test_a_picture_is_disturbed_alike_wherever_it_stands(tiny_study, images):
    forwards, backwards = (perturbed_features(tiny_study, order) for order in (images, images[::-1]))
    for kind in KINDS:
        torch.testing.assert_close(forwards[kind].flip(0), backwards[kind], atol=1e-5, rtol=1e-5)


def test_another_data_seed_is_another_noise_on_the_same_pictures(tiny_study, images, monkeypatch):
    first = perturbed_features(tiny_study, images)
    # the data of the other seed are left aside: only the seed of the disturbance differs
    monkeypatch.setattr(perturbed, "data_folder", lambda study: data_folder(tiny_study))
    other = tiny_study.model_copy(
        update={"name": "tiny-other", "data": tiny_study.data.model_copy(update={"seed": 6})}
    )
    second = perturbed_features(other, images)
    assert not torch.allclose(first["noise"], second["noise"], atol=1e-3)
    torch.testing.assert_close(first["blur"], second["blur"])


def test_no_strength_leaves_the_features_of_the_picture_itself(tiny_study, images):
    cached = features.load(tiny_study)
    clean = cached.values[cached.rows(images)]
    still = perturbed_features(with_strengths(tiny_study, noise=0.0, blur=0.0, occlusion=0.0), images)
    for values in still.values():
        torch.testing.assert_close(values, clean, atol=1e-5, rtol=1e-5)
    for values in perturbed_features(tiny_study, images).values():
        assert (values - clean).abs().amax((1, 2)).min() > 1e-3, "every picture has been disturbed"


def test_they_are_made_once_and_anew_when_what_decides_them_changes(tiny_study, images, monkeypatch):
    perturbed_features(tiny_study, images)
    made = count_builds(monkeypatch)
    again = perturbed_features(tiny_study, images)
    assert made == [] and len(again["noise"]) == len(images)
    louder = with_strengths(tiny_study, noise=0.2)
    changed = perturbed_features(louder, images)
    assert len(made) == 1 and not torch.equal(changed["noise"], again["noise"])
    assert torch.equal(changed["blur"], again["blur"])
    assert len(perturbed_features(louder, images[:2])["noise"]) == 2 and len(made) == 2
    deeper = louder.model_copy(update={"encoder": louder.encoder.model_copy(update={"layer": -1})})
    perturbed_features(deeper, images[:2])
    assert len(made) == 3
    perturbed_features(deeper.model_copy(update={"seeds": (4,)}), images[:2])
    assert len(made) == 3, "seeds of training decide nothing here"


def test_an_oracle_reads_facts_which_no_disturbance_changes(tiny_study, images, monkeypatch):
    cached = features.load(tiny_study)
    oracle = load_encoder("clip", "nano").model_copy(update={"kind": "oracle"})
    monkeypatch.setattr(perturbed, "load_encoder", lambda name, scale: oracle)
    monkeypatch.setattr(perturbed, "load_features", lambda study: cached)
    made = count_builds(monkeypatch)
    found = perturbed_features(tiny_study, images[::-1])
    clean = cached.values[cached.rows(images[::-1])]
    assert set(found) == set(KINDS) and made == []
    assert all(torch.equal(values, clean) for values in found.values())
    found["noise"].zero_()
    assert torch.equal(found["blur"], clean), "each kind has values of its own"


def test_a_picture_that_cannot_be_read_or_has_another_size_is_refused(tiny_study, images):
    path = data_folder(tiny_study) / "images" / "more.png"
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"more\.png: the image cannot be read"):
        perturbed_features(tiny_study, [images[0], "images/more.png"])
    Image.new("RGB", (96, 95)).save(path)
    with pytest.raises(ValueError, match=r"more\.png: expected 96 x 96 pixels, found 96 x 95"):
        perturbed_features(tiny_study, [images[0], "images/more.png"])
    path.unlink()


def test_a_folder_that_was_changed_or_holds_other_pictures_is_refused(tiny_study, images, monkeypatch):
    perturbed_features(tiny_study, images)
    listed = tiny_study.folder / "perturbed" / "images.json"
    before = listed.read_bytes()
    write_json(listed, images[::-1])
    with pytest.raises(ValueError, match=r"perturbed/images\.json: expected SHA-256"):
        perturbed_features(tiny_study, images)
    listed.write_bytes(before)

    def found_as_it_is(folder, inputs, build):
        write_json(folder / "images.json", images[::-1])
        seal(folder, inputs)
        return folder

    monkeypatch.setattr(perturbed, "build_once", found_as_it_is)
    with pytest.raises(ValueError, match=r"perturbed: holds other pictures than its manifest says"):
        perturbed_features(tiny_study, images)


def test_strengths_are_named_as_the_disturbances_are():
    assert set(PerturbationParameters.model_fields) == set(KINDS)
