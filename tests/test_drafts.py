"""Balance: who sees the words and not the picture can hardly guess, and what a draft asks is never empty."""

import json
from collections import Counter, defaultdict

import numpy as np
import pytest

from barnlib.data.drafts import DRAFTS, WEIGHTS
from barnlib.data.programs import RELATIONS, answers_of, select, solve
from barnlib.data.scenes import Scene, sample_scene

SCENES = 700
# The share that guessing the commonest answer of each program gets, with room for the chance of a sample.
GUESSED = {
    "existence": 0.56,
    "colour": 0.25,
    "shape": 0.34,
    "size": 0.57,
    "texture": 0.57,
    "count": 0.36,
    "position": 0.19,
    "comparison": 0.57,
    "spatial": 0.56,
    "two_hop": 0.24,
    "negation": 0.45,
    "odd_one_out": 0.26,
}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(11)
    return [sample_scene(rng) for _ in range(SCENES)]


def drafted(question_type: str, scenes: list[Scene], draws: int = 2) -> list[tuple[dict, str]]:
    """(program, answer), a few times on each scene, where the scene allows it."""
    rng = np.random.default_rng(5)
    programs = [(DRAFTS[question_type](scene, rng), scene) for scene in scenes for _ in range(draws)]
    return [(program, solve(program, scene)) for program, scene in programs if program is not None]


@pytest.mark.parametrize("question_type", DRAFTS)
def test_the_words_alone_say_little(question_type, scenes):
    """Majority answer of each program on one half of the scenes, and of the type where a program is new, scored on the
    other half; and the commonest answer of the type."""
    half = len(scenes) // 2
    known: dict[str, Counter] = defaultdict(Counter)
    overall: Counter = Counter()
    for program, answer in drafted(question_type, scenes[:half]):
        known[json.dumps(program, sort_keys=True)][answer] += 1
        overall[answer] += 1
    tried = drafted(question_type, scenes[half:])
    assert len(tried) > 0.55 * 2 * half, "too few scenes allow the type"
    right = [
        (known.get(json.dumps(program, sort_keys=True)) or overall).most_common(1)[0][0] == answer
        for program, answer in tried
    ]
    assert np.mean(right) < GUESSED[question_type]
    assert np.mean([overall.most_common(1)[0][0] == answer for _, answer in tried]) < GUESSED[question_type]


@pytest.mark.parametrize("question_type", DRAFTS)
def test_every_answer_of_the_closed_lists_occurs(question_type, scenes):
    drawn = drafted(question_type, scenes)
    lists = {answers_of(program) for program, _ in drawn}
    given = {answer for _, answer in drawn}
    for answers in lists:
        assert set(answers) <= given | ({"5", "6"} if question_type == "negation" else set()) | {"0"}
    assert given <= {answer for answers in lists for answer in answers}


def test_a_second_hop_is_needed(scenes):
    """Without the relation, the words would fit several things."""
    for scene in scenes[:300]:
        program = DRAFTS["two_hop"](scene, np.random.default_rng(0))
        if program is not None:
            bare = {key: value for key, value in program["of"].items() if key not in ("relation", "to")}
            assert len(select(bare, scene.things)) > 1
            assert program["attribute"] not in bare and program["of"]["relation"] in RELATIONS


def test_a_negation_is_about_something_that_is_there(scenes):
    for scene in scenes[:300]:
        program = DRAFTS["negation"](scene, np.random.default_rng(0))
        if program is not None:
            bare = {key: value for key, value in program["of"].items() if key != "not"}
            assert select({**bare, **program["of"]["not"]}, scene.things)


def test_the_relation_of_two_things_is_never_in_doubt(scenes):
    """Yes for one relation means no for its opposite, and one of them is always yes."""
    for scene in scenes[:300]:
        program = DRAFTS["spatial"](scene, np.random.default_rng(0))
        if program is not None:
            turned = {**program, "of": program["to"], "to": program["of"]}
            assert {solve(program, scene), solve(turned, scene)} == {"yes", "no"}


def test_weights_are_positive():
    assert all(weight > 0 for weights in WEIGHTS.values() for weight in weights.values())
