"""The study's parameters: which YAML files ``params/`` holds, and each of them read.

In:  ``params/studies/NAME.yaml`` (the protocol, the same for every backbone), ``params/backbones/NAME.yaml`` and
     ``params/encoders/NAME.yaml`` (what makes one of them, at each scale).
Out: a :class:`~barnlib.study.Study`, a :class:`~barnlib.components.Backbone` and an
     :class:`~barnlib.components.Encoder`, which later modules take as arguments.
"""

import difflib
from pathlib import Path
from typing import get_args

from pydantic import BaseModel

from barnlib.components import Backbone, BackboneFile, Encoder, EncoderFile, Scale
from barnlib.paths import ROOT
from barnlib.strict import merged, parse, read_yaml
from barnlib.study import Study

PARAMS = ROOT / "params"


def study_names() -> tuple[str, ...]:
    """Names of the studies in ``params/studies``."""
    return _names("studies")


def backbone_names() -> tuple[str, ...]:
    """Names of the backbones in ``params/backbones``."""
    return _names("backbones")


def load_study(name: str) -> Study:
    """The study ``params/studies/NAME.yaml``.

    A study that differs from another in a few keys names it as ``base`` and holds those keys only.

    Raises:
        ValueError: no such study; a key that does not exist, is missing or has the wrong type (with the file and
            the key); a backbone that does not exist or has no checkpoint at the study's scale.
    """
    path = _existing("study", "studies", name)
    study = parse(Study, path, {"name": name} | _with_base(path))
    if study.name != name:
        raise ValueError(f"{path}: key 'name' is '{study.name}', expected '{name}', the name of the file")
    load_encoder(study.encoder.name, study.scale)
    for backbone in study.backbones:
        load_backbone(backbone, study.scale)
    return study


def load_backbone(name: str, scale: str) -> Backbone:
    """The backbone ``params/backbones/NAME.yaml`` at one scale.

    Raises:
        ValueError: no such backbone, no such scale in its file, or a malformed file.
    """
    path = _existing("backbone", "backbones", name)
    file = parse(BackboneFile, path, read_yaml(path))
    at_scale = _at_scale(path, file, scale)
    return Backbone(name=name, title=file.title, colour=file.colour, scale=scale, **dict(at_scale))


def load_encoder(name: str, scale: str) -> Encoder:
    """The encoder ``params/encoders/NAME.yaml`` at one scale. Raises as :func:`load_backbone`."""
    path = _existing("encoder", "encoders", name)
    file = parse(EncoderFile, path, read_yaml(path))
    at_scale = dict(_at_scale(path, file, scale))
    return Encoder(name=name, title=file.title, kind=file.kind, scale=scale, **at_scale)


def _with_base(path: Path) -> dict:
    """The content of a study file, put over that of the study that it names as ``base``."""
    content = read_yaml(path)
    if "base" not in content:
        return content
    base = read_yaml(_existing("study", "studies", content.pop("base")))
    if "base" in base:
        raise ValueError(
            f"{path}: key 'base': a study with a base of its own cannot be one; name '{base['base']}'"
        )
    both = merged(base, content)
    for kind in ("scenes", "cards"):
        below, above = (_pictures(part, kind) for part in (base, content))
        if above and ("records" in above) != ("records" in below):
            both["data"][kind] = above  # counts of one study and records of the other are no mixture
    return both


def _pictures(content: dict, kind: str) -> dict:
    """What a study file says of a kind of picture; {} where that is nothing, or no mapping."""
    data = content.get("data")
    said = data.get(kind) if isinstance(data, dict) else None
    return said if isinstance(said, dict) else {}


def _at_scale(path: Path, file: BaseModel, scale: str) -> BaseModel:
    at_scale: BaseModel | None = getattr(file, scale)
    if at_scale is None:
        have = [s for s in get_args(Scale) if getattr(file, s)]
        raise ValueError(f"{path}: '{path.stem}' has no scale '{scale}'; it has {', '.join(have) or 'none'}")
    return at_scale


def _names(kind: str) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (PARAMS / kind).glob("*.yaml")))


def _existing(word: str, folder: str, name: str) -> Path:
    names = _names(folder)
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        raise ValueError(f"no {word} '{name}' in {PARAMS / folder}: there are {', '.join(names)}{hint}")
    return PARAMS / folder / f"{name}.yaml"
