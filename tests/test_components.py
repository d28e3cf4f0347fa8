"""Backbones and encoders: nothing of the protocol in them, and weights that are there or are said how to make."""

import shutil
from pathlib import Path

import pytest

from barnlib.components import MADE, Backbone, existing_checkpoint
from barnlib.parameters import load_backbone, load_encoder, load_study
from barnlib.paths import ROOT
from barnlib.strict import merged
from barnlib.study import Study


def test_what_is_made_on_the_spot_lies_where_git_looks_away():
    """And is not under runs, which `make clean` deletes."""
    ignored = (ROOT / ".gitignore").read_text().split()
    assert "/params/checkpoints/small/" in ignored
    made = [load_backbone(name, "small") for name in load_study("small").backbones]
    for one in (*made, load_encoder("clip", "small")):
        assert one.checkpoint.startswith(f"{MADE}small/")


@pytest.mark.parametrize(
    ("checkpoint", "scale", "how"),
    [
        (
            "params/checkpoints/small/none",
            "small",
            "`make checkpoints SCALE=small` makes it; expected a folder",
        ),
        ("params/checkpoints/nano/none", "nano", "`make checkpoints SCALE=nano` makes it; expected a folder"),
        ("models/of/mine", "small", "no folder 'models/of/mine'; expected a folder"),
        ("/models/mine", "paper", "no folder '/models/mine'; expected a folder"),
        ("./mine", "paper", "no folder './mine'; expected a folder"),
    ],
)
def test_a_checkpoint_that_is_not_there_names_what_makes_it(checkpoint, scale, how):
    for load, kind in ((load_encoder, "encoders"), (load_backbone, "backbones")):
        name = {"encoders": "clip", "backbones": "llama3"}[kind]
        chosen = load(name, scale).model_copy(update={"checkpoint": checkpoint, "recipe": None})
        with pytest.raises(ValueError) as error:
            existing_checkpoint(chosen)
        place = f"params/{kind}/{name}.yaml: key '{scale}.checkpoint': no folder '{checkpoint}'; "
        assert str(error.value).startswith(place) and how in str(error.value)


def test_a_checkpoint_is_a_folder_or_an_id_of_the_hub():
    nano, paper = (load_backbone("llama3", scale) for scale in ("nano", "paper"))
    assert existing_checkpoint(nano) == ROOT / nano.checkpoint
    assert existing_checkpoint(paper) == "meta-llama/Meta-Llama-3-8B"


@pytest.fixture
def made(tmp_path):
    """The nano backbone and encoder in folders of their own."""
    chosen = load_backbone("llama2", "nano"), load_encoder("clip", "nano")
    for one in chosen:
        shutil.copytree(ROOT / one.checkpoint, tmp_path / one.name)
    return [one.model_copy(update={"checkpoint": str(tmp_path / one.name)}) for one in chosen]


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (
            0,
            {"rope_base": 20000.0, "hidden_size": 64},
            "hidden_size': expected 128, of which FOLDER was made, found 64",
        ),
        (0, {"rope_base": 20000.0}, "rope_base': expected 10000.0, of which FOLDER was made, found 20000.0"),
        (0, {"corpus": {"prose": 0.3}}, "corpus.prose': expected 0.22, of which FOLDER was made, found 0.3"),
        (1, {"layers": 6}, "layers': expected 5, of which FOLDER was made, found 6"),
    ],
)
def test_weights_of_another_recipe_are_refused(made, number, change, message):
    chosen = made[number]
    assert existing_checkpoint(chosen) == Path(chosen.checkpoint)
    recipe = merged(chosen.recipe.model_dump(), change)
    changed = chosen.model_copy(update={"recipe": type(chosen.recipe).model_validate(recipe)})
    with pytest.raises(ValueError) as error:
        existing_checkpoint(changed)
    file = ("params/backbones/llama2.yaml", "params/encoders/clip.yaml")[number]
    said = message.replace("FOLDER", chosen.checkpoint)
    assert str(error.value) == (
        f"{file}: key 'nano.recipe.{said}; `make checkpoints SCALE=nano` makes it anew"
    )


def test_a_damaged_checkpoint_is_named(made):
    for one in made:
        weights = Path(one.checkpoint) / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(ValueError, match=rf"{weights}: expected SHA-256 .*damaged after it was made"):
            existing_checkpoint(one)
        (Path(one.checkpoint) / "manifest.json").unlink()
        (Path(one.checkpoint) / "config.json").write_text("{")
        with pytest.raises(ValueError, match=rf"{one.checkpoint}/config\.json: not valid JSON"):
            existing_checkpoint(one)
        (Path(one.checkpoint) / "config.json").unlink()
        with pytest.raises(
            ValueError, match=rf"{one.checkpoint}: no config\.json there; expected the folder"
        ):
            existing_checkpoint(one)


def test_a_folder_that_was_made_elsewhere_needs_no_manifest_or_card(made):
    mine = made[0].model_copy(update={"recipe": None})
    folder = Path(mine.checkpoint)
    (folder / "card.json").write_text("[]")
    (folder / "manifest.json").write_text('{"other": "tool"}')
    assert existing_checkpoint(mine) == folder


def test_backbone_cannot_name_anything_of_the_protocol():
    assert set(Backbone.model_fields) & set(Study.model_fields) == {"name", "title", "scale"}


def test_colours_are_different():
    colours = [load_backbone(name, "nano").colour for name in load_study("nano").backbones]
    assert len(set(colours)) == len(colours)
