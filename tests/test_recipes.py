"""How the nano models are made: every field is required, has its range, and the shipped recipes fit together."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from barnlib.components import BackboneFile, EncoderFile
from barnlib.corpus import KINDS
from barnlib.parameters import backbone_names, load_backbone, load_encoder, load_study, study_names
from barnlib.paths import ROOT
from barnlib.recipes import EncoderRecipe, Recipe
from barnlib.strict import Strict, parse, read_yaml

FILES = {Recipe: "backbones/llama3", EncoderRecipe: "encoders/clip"}
CONTENT = {
    model: read_yaml(ROOT / "params" / f"{name}.yaml")["nano"]["recipe"] for model, name in FILES.items()
}
WHOLE = {Recipe: BackboneFile, EncoderRecipe: EncoderFile}
MADE_SCALES = ("nano", "small")
SHARES = ("prose", "scenes", "seismic", "structured", "repeats")


def leaves(content: dict, *above: str) -> Iterator[tuple[str, ...]]:
    """Paths of all values of a recipe."""
    for key, value in content.items():
        yield from leaves(value, *above, key) if isinstance(value, dict) else [(*above, key)]


LEAVES = [(model, path) for model, content in CONTENT.items() for path in leaves(content)]
IDS = [".".join(path) for _, path in LEAVES]


def changed(model: type[Strict], path: tuple[str, ...], *value: Any) -> dict:
    """A shipped recipe with another value at a path; without it where none is given."""
    content = deepcopy(CONTENT[model])
    place = content
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    place.update(dict.fromkeys(path[-1:], *value) if value else {})
    return content


def refusal(model: type[Strict], recipe: dict) -> str:
    """What is said of a backbone's or an encoder's file with a recipe."""
    file = read_yaml(ROOT / "params" / f"{FILES[model]}.yaml")
    with pytest.raises(ValueError) as error:
        parse(WHOLE[model], Path("file.yaml"), file | {"nano": file["nano"] | {"recipe": recipe}})
    return str(error.value)


def limits(path: tuple[str, ...]) -> tuple[list[Any], list[Any]]:
    """Values that are taken, and values that are refused, on both sides of a field's ends."""
    name = path[-1]
    if name == "kind":
        return ["sentencepiece_bpe", "byte_level_bpe"], ["wordpiece", "", 1]
    if name == "vocabulary":
        return [300, 128_256], [299, 0, 300.5]
    if name == "seed":
        return [0, 101], [-1, 0.5]
    if name in SHARES:
        return [0.0, 1.0], [-0.01, 1.01]
    if name in ("learning_rate", "rope_base", "epochs"):
        return [1e-9, 500_000.0], [0.0, -1.0, float("inf"), float("nan")]
    if name == "weight_decay":
        return [0.0, 1.0], [-0.01, float("inf"), float("nan")]
    return [1, 4096], [0, -1, 1.5]


@pytest.mark.parametrize(("model", "path"), LEAVES, ids=IDS)
def test_every_field_has_its_range(model: type[Strict], path: tuple[str, ...]):
    taken, refused = limits(path)
    for value in taken:
        found: Any = model.model_validate(changed(model, path, value)).model_dump()
        for key in path:
            found = found[key]
        assert found == value
    for value in [*refused, "1e-4", True, None]:
        with pytest.raises(ValidationError) as error:
            model.model_validate(changed(model, path, value))
        assert [problem["loc"] for problem in error.value.errors()] == [path]


@pytest.mark.parametrize(("model", "path"), LEAVES, ids=IDS)
def test_no_field_is_left_to_a_default(model: type[Strict], path: tuple[str, ...]):
    assert refusal(model, changed(model, path)) == (
        f"file.yaml: key 'nano.recipe.{'.'.join(path)}' is missing"
    )


@pytest.mark.parametrize(("model", "path"), LEAVES, ids=IDS)
def test_a_misspelt_field_is_named_with_the_right_one(model: type[Strict], path: tuple[str, ...]):
    recipe = deepcopy(CONTENT[model])
    place = recipe
    for key in path[:-1]:
        place = place[key]
    place[path[-1] + "s"] = 1
    assert refusal(model, recipe) == (
        f"file.yaml: unknown key 'nano.recipe.{'.'.join(path)}s'; did you mean '{path[-1]}'?"
    )


