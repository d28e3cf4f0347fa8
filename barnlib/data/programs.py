"""The small programs that prove the answers of VQA-Scene.

In: a program (plain JSON) and a `Scene`. Out: the answer, and the closed list that it comes from.
Next: `drafts` draws programs for a scene, `questions` puts them into words, and they travel with each item
as its facts.

A selection describes things by what they must be; all of its keys are optional:

    {"size": "large", "texture": "striped", "colour": "red", "shape": "circle", "position": "top left",
     "not": {"colour": "blue"}, "relation": "left of", "to": {the selection of one thing}}

A program is a function and its arguments (S a selection, A an attribute, R a relation):

    {"function": "exists", "of": S}              {"function": "query", "attribute": A, "of": S}
    {"function": "count", "of": S}               {"function": "odd", "by": A, "attribute": A}
    {"function": "more", "of": S, "than": S}     {"function": "same", "attribute": A, "of": S, "than": S}
    {"function": "larger", "of": S, "than": S}   {"function": "related", "of": S, "relation": R, "to": S}
"""

from collections.abc import Callable, Sequence
from typing import Any

from barnlib.data.scenes import ATTRIBUTES, MARGIN, MOST, POSITIONS, SIZES, Scene, Thing

Facts = dict[str, Any]

YES_NO = ("yes", "no")
COUNTS = tuple(str(n) for n in range(MOST + 1))
CHOICES = {**ATTRIBUTES, "position": POSITIONS}
"""What can be asked of a thing -> the values it can have."""
RELATIONS: dict[str, Callable[[Thing, Thing], bool]] = {
    "left of": lambda a, b: a.x < b.x - MARGIN,
    "right of": lambda a, b: a.x > b.x + MARGIN,
    "above": lambda a, b: a.y < b.y - MARGIN,
    "below": lambda a, b: a.y > b.y + MARGIN,
}
FUNCTIONS = {
    "exists": {"of"},
    "count": {"of"},
    "query": {"attribute", "of"},
    "more": {"of", "than"},
    "larger": {"of", "than"},
    "same": {"attribute", "of", "than"},
    "related": {"of", "relation", "to"},
    "odd": {"by", "attribute"},
}
"""Function -> the names of its arguments."""


def select(selection: Facts, things: Sequence[Thing]) -> list[Thing]:
    """The things that are all that `selection` says.

    Raises:
        ValueError: an unknown key, value or relation, or a `to` that is not exactly one thing.
    """
    if ("relation" in selection) != ("to" in selection):
        raise ValueError(f"relation and to belong together: {selection}")
    chosen = list(things)
    for key, value in selection.items():
        if key in CHOICES:
            if value not in CHOICES[key]:
                raise ValueError(f"{key} is {value!r}: one of {', '.join(CHOICES[key])}")
            chosen = [thing for thing in chosen if getattr(thing, key) == value]
        elif key == "not":
            refused = select(value, things)
            chosen = [thing for thing in chosen if thing not in refused]
        elif key == "relation":
            anchor = the_one(selection["to"], things)
            chosen = [thing for thing in chosen if thing != anchor and _relation(value)(thing, anchor)]
        elif key != "to":
            raise ValueError(f"a selection has no key {key!r}: {', '.join(CHOICES)}, not, relation or to")
    return chosen


def the_one(selection: Facts, things: Sequence[Thing]) -> Thing:
    """The only thing that `selection` describes; ValueError where there is none, or more than one."""
    chosen = select(selection, things)
    if len(chosen) != 1:
        raise ValueError(f"{selection} describes {len(chosen)} things of the scene: it should be exactly one")
    return chosen[0]


def _relation(name: str) -> Callable[[Thing, Thing], bool]:
    if name not in RELATIONS:
        raise ValueError(f"relation is {name!r}: one of {', '.join(RELATIONS)}")
    return RELATIONS[name]


def odd_one(by: str, things: Sequence[Thing]) -> Thing | None:
    """The one thing that differs from all others in `by`, while these agree; None where there is none."""
    values = [getattr(thing, by) for thing in things]
    alone = [thing for thing in things if values.count(getattr(thing, by)) == 1]
    return alone[0] if len(alone) == 1 and len(set(values)) == 2 else None


def solve(facts: Facts, scene: Scene) -> str:
    """The answer: the program in `facts` run on the scene.

    Raises:
        ValueError: the program is malformed, or speaks of one thing where the scene has none or several.
    """
    _require_program(facts)
    things, function = scene.things, facts["function"]
    if function == "exists":
        return _yes(bool(select(facts["of"], things)))
    if function == "count":
        return str(len(select(facts["of"], things)))
    if function == "query":
        return str(getattr(the_one(facts["of"], things), facts["attribute"]))
    if function == "more":
        return _yes(len(select(facts["of"], things)) > len(select(facts["than"], things)))
    if function == "larger":
        return _yes(_rank(facts["of"], things) > _rank(facts["than"], things))
    if function == "same":
        a, b = (getattr(the_one(facts[key], things), facts["attribute"]) for key in ("of", "than"))
        return _yes(a == b)
    if function == "related":
        return _yes(_relation(facts["relation"])(the_one(facts["of"], things), the_one(facts["to"], things)))
    thing = odd_one(facts["by"], things)
    if thing is None:
        raise ValueError(f"no thing of the scene is the odd one out in {facts['by']}")
    return str(getattr(thing, facts["attribute"]))


def _require_program(facts: Facts) -> None:
    function = facts.get("function")
    if function not in FUNCTIONS:
        raise ValueError(f"function is {function!r}: one of {', '.join(FUNCTIONS)}")
    if set(facts) != {"function", *FUNCTIONS[function]}:
        given = ", ".join(sorted(set(facts) - {"function"})) or "nothing"
        raise ValueError(f"{function} is given {given}: it takes {', '.join(sorted(FUNCTIONS[function]))}")
    for key in ("attribute", "by"):
        if key in facts and facts[key] not in CHOICES:
            raise ValueError(f"{key} is {facts[key]!r}: one of {', '.join(CHOICES)}")


def _rank(selection: Facts, things: Sequence[Thing]) -> int:
    return SIZES.index(the_one(selection, things).size)


def _yes(truth: bool) -> str:
    return YES_NO[not truth]


def answers_of(facts: Facts) -> tuple[str, ...]:
    """The closed list from which a program's answer comes."""
    if facts["function"] in ("query", "odd"):
        return CHOICES[facts["attribute"]]
    return COUNTS if facts["function"] == "count" else YES_NO
