"""Programs drawn for a scene, one way of drawing for each question type, so that answers are balanced.

In: a `Scene` and a random generator. Out: a program (see `programs`), or None where the scene does not allow
the one that was drawn. Next: `questions` puts it into words.

The answer is drawn before the question wherever a scene leaves a choice, and an answer that few scenes allow
is drawn as much more often (`WEIGHTS`), so that the wording alone says little about the answer. A held-out
pair of colour and shape is named only where the scene shows one, and then as often where it is present as where
it is not: else training would teach that "green circle" means "no".
"""

from collections.abc import Callable, Sequence
from itertools import combinations, permutations, product
from typing import TypeVar

import numpy as np

from barnlib.data.programs import RELATIONS, YES_NO, Facts, odd_one, select
from barnlib.data.scenes import ATTRIBUTES, COLOURS, HELD_OUT, SHAPES, SIZES, Scene, Thing

OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
Value = TypeVar("Value")
Draft = Callable[[Scene, np.random.Generator], Facts | None]

WEIGHTS: dict[str, dict[str, float]] = {
    "existence of colour": {"yes": 1.0, "no": 1.0},
    "existence of shape": {"yes": 1.0, "no": 1.08},
    "existence of colour and shape": {"yes": 1.0, "no": 1.0},
    "count of colour": {"0": 1.0, "1": 1.2, "2": 1.5, "3": 2.4},
    "count of shape": {"0": 1.1, "1": 1.3, "2": 1.65, "3": 2.9},
    "count of size": {"1": 1.9, "2": 2.25, "3": 2.65, "4": 3.8},
    "count of texture": {"1": 1.9, "2": 2.25, "3": 2.65, "4": 4.2},
    "same size": {"yes": 1.0, "no": 1.3},
    "same texture": {"yes": 1.0, "no": 1.25},
    "same colour": {"yes": 1.15, "no": 1.03},
    "same shape": {"yes": 1.0, "no": 1.0},
    "larger": {"yes": 1.0, "no": 1.0},
    "spatial": {"yes": 1.0, "no": 1.0},
    "negation of colour": {"yes": 1.04, "no": 1.08},
    "negation of texture": {"yes": 1.34, "no": 1.02},
    "count of not colour": {"1": 3.8, "2": 2.0, "3": 2.25, "4": 2.5},
    "count of not texture": {"1": 2.15, "2": 2.4, "3": 3.6, "4": 5.2},
}
"""How often an answer is drawn for each kind of question: about one over the share of scenes that allow it,
as measured on 5,000 scenes. Three things of one colour are rare, and asked for about half as often as none."""


def _one_of(rng: np.random.Generator, values: Sequence[Value]) -> Value:
    return values[int(rng.integers(len(values)))]


def _draw(rng: np.random.Generator, weights: dict[str, float]) -> str:
    """A key, drawn with its weight."""
    point = rng.random() * sum(weights.values())
    for key, weight in weights.items():
        point -= weight
        if point < 0:
            return key
    return key


def _values(scene: Scene, name: str) -> list[str]:
    return [getattr(thing, name) for thing in scene.things]


_DESCRIPTIONS = tuple(names for length in (1, 2) for names in combinations(ATTRIBUTES, length))


def _referring(scene: Scene, thing: Thing, rng: np.random.Generator, *avoid: str) -> Facts | None:
    """A selection of this thing alone by one or two attributes not in `avoid`; None where none suffices."""
    found = []
    for names in _DESCRIPTIONS:
        if not any(name in avoid for name in names):
            selection = {name: getattr(thing, name) for name in names}
            if len(select(selection, scene.things)) == 1:
                found.append(selection)
    return _one_of(rng, found) if found else None


def _drawn(rng: np.random.Generator, kind: str, options: dict[str, list[Value]]) -> Value | None:
    """An answer with its weight, then one of the options that have it; None where none has."""
    found = options.get(_draw(rng, WEIGHTS[kind]), [])
    return _one_of(rng, found) if found else None


def _first(scene: Scene, rng: np.random.Generator, drafts: Sequence[Draft]) -> Facts | None:
    """The first draft that the scene allows, tried in random order."""
    for index in rng.permutation(len(drafts)):
        draft = drafts[int(index)](scene, rng)
        if draft is not None:
            return draft
    return None


