"""Questions: a reader of the English words, who knows no program, comes to the same answers."""

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.questions import (
    MOST_QUESTIONS,
    QUESTION_TYPES,
    WORDINGS,
    Question,
    ask,
    ask_type,
    noun,
    wordings_of,
)
from barnlib.data.scenes import HELD_OUT, POSITIONS, Scene, Thing, sample_scene, scene_caption

SEEDS = st.integers(0, 2**32 - 1)
EVERY_TYPE = (
    *("existence", "count", "colour", "shape", "size", "texture", "position", "comparison", "spatial"),
    *("two_hop", "negation", "odd_one_out"),
)
# How the reader understands a wording: the pattern is the wording itself with its gaps open.
THINGS = (
    "(?:(?:small|large|solid|striped|red|green|blue|yellow|purple|black) )*"
    "(?:things?|circles?|squares?|triangles?|cross(?:es)?)(?: at the (?:top|bottom|left|right)[a-z ]*?| in the centre)?"
)
GAPS = {
    "a": "colour|shape|size|texture",
    "b": "colour|shape|size|texture",
    "r": "left of|right of|above|below",
    "v": "[a-z]+",
    "x": THINGS,
    "y": THINGS,
    "xs": THINGS,
    "ys": THINGS,
}


def pattern(wording: str) -> str:
    parts = re.split(r"\{(\w+)\}", wording)
    return "".join(
        f"(?P<{part}>{GAPS[part]})" if index % 2 else re.escape(part) for index, part in enumerate(parts)
    )


PATTERNS = {
    (kind, wording): re.compile(pattern(wording)) for kind, all_of in WORDINGS.items() for wording in all_of
}


def cell(thing: Thing) -> tuple[int, int]:
    """(row, column), from the name of the position."""
    name = thing.position
    row = 0 if "top" in name else 2 if "bottom" in name else 1
    return row, 0 if "left" in name else 2 if "right" in name else 1


def fits(words: str, thing: Thing) -> bool:
    """Does "large red circle" or "things at the top left" fit?"""
    words, _, where = words.partition(" at the ") if " at the " in words else words.partition(" in the ")
    own = {thing.size, thing.texture, thing.colour, thing.shape, "thing"}
    plural = {f"{thing.shape}s", f"{thing.shape}es", "things"}
    return all(word in own | plural for word in words.split()) and where in ("", thing.position)


def lies(relation: str, a: Thing, b: Thing) -> bool:
    (row_a, column_a), (row_b, column_b) = cell(a), cell(b)
    return {
        "left of": column_a < column_b,
        "right of": column_a > column_b,
        "above": row_a < row_b,
        "below": row_a > row_b,
    }[relation]


def read(question: Question, scene: Scene) -> str:
    """The answer of somebody who reads the words and looks at every thing of the scene."""
    found = [(kind, pattern.fullmatch(question.question)) for (kind, _), pattern in PATTERNS.items()]
    ((kind, told),) = [(kind, match.groupdict()) for kind, match in found if match]
    every = list(scene.things)

    def those(words: str) -> list[Thing]:
        return [thing for thing in every if fits(words, thing)]

    def the(words: str) -> Thing:
        (one,) = those(words)
        return one

    def is_value(thing: Thing) -> bool:
        return told["v"] in (thing.colour, thing.texture)

    def yes(truth: bool) -> str:
        return "yes" if truth else "no"

    if kind == "exists":
        return yes(bool(those(told["x"])))
    if kind == "count":
        return str(len(those(told["xs"])))
    if kind.startswith("query ") and kind.split()[1] not in ("by", "but"):
        return getattr(the(told["x"]), kind.removeprefix("query "))
    if kind == "more":
        return yes(len(those(told["xs"])) > len(those(told["ys"])))
    if kind == "larger":
        return yes((the(told["x"]).size, the(told["y"]).size) == ("large", "small"))
    if kind == "same":
        return yes(getattr(the(told["x"]), told["a"]) == getattr(the(told["y"]), told["a"]))
    if kind == "related":
        return yes(lies(told["r"], the(told["x"]), the(told["y"])))
    if kind == "query by relation":
        anchor = the(told["y"])
        (one,) = [thing for thing in those(told["x"]) if lies(told["r"], thing, anchor)]
        return getattr(one, told["a"])
    if kind == "exists but":
        return yes(any(not is_value(thing) for thing in those(told["x"])))
    if kind == "count but":
        return str(sum(not is_value(thing) for thing in every))
    if kind == "query but":
        (one,) = [thing for thing in those(told["x"]) if not is_value(thing)]
        return getattr(one, told["a"])
    values = Counter(getattr(thing, told["b"]) for thing in every)
    assert sorted(values.values()) == [1, len(every) - 1]
    (one,) = [thing for thing in every if values[getattr(thing, told["b"])] == 1]
    return getattr(one, told.get("a", "position"))


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS, held_out=st.booleans())
def test_a_reader_of_the_words_comes_to_the_same_answer(seed, held_out):
    rng = np.random.default_rng(seed)
    scene = sample_scene(rng, held_out=held_out)
    for question in ask(scene, rng, 14):
        assert read(question, scene) == question.answer, question
        assert question.answer in question.choices
        assert question.question in wordings_of(question.facts)


