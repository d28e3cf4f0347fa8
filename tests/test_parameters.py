"""Study and backbone files: every one loads, and a wrong one is refused by name."""

import shutil
import warnings
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import yaml

from barnlib import parameters
from barnlib.artefacts import read_json
from barnlib.components import checkpoint_path
from barnlib.parameters import load_backbone, load_encoder, load_study, require_fitting_encoder
from barnlib.paths import ROOT
from barnlib.study import TASKS_OF_THE_PAPER, RecordsParameters, Study

CONDITION = {
    "measure": "accuracy_difference",
    "of": "newest",
    "which": "every",
    "side": "above",
    "threshold": 0.0,
}


@pytest.fixture
def params(tmp_path, monkeypatch):
    """A writable copy of params/."""
    for path in parameters.PARAMS.glob("*/*.yaml"):
        target = tmp_path / path.relative_to(parameters.PARAMS)
        target.parent.mkdir(exist_ok=True)
        target.write_text(path.read_text())
    monkeypatch.setattr(parameters, "PARAMS", tmp_path)
    return tmp_path


def edit(path: Path, **changes) -> None:
    """Set dotted keys of a YAML file (``data__seed=1`` sets data.seed)."""
    content = yaml.safe_load(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(yaml.safe_dump(content))


def test_every_file_loads():
    studies, backbones = parameters.study_names(), parameters.backbone_names()
    assert len(studies) >= 6 and {"nano", "smoke", "small", "paper"} <= set(studies)
    assert len(backbones) >= 3 and {"llama1", "llama2", "llama3"} <= set(backbones)
    for name in studies:
        study = load_study(name)
        assert study.name == name
        assert load_encoder(study.encoder.name, study.scale).checkpoint
        for backbone in study.backbones:
            assert load_backbone(backbone, study.scale).name == backbone


def test_a_task_that_has_a_length_is_asked_after_the_three(params, monkeypatch):
    more = replace(parameters.registry.ALL[0], name="other")
    monkeypatch.setattr(parameters.registry, "ALL", (*parameters.registry.ALL, more))
    limits = {"other": 4, "seismic_coordinates": 40, "vqa_scene": 8, "seismic_description": 120}
    edit(params / "studies/nano.yaml", evaluation__max_new_tokens=limits)
    assert load_study("nano").tasks == (*TASKS_OF_THE_PAPER, "other")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"finetune__learning_rat": 0.1},
            r"nano\.yaml: unknown key 'finetune\.learning_rat'; did you mean 'learning_rate'",
        ),
        (
            {"finetune__learning_rate": "1e-4"},
            r"finetune\.learning_rate.*found '1e-4' \(YAML reads 1e-4 as text",
        ),
        ({"finetune__learning_rate": -1.0}, r"finetune\.learning_rate.*greater than 0; found -1\.0"),
        ({"data__seed": True}, r"data\.seed.*valid integer; found True"),
        ({"seeds": []}, r"nano\.yaml: key 'seeds'"),
        (
            {"backbones": ["llama3", "llama33"]},
            r"no backbone 'llama33' in .*there are llama1.*did you mean 'llama3'",
        ),
        ({"encoder__name": "clop"}, r"no encoder 'clop' in .*did you mean 'clip'"),
        ({"name": "other"}, r"key 'name' is 'other', expected 'nano'"),
        ({"scale": "tiny"}, r"key 'scale'.*found 'tiny'"),
        ({"seeds": [0, 0]}, r"key 'seeds'.*each of them once.*found \[0, 0\]"),
        ({"seeds": [-1]}, r"^\S+nano\.yaml: key 'seeds\.0'[^\n]*greater than or equal to 0; found -1$"),
        ({"seeds": [date(2026, 1, 1)]}, r"key 'seeds\.0'.*valid integer.*found '2026-01-01'"),
        ({"backbones": ["llama1", "llama1"]}, r"key 'backbones'.*each of them once"),
        (
            {"evaluation__max_new_tokens": {"vqa_scene": 8, "seismic_coordinate": 40}},
            r"key 'evaluation\.max_new_tokens'.*a limit for each of vqa_scene, seismic_description",
        ),
        ({"evaluation__tolerance_km": float("inf")}, r"key 'evaluation\.tolerance_km'.*finite number"),
        ({"seed": [0]}, r"unknown key 'seed'; did you mean 'seeds'"),
        (
            {"data__scenes": {"records": "barns", "train": 3}},
            r"nano\.yaml: key 'data\.scenes': expected either counts of what is to be made \(train, validation, test, "
            r"questions\) or nothing but 'records'",
        ),
        (
            {"data__cards": 3},
            r"key 'data\.cards': expected either counts .*heldout\) or nothing but 'records'.*found 3",
        ),
        ({"data__cards": {"records": 3}}, r"key 'data\.cards\.records': .*valid string; found 3"),
        ({"data__cards__held": 3}, r"unknown key 'data\.cards\.held'; did you mean 'heldout'"),
        (
            {"data__scenes__test": 1},
            r"nano\.yaml: key 'data\.scenes\.test'.*greater than or equal to 2; found 1",
        ),
        (
            {"data__cards__test": 1},
            r"nano\.yaml: key 'data\.cards\.test'.*greater than or equal to 2; found 1",
        ),
        ({"data__cards__heldout": 1}, r"key 'data\.cards\.heldout'.*greater than or equal to 2; found 1"),
        (
            {"evaluation__max_new_tokens__vqa_scen": 8},
            r"nano\.yaml: key 'evaluation\.max_new_tokens': no task 'vqa_scen'; there are vqa_scene, "
            r"seismic_description, seismic_coordinates; did you mean 'vqa_scene'\?",
        ),
        (
            {"verdicts__C2": [CONDITION | {"tasks": []}, CONDITION | {"tasks": ["vqa_scen"]}]},
            r"nano\.yaml: key 'verdicts\.C2\.1\.tasks': no task 'vqa_scen'; there are vqa_scene, ",
        ),
        ({"data": 3}, r"key 'data'.*found 3"),
    ],
)
def test_malformed_study_is_refused(params, change, message):
    edit(params / "studies/nano.yaml", **change)
    with pytest.raises(ValueError, match=message):
        load_study("nano")


