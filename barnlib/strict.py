"""Frozen, strictly typed models and the YAML files that they are read from.

In:  a YAML file and the model that it must fit.
Out: the model; or a `ValueError` that names the file, the key, what was expected and what was found.
Next: recipes.py, components.py and study.py say what the files of ``params/`` hold.
"""

import difflib
import json
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0)]
FORM = "form: "
"""Begins the tag of one of the forms that a key's value may have; pydantic names it among the keys, no file has it."""


class _EachKeyOnce(yaml.SafeLoader):
    """PyYAML's reader, but a key that occurs twice in one mapping is refused, where PyYAML takes the last."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                first = seen[key.tag, key.value]
                where = f"line {line}" if first == line else f"lines {first} and {line}"
                raise ValueError(f"key '{key.value}' occurs twice ({where}); expected every key once")
            if isinstance(key, yaml.ScalarNode):
                seen[key.tag, key.value] = line
        return node


class Strict(BaseModel):
    """Frozen, strictly typed, unknown keys and numbers that are not finite refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> dict:
    """The keys and values of a YAML file.

    Raises:
        ValueError: no UTF-8, no valid YAML, a key twice in one mapping, a value that refers to itself, or something
            else than keys and values; names the file.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _EachKeyOnce)
        json.dumps(content, default=str)  # refuses an alias inside what it stands for, and a date as key
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {error}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected keys and values, found {type(content).__name__}")
    return content


def parse(model: type[Model], path: Path, content: dict) -> Model:
    """The model of a file's content.

    Raises:
        ValueError: one line for each key that is unknown, missing or of another type, with the file and the key.
    """
    try:
        # Through JSON, because pydantic's strict mode takes a YAML list for a tuple only there.
        return model.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise ValueError("\n".join(_explain(path, one, model) for one in _own(error.errors()))) from None


def _own(problems: list[Any]) -> list[Any]:
    """Without a list that counts as too short only because of a fault in one of its entries, which is named itself."""
    return [
        one
        for one in problems
        if one["type"] != "too_short" or not any(other["loc"][:-1] == one["loc"] for other in problems)
    ]


def _explain(path: Path, problem: Any, model: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in problem["loc"] if not str(part).startswith(FORM))
    if problem["type"] == "extra_forbidden":
        # the same word may be a key elsewhere in the file, which is no suggestion
        others = [name for name in _keys(model) if name != problem["loc"][-1]]
        near = difflib.get_close_matches(str(problem["loc"][-1]), others, n=1)
        return f"{path}: unknown key '{key}'" + (f"; did you mean '{near[0]}'?" if near else "")
    if problem["type"] == "missing":
        return f"{path}: key '{key}' is missing"
    found = problem["input"]
    hint = (
        " (YAML reads 1e-4 as text; write 1.0e-4)"
        if isinstance(found, str) and "float" in problem["type"]
        else ""
    )
    return f"{path}: key '{key}': {problem['msg']}; found {found!r}{hint}"


def _keys(model: type[BaseModel]) -> list[str]:
    keys: list[str] = []
    for name, field in model.model_fields.items():
        keys.append(name)
        for part in _parts(field.annotation):
            if isinstance(part, type) and issubclass(part, BaseModel):
                keys += _keys(part)
    return keys


def _parts(annotation: Any) -> list[Any]:
    """A type and all that it is put together from."""
    return [annotation, *(part for one in get_args(annotation) for part in _parts(one))]


def merged(base: dict, over: dict) -> dict:
    """``base`` with the keys of ``over``; where both hold mappings, these are merged in the same way."""
    both = {
        key: merged(base[key], over[key])
        for key in base.keys() & over.keys()
        if _are_mappings(base[key], over[key])
    }
    return base | over | both


def _are_mappings(*values: Any) -> bool:
    return all(isinstance(value, dict) for value in values)