def test_there_are_twelve_types_of_three_difficulties_all_of_them_asked():
    assert set(QUESTION_TYPES) == set(EVERY_TYPE)
    assert set(QUESTION_TYPES.values()) == {"easy", "medium", "hard"}
    rng = np.random.default_rng(0)
    asked = [question for _ in range(200) for question in ask(sample_scene(rng), rng, 6)]
    counts = Counter(question.question_type for question in asked)
    assert set(counts) == set(QUESTION_TYPES)
    assert min(counts.values()) > 0.4 * len(asked) / len(QUESTION_TYPES), counts
    assert all(question.difficulty == QUESTION_TYPES[question.question_type] for question in asked)


def test_wordings_are_three_or_more_short_and_all_used():
    rng = np.random.default_rng(1)
    asked = [question for _ in range(120) for question in ask(sample_scene(rng), rng, 12)]
    assert all(len(set(wordings)) >= 3 for wordings in WORDINGS.values())
    texts = {question.question for question in asked}
    unused = [wording for (_, wording), one in PATTERNS.items() if not any(map(one.fullmatch, texts))]
    assert not unused
    assert not [text for text in texts if not 3 <= len(text.split()) <= 14]
    words = {word for question in asked for word in re.findall(r"[a-z]+", question.question)}
    captions = [scene_caption(sample_scene(rng), rng) for _ in range(200)]
    words |= {word for caption in captions for word in re.findall(r"[a-z]+", caption)}
    assert len(words) < 110, sorted(words)


def test_the_same_seed_asks_the_same_and_never_twice_the_same_on_one_scene():
    for seed in range(30):
        scene = sample_scene(np.random.default_rng(seed))
        asked = ask(scene, np.random.default_rng(seed), MOST_QUESTIONS)
        assert len(asked) == MOST_QUESTIONS
        assert asked == ask(scene, np.random.default_rng(seed), MOST_QUESTIONS)
        assert all(a.facts != b.facts for i, a in enumerate(asked) for b in asked[:i])
    assert ask(scene, np.random.default_rng(0), 0) == []


def test_a_held_out_pair_is_named_only_where_one_is_shown():
    rng = np.random.default_rng(2)
    seen = [question for _ in range(300) for question in ask(sample_scene(rng), rng, 6)]
    named = re.compile("|".join(f"{colour} {shape}" for colour, shape in HELD_OUT))
    assert not [question.question for question in seen if named.search(question.question)]
    asked = [ask_type(sample_scene(rng, held_out=True), rng, "existence") for _ in range(600)]
    answers = Counter(question.answer for question in asked if question and named.search(question.question))
    assert sum(answers.values()) > 50
    assert 0.3 < answers["yes"] / sum(answers.values()) < 0.7, answers


def test_nouns():
    assert noun({}) == "thing"
    assert noun({}, plural=True) == "things"
    assert noun({"shape": "cross", "colour": "red"}, plural=True) == "red crosses"
    assert noun({"colour": "red", "size": "large", "shape": "circle"}) == "large red circle"
    assert [noun({"position": name}) for name in POSITIONS[3:5]] == [
        "thing at the left",
        "thing in the centre",
    ]


def test_what_cannot_be_asked_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="25 questions are wanted on one scene: from 0 to 24"):
        ask(sample_scene(rng), rng, 25)
    with pytest.raises(ValueError, match="question type is 'taste': one of existence, colour"):
        ask_type(sample_scene(rng), rng, "taste")