def test_missing_key_is_refused(params):
    path = params / "studies/nano.yaml"
    content = yaml.safe_load(path.read_text())
    del content["align"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=r"nano\.yaml: key 'align' is missing"):
        load_study("nano")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", r"other\.yaml: not valid YAML"),
        ("- 1", r"other\.yaml: expected keys and values, found list"),
        ("base: nano\nalign: {epoch: 7.0}", r"unknown key 'align\.epoch'; did you mean 'epochs'\?"),
        ("base: nanno", r"no study 'nanno' .*did you mean 'nano'\?"),
        ("base: middle", r"a study with a base of its own cannot be one; name 'nano'"),
        ("base:", r"other\.yaml: key 'base': expected the name of a study, found None"),
        ("base: [nano]", r"other\.yaml: key 'base': expected the name of a study, found \['nano'\]"),
        ("base: wrong", r"wrong\.yaml: unknown key 'align\.epoch'; did you mean 'epochs'\?"),
    ],
)
def test_what_cannot_be_a_study_is_refused(params, text, message):
    (params / "studies/middle.yaml").write_text("base: nano\n")
    shutil.copy(params / "studies/nano.yaml", params / "studies/wrong.yaml")
    edit(params / "studies/wrong.yaml", align__epoch=1.0)
    (params / "studies/other.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_study("other")


def test_unknown_study_names_the_ones_that_exist():
    with pytest.raises(ValueError, match=r"no study 'nanno' in .*there are .*nano.*did you mean 'nano'"):
        load_study("nanno")


def test_backbone_without_the_scale_is_refused(params):
    with pytest.raises(ValueError, match=r"llama3\.yaml: 'llama3' has no scale 'paper'; it has nano"):
        edit(params / "backbones/llama3.yaml", paper=None)
        load_backbone("llama3", "paper")


def test_backbones_of_one_title_are_refused(params):
    edit(params / "backbones/llama3.yaml", title=load_backbone("llama1", "nano").title)
    said = r"backbones/llama1\.yaml and \S*backbones/llama3\.yaml: key 'title': expected different .*'LLaMA-1"
    with pytest.raises(ValueError, match=said):
        load_study("nano")
    edit(params / "studies/nano.yaml", backbones=["llama2", "llama3"])
    assert load_study("nano").backbones == ("llama2", "llama3")


@pytest.mark.parametrize("colour", ["notacolour", "#12345", "red", "#1234567", "D55E00"])
def test_a_colour_is_hexadecimal(params, colour):
    edit(params / "backbones/llama3.yaml", colour=colour)
    with pytest.raises(ValueError, match=rf"llama3\.yaml: key 'colour': .*\{{6\}}\$'; found '{colour}'"):
        load_backbone("llama3", "nano")


@pytest.mark.parametrize("name", ["my study", "a;b", "-nano", ".nano", "$HOME"])
def test_a_name_that_a_command_cannot_hold_is_refused(params, name):
    shutil.copy(params / "studies/nano.yaml", params / f"studies/{name}.yaml")
    with pytest.raises(ValueError) as error:
        load_study(name)
    assert str(error.value).startswith(
        f"{params}/studies/{name}.yaml: expected a file name of letters, digits, "
    )
    shutil.copy(params / "studies/nano.yaml", params / "studies/my_Study-2.b.yaml")
    assert load_study("my_Study-2.b").title


@pytest.mark.parametrize(
    ("layer", "size", "message"),
    [
        (99, 96, "key 'encoder.layer': expected -6 to 5 for the encoder 'clip', found 99"),
        (6, 96, "key 'encoder.layer': expected -6 to 5 for the encoder 'clip', found 6"),
        (-7, 96, "key 'encoder.layer': expected -6 to 5 for the encoder 'clip', found -7"),
        (-2, 97, "key 'data.image_size': the encoder 'clip' takes 96 pixels, found 97"),
    ],
)
def test_what_an_encoder_does_not_have_is_refused(params, layer, size, message):
    config = read_json(checkpoint_path(load_encoder("clip", "nano").checkpoint) / "config.json")
    for fits in (-6, -2, 0, 5):
        edit(params / "studies/nano.yaml", encoder__layer=fits)
        require_fitting_encoder(load_study("nano"), config)
    edit(params / "studies/nano.yaml", encoder__layer=layer, data__image_size=size)
    study = load_study("nano")
    whole = {"num_hidden_layers": 1, "vision_config": {"num_hidden_layers": 5, "image_size": 96}}
    for said in (config, whole):  # of a vision model, and of one that reads, too
        with pytest.raises(ValueError) as error:
            require_fitting_encoder(study, said)
        assert str(error.value) == f"params/studies/nano.yaml: {message}"
    require_fitting_encoder(
        study, {"vision_config": {"model_type": "siglip_vision_model"}}
    )  # it does not say


def test_protocol_key_in_a_backbone_file_is_refused(params):
    edit(params / "backbones/llama3.yaml", prompt={"arm": "native"})
    with pytest.raises(ValueError, match=r"llama3\.yaml: unknown key 'prompt'"):
        load_backbone("llama3", "nano")


def test_a_study_may_hold_only_what_differs_from_its_base(params):
    (params / "studies/other.yaml").write_text("base: nano\ntitle: Other\nalign: {epochs: 7.0}\n")
    other, base = load_study("other"), load_study("nano")
    assert (other.name, other.title, other.align.epochs) == ("other", "Other", 7.0)
    assert other.align.batch_images == base.align.batch_images and other.data == base.data


def test_a_kind_of_picture_is_made_or_taken_and_no_mixture_comes_of_a_base(params):
    base = load_study("nano")
    taken = "base: nano\ndata:\n  scenes: {records: barns}\n  cards: {records: /quakes/records}\n"
    (params / "studies/other.yaml").write_text(taken)
    other = load_study("other")
    assert isinstance(other.data.scenes, RecordsParameters) and isinstance(
        other.data.cards, RecordsParameters
    )
    assert other.data.scenes.folder == ROOT / "barns"
    assert other.data.cards.folder == Path("/quakes/records")
    assert (other.data.seed, other.data.image_size) == (base.data.seed, base.data.image_size)
    with warnings.catch_warnings(action="error"):
        for study in (base, other):
            assert Study.model_validate_json(study.model_dump_json()) == study

    content = yaml.safe_load((params / "studies/nano.yaml").read_text())
    content["data"]["scenes"] = {"records": "barns"}
    (params / "studies/taking.yaml").write_text(yaml.safe_dump(content))
    (params / "studies/other.yaml").write_text("base: taking\ntitle: Other\ndata: {seed: 3}\n")
    assert load_study("other").data == load_study("taking").data.model_copy(update={"seed": 3})
    counts = base.data.scenes.model_dump()
    (params / "studies/other.yaml").write_text(yaml.safe_dump({"base": "taking", "data": {"scenes": counts}}))
    assert load_study("other").data == base.data
    (params / "studies/other.yaml").write_text("base: nano\ndata: {scenes: {train: 7}}\n")
    assert load_study("other").data.scenes == base.data.scenes.model_copy(update={"train": 7})


def test_a_mixture_over_a_base_is_refused_as_any_other(params):
    for said in ("{scenes: 3}", "3", "{scenes: {records: barns, train: 3}}"):
        (params / "studies/other.yaml").write_text(f"base: nano\ndata: {said}\n")
        with pytest.raises(ValueError, match=r"other\.yaml: key 'data"):
            load_study("other")


def test_counts_are_written_as_they_were_before_records_could_be_named():
    """What decides a made data folder: its digest is that of the keys in the file."""
    content = yaml.safe_load((parameters.PARAMS / "studies/smoke.yaml").read_text())
    assert load_study("smoke").data.model_dump() == content["data"]
