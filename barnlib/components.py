"""Backbones and encoders: what makes one of them at each scale, and where its weights lie.

In:  the recipes of recipes.py, for those that are made here.
Out: :class:`Backbone` and :class:`Encoder`, frozen and strictly typed, and the folder or hub id of their weights.
Next: parameters.py reads ``params/backbones/NAME.yaml`` and ``params/encoders/NAME.yaml`` into them.

A backbone file cannot name a prompt, or a learning rate or seed of the study: :class:`Backbone` has no such field
(the recipe of a backbone that is made here has its own, for making it), and unknown keys are refused. That is what
makes the comparison controlled by construction.
"""

from pathlib import Path
from typing import Literal

from barnlib.paths import ROOT
from barnlib.recipes import EncoderRecipe, Recipe
from barnlib.strict import Strict

Scale = Literal["nano", "small", "paper"]
EncoderKind = Literal["trained", "random", "oracle"]
MADE = "params/checkpoints/"  # where encoders and backbones lie that `make checkpoints` makes


class Checkpoint(Strict):
    """One backbone at one scale: where its weights lie and, where they are made here, how."""

    checkpoint: str  # folder relative to the repository, absolute folder, or hub id
    recipe: Recipe | None = None


class BackboneFile(Strict):
    """A whole ``params/backbones/NAME.yaml``."""

    title: str
    colour: str  # hexadecimal, the same in every chart
    nano: Checkpoint | None = None
    small: Checkpoint | None = None
    paper: Checkpoint | None = None


class Backbone(Strict):
    """One backbone at the scale of a study."""

    name: str
    title: str
    colour: str
    scale: str
    checkpoint: str
    recipe: Recipe | None


class EncoderCheckpoint(Strict):
    """One encoder at one scale: where its weights lie and, where they are made here, how.

    A control (see :mod:`barnlib.controls`) names the checkpoint whose shape it takes, and the seed of its numbers.
    """

    checkpoint: str
    recipe: EncoderRecipe | None = None
    seed: int = 0


class EncoderFile(Strict):
    """A whole ``params/encoders/NAME.yaml``."""

    title: str
    kind: EncoderKind = "trained"
    nano: EncoderCheckpoint | None = None
    small: EncoderCheckpoint | None = None
    paper: EncoderCheckpoint | None = None


class Encoder(Strict):
    """One encoder at the scale of a study."""

    name: str
    title: str
    kind: EncoderKind
    scale: str
    checkpoint: str
    recipe: EncoderRecipe | None
    seed: int


def checkpoint_path(checkpoint: str) -> Path | str:
    """A checkpoint's folder where it is one (absolute, or relative to the repository), else its hub id."""
    folder = ROOT / checkpoint
    return folder if folder.exists() else checkpoint


def existing_checkpoint(chosen: Backbone | Encoder) -> Path | str:
    """As :func:`checkpoint_path`, of a backbone or an encoder whose folder must be there.

    Raises:
        ValueError: what is named is no hub id (OWNER/NAME), and there is no such folder; names the command that makes
            it where it is made here.
    """
    found = checkpoint_path(chosen.checkpoint)
    if isinstance(found, Path) or (found.count("/") == 1 and not found.startswith(("/", "."))):
        return found
    kind = "backbones" if isinstance(chosen, Backbone) else "encoders"
    made = chosen.recipe is not None or found.startswith(MADE)
    how = f"; `make checkpoints SCALE={chosen.scale}` makes it" if made else ""
    raise ValueError(
        f"params/{kind}/{chosen.name}.yaml: key '{chosen.scale}.checkpoint': no folder '{found}'{how}; expected a "
        "folder relative to the repository, an absolute folder, or the id of a model on the hub"
    )
