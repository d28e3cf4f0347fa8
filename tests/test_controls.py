"""Control encoders: random weights that a seed decides, and an oracle whose facts can be read off and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from transformers import CLIPVisionModel

from barnlib import controls, features, parameters
from barnlib.controls import card_facts, encoder_card, encoder_folder, oracle_blank, oracle_features
from barnlib.data.build import build_data, load_pictures
from barnlib.data.pictures import generator, picture
from barnlib.data.scenes import ATTRIBUTES
from barnlib.parameters import load_encoder, load_study
from barnlib.probes import probe

TOKENS, WIDTH, SEED = 36, 128, 9


def pictures(kind: str, count: int) -> list:
    return [
        picture(kind, generator("controls", kind, number), 96, f"{number}.png", held_out=False)[1]
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def scenes():
    return pictures("scene", 60)


@pytest.fixture(scope="module")
def cards():
    return pictures("card", 60)


def test_features_have_one_size_and_repeat(scenes, cards):
    found = oracle_features([*scenes[:5], *cards[:5]], TOKENS, WIDTH, SEED)
    assert found.shape == (10, TOKENS, WIDTH) and found.dtype == np.float32
    assert 0.9 < found.std() / controls.SIZE < 1.1
    np.testing.assert_array_equal(found, oracle_features([*scenes[:5], *cards[:5]], TOKENS, WIDTH, SEED))
    assert not np.allclose(found, oracle_features([*scenes[:5], *cards[:5]], TOKENS, WIDTH, SEED + 1))


def test_every_thing_has_its_own_patches(scenes):
    for shown, tokens in zip(scenes, oracle_features(scenes, TOKENS, WIDTH, SEED), strict=True):
        kinds = {token.tobytes() for token in tokens}
        assert len(kinds) == len(shown.facts["things"]) + 1, (
            "one kind of token for each thing, one for the background"
        )
        for thing in shown.facts["things"]:
            middle = tokens[int(thing["y"] * 6) * 6 + int(thing["x"] * 6)]
            names = [*ATTRIBUTES, "position"]
            expected = sum(controls._vector(f"{name}={thing[name]}", WIDTH, SEED) for name in names)
            np.testing.assert_allclose(middle, expected / np.sqrt(len(names)), atol=1e-4)


def test_a_card_tells_what_is_asked_of_it(cards):
    for card in cards:
        facts = card_facts(card.facts)
        assert float(facts["latitude_deg"]) == pytest.approx(card.facts["latitude_deg"], abs=0.0501)
        assert -180 <= float(facts["longitude_deg"]) <= 180
        assert {len(facts[name]) for name in controls.DEGREES} == {6}
        assert facts["region"] == card.facts["region"] and facts["p_time_s"].isdigit()


def test_a_linear_probe_reads_every_fact(scenes, cards):
    """Things in place, and numbers, which a trained encoder shows only in part."""
    train, test = [*scenes[:40], *cards[:40]], [*scenes[40:], *cards[40:]]
    found = probe(
        oracle_features(train, TOKENS, WIDTH, SEED), train, oracle_features(test, TOKENS, WIDTH, SEED), test
    ).set_index("property")["value"]
    assert found[[*ATTRIBUTES, "position"]].min() > 0.95
    assert found[["latitude_deg"]].min() > 0.3  # from 40 cards; chance is 0


def test_facts_that_do_not_fit_are_refused(cards):
    with pytest.raises(ValueError, match=r"a token for each of the \d+ facts of a card; .* gives 9"):
        oracle_features(cards[:1], 9, WIDTH, SEED)


def test_the_blank_picture_says_nothing():
    blank = oracle_blank(TOKENS, WIDTH, SEED)
    assert blank.shape == (TOKENS, WIDTH) and (blank == blank[0]).all()


@pytest.fixture
def study(tmp_path, monkeypatch, tiny_params):
    """The tiny study with a random or an oracle encoder in place of its own, whose shape it takes."""
    monkeypatch.setattr(parameters, "PARAMS", tiny_params)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    return load_study("tiny")


def control(monkeypatch, kind: str, **change):
    given = load_encoder("clip", "nano").model_copy(update={"kind": kind, "seed": 4, "name": kind, **change})
    monkeypatch.setattr(features, "load_encoder", lambda name, scale: given)
    return given


def test_random_weights_are_made_once_and_differ_from_the_trained(study, monkeypatch, tiny_clip):
    encoder = control(monkeypatch, "random")
    folder = encoder_folder(encoder)
    written = (folder / "model.safetensors").stat().st_mtime_ns
    assert encoder_folder(encoder) == folder and (folder / "model.safetensors").stat().st_mtime_ns == written
    own, trained = (CLIPVisionModel.from_pretrained(path) for path in (folder, tiny_clip))
    assert own.config.hidden_size == trained.config.hidden_size
    weights = [dict(model.named_parameters()) for model in (own, trained)]
    name = next(name for name in weights[0] if "patch_embedding" in name)
    assert not np.allclose(*(each[name].detach().numpy() for each in weights))
    assert "seed 4" in encoder_card(encoder)["what"]
    assert features.load(study).values.shape[1:] == (9, 16)


def test_the_oracle_refuses_photographs(scenes):
    photograph = replace(scenes[0], facts={})
    with pytest.raises(
        ValueError, match="nothing says it of a photograph; expected scenes that are made here"
    ):
        oracle_features([photograph], TOKENS, WIDTH, SEED)


def test_published_weights_without_a_card_are_described_all_the_same(study):
    card = encoder_card(load_encoder("clip", "nano"))
    assert "published weights" in card["what"] and card["history"] == []


def test_oracle_features_stand_in_the_cache_in_the_order_of_the_pictures(study, monkeypatch):
    monkeypatch.setattr(
        controls, "card_facts", lambda facts: {"region": facts["region"]}
    )  # 9 tokens hold no more
    control(monkeypatch, "oracle")
    cached = features.load(study)
    build_data(study)
    shown = load_pictures(study, "test")
    found = cached.values[cached.rows([one.image for one in shown])].numpy()
    np.testing.assert_array_equal(found, oracle_features(shown, 9, 16, 4))
    np.testing.assert_array_equal(cached.blank.numpy(), oracle_blank(9, 16, 4))
    assert encoder_card(features.load_encoder("clip", "nano"))["data"] == "nothing"


@pytest.mark.parametrize("name", ["nano_random", "nano_oracle"])
def test_control_studies_differ_from_nano_in_the_encoder_only(name):
    nano, other = (load_study(each).model_dump(exclude={"name", "title", "seeds"}) for each in ("nano", name))
    assert {key for key in nano if nano[key] != other[key]} == {"encoder"}
    assert nano["encoder"]["layer"] == other["encoder"]["layer"]
    assert load_encoder(other["encoder"]["name"], "nano").kind == name.removeprefix("nano_")
    assert set(load_study(name).seeds) <= set(load_study("nano").seeds), "runs of one seed are compared"
