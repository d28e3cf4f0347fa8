"""Backbones and encoders: what makes one of them at each scale, and where its weights lie.

In:  the recipes of recipes.py, for those that are made here.
Out: :class:`Backbone` and :class:`Encoder`, frozen and strictly typed, and the folder or hub id of their weights.
Next: parameters.py reads ``params/backbones/NAME.yaml`` and ``params/encoders/NAME.yaml`` into them.

A backbone file cannot name a prompt, or a learning rate or seed of the study: :class:`Backbone` has no such field
(the recipe of a backbone that is made here has its own, for making it), and unknown keys are refused. That is what
makes the comparison controlled by construction.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from barnlib.artefacts import MANIFEST, read_json, verify
from barnlib.paths import ROOT
from barnlib.recipes import EncoderRecipe, Recipe
from barnlib.strict import Strict

Scale = Literal["nano", "small", "paper"]
Colour = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]
EncoderKind = Literal["trained", "random", "oracle"]
MADE = "params/checkpoints/"  # where encoders and backbones lie that `make checkpoints` makes


class Checkpoint(Strict):
    """One backbone at one scale: where its weights lie and, where they are made here, how."""

    checkpoint: str  # folder relative to the repository, absolute folder, or hub id
    recipe: Recipe | None = None


class BackboneFile(Strict):
    """A whole ``params/backbones/NAME.yaml``."""

    title: str
    colour: Colour  # the same in every chart
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
            it where it is made here. Or the folder has no configuration, was damaged after it was made here, or was
            made of another recipe.
    """
    found = checkpoint_path(chosen.checkpoint)
    made = chosen.recipe is not None or chosen.checkpoint.startswith(MADE)
    if isinstance(found, Path):
        if made and (found / MANIFEST).is_file():
            verify(found)
        if not (found / "config.json").is_file():
            raise ValueError(f"{found}: no config.json there; expected the folder of a Hugging Face model")
        read_json(found / "config.json")
        _require_recipe(chosen, found)
        return found
    if found.count("/") == 1 and not found.startswith(("/", ".")):
        return found
    how = f"; `make checkpoints SCALE={chosen.scale}` makes it" if made else ""
    raise ValueError(
        f"{_file(chosen)}: key '{chosen.scale}.checkpoint': no folder '{found}'{how}; expected a "
        "folder relative to the repository, an absolute folder, or the id of a model on the hub"
    )


def _require_recipe(chosen: Backbone | Encoder, folder: Path) -> None:
    """Refuse weights that another recipe made, by the card that was written with them."""
    if chosen.recipe is None or not (folder / "card.json").is_file():
        return
    card = read_json(folder / "card.json")
    made = dict(_leaves(card.get("recipe", {}) if isinstance(card, dict) else {}))
    for key, value in _leaves(chosen.recipe.model_dump(mode="json")):
        if value != made.get(key):
            raise ValueError(
                f"{_file(chosen)}: key '{chosen.scale}.recipe.{key}': expected {made.get(key)}, of which "
                f"{folder} was made, found {value}; `make checkpoints SCALE={chosen.scale}` makes it anew"
            )


def _leaves(content: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys with their values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def _file(chosen: Backbone | Encoder) -> str:
    kind = "backbones" if isinstance(chosen, Backbone) else "encoders"
    return f"params/{kind}/{chosen.name}.yaml"
