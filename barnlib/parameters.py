"""The study's parameters: which YAML files ``params/`` holds, and each of them read.

In:  ``params/studies/NAME.yaml`` (the protocol, the same for every backbone), ``params/backbones/NAME.yaml`` and
     ``params/encoders/NAME.yaml`` (what makes one of them, at each scale).
Out: a :class:`~barnlib.study.Study`, a :class:`~barnlib.components.Backbone` and an
     :class:`~barnlib.components.Encoder`, which later modules take as arguments.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from barnlib.components import Backbone, BackboneFile, Encoder, EncoderFile, Scale
from barnlib.paths import ROOT
from barnlib.strict import merged, parse, read_yaml
from barnlib.study import Study
from barnlib.tasks import registry

PARAMS = ROOT / "params"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")  # of a file: it stands in commands and in names of folders


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
            the key); a task that does not exist; a backbone that does not exist, has no checkpoint at the study's
            scale or the title of another one.
    """
    path = _existing("study", "studies", name)
    study = _study(path, _with_base(path))
    load_encoder(study.encoder.name, study.scale)
    named: dict[str, str] = {}
    for backbone in study.backbones:
        title = load_backbone(backbone, study.scale).title
        if title in named:
            files = f"{PARAMS / 'backbones' / named[title]}.yaml and {PARAMS / 'backbones' / backbone}.yaml"
            raise ValueError(
                f"{files}: key 'title': expected different ones, because charts tell backbones apart by them, found "
                f"'{title}' in both"
            )
        named[title] = backbone
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


def require_fitting_encoder(study: Study, config: Mapping[str, Any]) -> None:
    """Refuse a layer that the encoder does not have, and pictures of another size than it takes.

    Args:
        config: of the encoder, as its config.json holds it or its model; what it does not say is not asked.

    Raises:
        ValueError: names the study's file and key.
    """
    said = config.get("vision_config") or config
    place, name = f"params/studies/{study.name}.yaml", study.encoder.name
    layers, size = said.get("num_hidden_layers"), said.get("image_size")
    # hidden states are those of the layers, and before them the embeddings
    if isinstance(layers, int) and not -layers - 1 <= study.encoder.layer <= layers:
        raise ValueError(
            f"{place}: key 'encoder.layer': expected {-layers - 1} to {layers} for the encoder '{name}', found "
            f"{study.encoder.layer}"
        )
    if isinstance(size, int) and size != study.data.image_size:
        raise ValueError(
            f"{place}: key 'data.image_size': the encoder '{name}' takes {size} pixels, found "
            f"{study.data.image_size}"
        )


def _study(path: Path, content: dict) -> Study:
    """The study of a file's content, with tasks that there are."""
    study = parse(Study, path, {"name": path.stem} | content)
    if study.name != path.stem:
        raise ValueError(
            f"{path}: key 'name' is '{study.name}', expected '{path.stem}', the name of the file"
        )
    asked = {"evaluation.max_new_tokens": study.tasks}
    for claim, conditions in study.verdicts or ():
        asked |= {f"verdicts.{claim}.{number}.tasks": one.tasks for number, one in enumerate(conditions)}
    known = [task.name for task in registry.ALL]
    for key, tasks in asked.items():
        for task in (one for one in tasks if one not in known):
            raise ValueError(f"{path}: key '{key}': no task '{task}'; there are {_listed(task, known)}")
    return study


def _with_base(path: Path) -> dict:
    """The content of a study file, put over that of the study that it names as ``base``."""
    content = read_yaml(path)
    if "base" not in content:
        return content
    name = content.pop("base")
    if not isinstance(name, str):
        raise ValueError(f"{path}: key 'base': expected the name of a study, found {name!r}")
    base_path = _existing("study", "studies", name)
    base = read_yaml(base_path)
    if "base" in base:
        raise ValueError(
            f"{path}: key 'base': a study with a base of its own cannot be one; name '{base['base']}'"
        )
    _study(base_path, base)  # so that a fault of the base is said of its own file
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
        raise ValueError(f"no {word} '{name}' in {PARAMS / folder}: there are {_listed(name, names)}")
    path = PARAMS / folder / f"{name}.yaml"
    if not NAME.fullmatch(name):
        raise ValueError(
            f"{path}: expected a file name of letters, digits, '_', '-' and '.' that begins with none of the last two, "
            f"because commands hold it, found '{name}'"
        )
    return path


def _listed(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name), names, n=1)
    return ", ".join(names) + (f"; did you mean '{near[0]}'?" if near else "")
