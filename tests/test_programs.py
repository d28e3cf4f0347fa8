"""Programs: answers worked out by hand on one scene, and every malformed program refused by name."""

import pytest

from barnlib.data.programs import answers_of, odd_one, select, solve, the_one
from barnlib.data.scenes import Scene, Thing

#   large solid red circle (top left)        small solid red cross (top right)
#                            small striped blue square (centre)
#   small solid green circle (bottom left)
SCENE = Scene(
    (
        Thing("red", "circle", "large", "solid", 0.18, 0.18, 0.138, "top left"),
        Thing("red", "cross", "small", "solid", 0.83, 0.20, 0.080, "top right"),
        Thing("blue", "square", "small", "striped", 0.50, 0.50, 0.080, "centre"),
        Thing("green", "circle", "small", "solid", 0.17, 0.84, 0.080, "bottom left"),
    ),
    "white",
)
BLUE, CROSS, CIRCLE = {"colour": "blue"}, {"shape": "cross"}, {"shape": "circle"}


@pytest.mark.parametrize(
    ("program", "answer"),
    [
        ({"function": "exists", "of": {"colour": "red", "shape": "cross"}}, "yes"),
        ({"function": "exists", "of": {"colour": "blue", "shape": "cross"}}, "no"),
        ({"function": "exists", "of": {**CIRCLE, "not": {"colour": "red"}}}, "yes"),
        ({"function": "exists", "of": {**CIRCLE, "not": {"texture": "solid"}}}, "no"),
        ({"function": "count", "of": {}}, "4"),
        ({"function": "count", "of": {"size": "small", "texture": "solid"}}, "2"),
        ({"function": "count", "of": {"not": {"colour": "red"}}}, "2"),
        ({"function": "query", "attribute": "position", "of": BLUE}, "centre"),
        ({"function": "query", "attribute": "colour", "of": {**CIRCLE, "size": "small"}}, "green"),
        ({"function": "query", "attribute": "shape", "of": {"position": "top right"}}, "cross"),
        (
            {"function": "query", "attribute": "colour", "of": {**CIRCLE, "relation": "below", "to": BLUE}},
            "green",
        ),
        ({"function": "query", "attribute": "shape", "of": {"relation": "right of", "to": BLUE}}, "cross"),
        ({"function": "more", "of": CIRCLE, "than": CROSS}, "yes"),
        ({"function": "more", "of": CROSS, "than": {"shape": "square"}}, "no"),
        ({"function": "larger", "of": {"size": "large"}, "than": BLUE}, "yes"),
        ({"function": "larger", "of": CROSS, "than": BLUE}, "no"),
        ({"function": "same", "attribute": "size", "of": CROSS, "than": BLUE}, "yes"),
        ({"function": "same", "attribute": "texture", "of": CROSS, "than": BLUE}, "no"),
        ({"function": "related", "of": CROSS, "relation": "above", "to": BLUE}, "yes"),
        ({"function": "related", "of": CROSS, "relation": "left of", "to": BLUE}, "no"),
        ({"function": "odd", "by": "size", "attribute": "colour"}, "red"),
        ({"function": "odd", "by": "texture", "attribute": "position"}, "centre"),
    ],
)
def test_answers_worked_out_by_hand(program, answer):
    assert solve(program, SCENE) == answer
    assert answer in answers_of(program)


def test_select_and_the_one():
    assert select({}, SCENE.things) == list(SCENE.things)
    assert the_one(BLUE, SCENE.things).position == "centre"
    assert select({"relation": "left of", "to": BLUE}, SCENE.things) == [SCENE.things[0], SCENE.things[3]]
    with pytest.raises(ValueError, match="describes 2 things of the scene: it should be exactly one"):
        the_one(CIRCLE, SCENE.things)


def test_the_odd_one_needs_all_others_alike():
    assert odd_one("size", SCENE.things) == SCENE.things[0]
    assert odd_one("colour", SCENE.things) is None  # blue and green are both alone
    assert odd_one("shape", SCENE.things) is None
    assert odd_one("texture", SCENE.things[:2]) is None  # none differs
    assert odd_one("shape", SCENE.things[:2]) is None  # either could be the odd one


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ({"of": {}}, "function is None: one of exists, count"),
        ({"function": "guess"}, "function is 'guess': one of exists, count"),
        ({"function": "count"}, "count is given nothing: it takes of"),
        ({"function": "query", "of": BLUE}, "query is given of: it takes attribute, of"),
        ({"function": "query", "attribute": "weight", "of": BLUE}, "attribute is 'weight': one of size"),
        ({"function": "query", "attribute": "size", "of": CIRCLE}, "describes 2 things"),
        ({"function": "count", "of": {"weight": "heavy"}}, "a selection has no key 'weight'"),
        ({"function": "count", "of": {"colour": "pink"}}, "colour is 'pink': one of red"),
        ({"function": "count", "of": {"relation": "near", "to": BLUE}}, "relation is 'near': one of left of"),
        ({"function": "count", "of": {"relation": "above"}}, "relation and to belong together"),
        ({"function": "odd", "by": "colour", "attribute": "shape"}, "no thing of the scene is the odd one"),
    ],
)
def test_malformed_programs_are_refused(program, message):
    with pytest.raises(ValueError, match=message):
        solve(program, SCENE)
