"""Backbones and encoders: nothing of the protocol in them, and weights that are there or are said how to make."""

import pytest

from barnlib.components import MADE, Backbone, existing_checkpoint
from barnlib.parameters import load_backbone, load_encoder, load_study
from barnlib.paths import ROOT
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


def test_backbone_cannot_name_anything_of_the_protocol():
    assert set(Backbone.model_fields) & set(Study.model_fields) == {"name", "title", "scale"}


def test_colours_are_different():
    colours = [load_backbone(name, "nano").colour for name in load_study("nano").backbones]
    assert len(set(colours)) == len(colours)