def _pair_of(
    scene: Scene, rng: np.random.Generator, *avoid: str, kind: str, tell: Callable[[Thing, Thing], str | None]
) -> list[Facts] | None:
    """Selections of two things, drawn by what `tell` answers for them; None where there are no such two."""
    options: dict[str, list[tuple[Thing, Thing]]] = {}
    for a, b in permutations(scene.things, 2):
        answer = tell(a, b)
        if answer is not None:
            options.setdefault(answer, []).append((a, b))
    pair = _drawn(rng, kind, options)
    if pair is None:
        return None
    selections = [_referring(scene, thing, rng, *avoid) for thing in pair]
    found = [selection for selection in selections if selection is not None]
    return found if len(found) == len(pair) else None


def _existence(scene: Scene, rng: np.random.Generator) -> Facts | None:
    kind = _draw(rng, {"colour": 0.3, "shape": 0.3, "colour and shape": 0.4})
    every: list[Facts]
    if kind == "colour and shape":
        thing = _one_of(rng, scene.things)
        unseen = (thing.colour, thing.shape) in HELD_OUT
        every = [
            {"colour": a, "shape": b} for a, b in product(COLOURS, SHAPES) if ((a, b) in HELD_OUT) == unseen
        ]
    else:
        every = [{kind: value} for value in ATTRIBUTES[kind]]
    options: dict[str, list[Facts]] = {}
    for selection in every:
        options.setdefault("yes" if select(selection, scene.things) else "no", []).append(selection)
    drawn = _drawn(rng, f"existence of {kind}", options)
    return None if drawn is None else {"function": "exists", "of": drawn}


def _count(scene: Scene, rng: np.random.Generator) -> Facts | None:
    kind = _draw(rng, {"all": 0.2, "colour": 0.25, "shape": 0.25, "size": 0.15, "texture": 0.15})
    if kind == "all":
        return {"function": "count", "of": {}}
    held = _values(scene, kind)
    options: dict[str, list[Facts]] = {}
    for value in ATTRIBUTES[kind]:
        options.setdefault(str(held.count(value)), []).append({kind: value})
    selection = _drawn(rng, f"count of {kind}", options)
    return None if selection is None else {"function": "count", "of": selection}


def _query(attribute: str, by_position: float) -> Draft:
    """Draws a question for one attribute; in the share `by_position` the thing is named by where it is."""

    def draft(scene: Scene, rng: np.random.Generator) -> Facts | None:
        thing = _one_of(rng, scene.things)
        if rng.random() < by_position:
            selection: Facts | None = {"position": thing.position}
        else:
            selection = _referring(scene, thing, rng, attribute)
        if selection is None:
            return None
        return {"function": "query", "attribute": attribute, "of": selection}

    return draft


def _comparison(scene: Scene, rng: np.random.Generator) -> Facts | None:
    return _first(scene, rng, (_more, _larger, _same))


def _more(scene: Scene, rng: np.random.Generator) -> Facts | None:
    name = _one_of(rng, tuple(ATTRIBUTES))
    held = _values(scene, name)
    unequal = [(a, b) for a, b in permutations(sorted(set(held)), 2) if held.count(a) != held.count(b)]
    if not unequal:
        return None
    a, b = ({name: value} for value in _one_of(rng, unequal))
    return {"function": "more", "of": a, "than": b}


def _larger(scene: Scene, rng: np.random.Generator) -> Facts | None:
    pair = _pair_of(scene, rng, "size", kind="larger", tell=_larger_or_smaller)
    if pair is None:
        return None
    return {"function": "larger", "of": pair[0], "than": pair[1]}


def _larger_or_smaller(a: Thing, b: Thing) -> str | None:
    return None if a.size == b.size else YES_NO[a.size == SIZES[0]]


def _same(scene: Scene, rng: np.random.Generator) -> Facts | None:
    name = _one_of(rng, tuple(ATTRIBUTES))
    pair = _pair_of(
        scene, rng, name, kind=f"same {name}", tell=lambda a, b: YES_NO[getattr(a, name) != getattr(b, name)]
    )
    if pair is None:
        return None
    return {"function": "same", "attribute": name, "of": pair[0], "than": pair[1]}


def _spatial(scene: Scene, rng: np.random.Generator) -> Facts | None:
    relation = _one_of(rng, tuple(RELATIONS))

    def tell(a: Thing, b: Thing) -> str | None:
        """Only pairs that clearly lie one way or the other: never two things in one column, or in one row."""
        if RELATIONS[relation](a, b):
            return "yes"
        return "no" if RELATIONS[OPPOSITES[relation]](a, b) else None

    pair = _pair_of(scene, rng, kind="spatial", tell=tell)
    if pair is None:
        return None
    return {"function": "related", "of": pair[0], "relation": relation, "to": pair[1]}