def test_a_recipe_is_never_changed():
    recipe = Recipe.model_validate(CONTENT[Recipe])
    for part, field in ((recipe, "layers"), (recipe.corpus, "prose"), (recipe.tokenizer, "vocabulary")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(part, field, getattr(part, field))


@pytest.mark.parametrize("scale", MADE_SCALES)
@pytest.mark.parametrize("name", backbone_names())
def test_a_backbone_can_be_made_as_its_recipe_says(name: str, scale: str):
    recipe = load_backbone(name, scale).recipe
    assert recipe is not None
    assert recipe.hidden_size % (2 * recipe.attention_heads) == 0, "RoPE turns pairs of each head"
    assert recipe.attention_heads % recipe.key_value_heads == 0
    assert recipe.sequence_tokens <= recipe.context
    assert recipe.batch_tokens % recipe.sequence_tokens == 0
    assert recipe.corpus.tokens % recipe.batch_tokens == 0, "every step has a whole batch"
    assert sum(getattr(recipe.corpus, share) for share in SHARES) == pytest.approx(1)
    assert set(SHARES) == set(type(recipe.corpus).model_fields) - {"tokens"} == set(KINDS)


@pytest.mark.parametrize("scale", MADE_SCALES)
def test_the_encoder_can_be_made_as_its_recipe_says(scale: str):
    recipe = load_encoder("clip", scale).recipe
    assert recipe is not None
    assert recipe.image_size % recipe.patch_size == 0
    assert recipe.hidden_size % recipe.attention_heads == 0
    assert recipe.batch_images <= 2 * recipe.pictures
    for study in filter(lambda one: one.scale == scale, map(load_study, study_names())):
        assert study.data.image_size == recipe.image_size
        assert -recipe.layers <= study.encoder.layer < 0, "counted from the last layer"


# 1 : 2 : 15 in the real ones; on two cores time allows less.
@pytest.mark.parametrize(("scale", "ratio"), [("nano", 4), ("small", 15)])
def test_the_generations_differ_only_in_what_is_documented(scale: str, ratio: int):
    recipes = {
        name: load_backbone(name, scale).recipe.model_dump() for name in ("llama1", "llama2", "llama3")
    }
    tokens = [recipes[name]["corpus"].pop("tokens") for name in recipes]
    assert tokens[1] / tokens[0] == pytest.approx(2, rel=0.01)
    assert tokens[2] / tokens[0] == pytest.approx(ratio, rel=0.01)
    sizes = [recipes[name]["tokenizer"]["vocabulary"] for name in recipes]
    assert sizes[1] == sizes[0] and sizes[2] == 4 * sizes[0]
    one, two, three = ({k: v for k, v in recipes[name].items() if k != "seed"} for name in recipes)
    assert {key for key in one if one[key] != two[key]} == {"context"}
    differ = {key for key in one if one[key] != three[key]}
    assert differ == {"tokenizer", "corpus", "key_value_heads", "rope_base", "context"}


@pytest.mark.parametrize("name", backbone_names())
def test_a_small_backbone_has_the_mix_of_the_nano_one_and_the_documented_shape(name: str):
    nano, small = (load_backbone(name, scale).recipe for scale in MADE_SCALES)
    assert (
        nano
        and small
        and {share: getattr(small.corpus, share) for share in SHARES}
        == {share: getattr(nano.corpus, share) for share in SHARES}
    )
    contexts = {"llama1": 2048, "llama2": 4096, "llama3": 8192}
    assert (small.context, small.rope_base) == (contexts[name], nano.rope_base)
    assert (small.attention_heads // small.key_value_heads > 1) == (name == "llama3"), "grouped queries"


@pytest.mark.parametrize("name", backbone_names())
def test_a_small_backbone_has_about_a_hundred_million_parameters(name: str):
    recipe = load_backbone(name, "small").recipe
    assert recipe is not None
    heads = recipe.key_value_heads * recipe.hidden_size // recipe.attention_heads
    attention = 2 * recipe.hidden_size * (recipe.hidden_size + heads)
    layer = attention + 3 * recipe.hidden_size * recipe.intermediate_size
    embeddings = 2 * recipe.tokenizer.vocabulary * recipe.hidden_size
    assert recipe.layers * layer + embeddings == pytest.approx(1e8, rel=0.1)