def _two_hop(scene: Scene, rng: np.random.Generator) -> Facts | None:
    """The thing asked for is found only by way of another: without the relation, its words fit several."""
    attribute = _one_of(rng, ("colour", "shape"))
    several: list[Facts] = [{}]
    for name in ATTRIBUTES:
        held = _values(scene, name)
        several += [
            {name: value} for value in sorted(set(held)) if name != attribute and held.count(value) > 1
        ]
    options: list[tuple[Facts, str, Thing]] = []
    for anchor in scene.things:
        for relation, holds in RELATIONS.items():
            near = [thing for thing in scene.things if holds(thing, anchor)]
            options += [(only, relation, anchor) for only in several if len(select(only, near)) == 1]
    if not options:
        return None
    selection, relation, anchor = _one_of(rng, options)
    to = _referring(scene, anchor, rng)
    if to is None:
        return None
    of = {**selection, "relation": relation, "to": to}
    return {"function": "query", "attribute": attribute, "of": of}


def _negation(scene: Scene, rng: np.random.Generator) -> Facts | None:
    return _first(scene, rng, (_negation_exists, _negation_count, _negation_query))


def _negated(scene: Scene) -> list[tuple[Facts, str, str]]:
    """(what some things are, an attribute, a value of it that at least one of them has)."""
    found = []
    for name in ("shape", "size"):
        for value in sorted(set(_values(scene, name))):
            for other in ("colour", "texture"):
                held = {getattr(thing, other) for thing in scene.things if getattr(thing, name) == value}
                found += [({name: value}, other, refused) for refused in sorted(held)]
    return found


def _negation_exists(scene: Scene, rng: np.random.Generator) -> Facts | None:
    name = _one_of(rng, ("colour", "texture"))
    options: dict[str, list[tuple[Facts, str, str]]] = {}
    for selection, other, refused in _negated(scene):
        if other == name:
            held = {getattr(thing, other) for thing in select(selection, scene.things)}
            options.setdefault(YES_NO[held == {refused}], []).append((selection, other, refused))
    drawn = _drawn(rng, f"negation of {name}", options)
    if drawn is None:
        return None
    selection, other, refused = drawn
    return {"function": "exists", "of": {**selection, "not": {other: refused}}}


def _negation_count(scene: Scene, rng: np.random.Generator) -> Facts | None:
    name = _one_of(rng, ("colour", "texture"))
    held = _values(scene, name)
    options: dict[str, list[str]] = {}
    for value in sorted(set(held)):
        options.setdefault(str(len(held) - held.count(value)), []).append(value)
    refused = _drawn(rng, f"count of not {name}", options)
    return None if refused is None else {"function": "count", "of": {"not": {name: refused}}}


def _negation_query(scene: Scene, rng: np.random.Generator) -> Facts | None:
    attribute = _one_of(rng, ("colour", "shape"))
    options = []
    for selection, other, refused in _negated(scene):
        among = select(selection, scene.things)
        left = [thing for thing in among if getattr(thing, other) != refused]
        if attribute not in (*selection, other) and len(left) == 1 < len(among):
            options.append((selection, other, refused))
    if not options:
        return None
    selection, other, refused = _one_of(rng, options)
    of = {**selection, "not": {other: refused}}
    return {"function": "query", "attribute": attribute, "of": of}


def _odd_one_out(scene: Scene, rng: np.random.Generator) -> Facts | None:
    odd = [name for name in ATTRIBUTES if odd_one(name, scene.things) is not None]
    if not odd:
        return None
    by = _one_of(rng, odd)
    attribute = _one_of(rng, tuple(name for name in ("colour", "shape", "position") if name != by))
    return {"function": "odd", "by": by, "attribute": attribute}


DRAFTS: dict[str, Draft] = {
    "existence": _existence,
    "colour": _query("colour", by_position=0.5),
    "shape": _query("shape", by_position=0.5),
    "size": _query("size", by_position=0.5),
    "texture": _query("texture", by_position=0.5),
    "count": _count,
    "position": _query("position", by_position=0.0),
    "comparison": _comparison,
    "spatial": _spatial,
    "two_hop": _two_hop,
    "negation": _negation,
    "odd_one_out": _odd_one_out,
}
