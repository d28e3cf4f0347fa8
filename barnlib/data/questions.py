"""Questions about a scene, in words, each with one right answer.

In: a `Scene`. Out: `Question`s, each with its answer, the closed list that the answer comes from, and the
program (see `programs`) that gives it. Next: `build` writes them as the items of VQA-Scene.

`drafts` draws the programs and balances their answers; here they are put into words, in three ways each.
"""

from dataclasses import dataclass

import numpy as np

from barnlib.data.drafts import DRAFTS
from barnlib.data.programs import Facts, answers_of, solve
from barnlib.data.scenes import Scene, place

QUESTION_TYPES = {
    "existence": "easy",
    "colour": "easy",
    "shape": "easy",
    "size": "easy",
    "texture": "easy",
    "count": "medium",
    "position": "medium",
    "comparison": "medium",
    "spatial": "medium",
    "two_hop": "hard",
    "negation": "hard",
    "odd_one_out": "hard",
}
"""Question type -> difficulty."""
MOST_QUESTIONS = 24

WORDINGS: dict[str, tuple[str, ...]] = {
    "exists": ("is there a {x}?", "can you see a {x}?", "does the picture show a {x}?"),
    "count": ("how many {xs} are there?", "count the {xs}.", "what is the number of {xs}?"),
    "query colour": (
        "what colour is the {x}?",
        "which colour does the {x} have?",
        "name the colour of the {x}.",
    ),
    "query shape": ("what shape is the {x}?", "which shape does the {x} have?", "name the shape of the {x}."),
    "query size": ("is the {x} small or large?", "what size is the {x}?", "name the size of the {x}."),
    "query texture": (
        "is the {x} solid or striped?",
        "what texture is the {x}?",
        "name the texture of the {x}.",
    ),
    "query position": ("where is the {x}?", "what is the position of the {x}?", "in which place is the {x}?"),
    "more": (
        "are there more {xs} than {ys}?",
        "do the {xs} outnumber the {ys}?",
        "are {xs} more common than {ys}?",
    ),
    "larger": (
        "is the {x} larger than the {y}?",
        "is the {x} bigger than the {y}?",
        "is the {y} smaller than the {x}?",
    ),
    "same": (
        "do the {x} and {y} match in {a}?",
        "does the {x} match the {y} in {a}?",
        "is the {x} like the {y} in {a}?",
    ),
    "related": (
        "is the {x} {r} the {y}?",
        "does the {x} lie {r} the {y}?",
        "does the {x} sit {r} the {y}?",
    ),
    "query by relation": (
        "what {a} is the {x} {r} the {y}?",
        "which {a} has the {x} {r} the {y}?",
        "find the {y}. what {a} is the {x} {r} it?",
    ),
    "exists but": (
        "is there a {x} that is not {v}?",
        "is any {x} not {v}?",
        "can you see a {x} that is not {v}?",
    ),
    "count but": (
        "how many things are not {v}?",
        "count the things that are not {v}.",
        "how many are not {v}?",
    ),
    "query but": (
        "what {a} is the {x} that is not {v}?",
        "name the {a} of the {x} that is not {v}.",
        "one {x} is not {v}. what {a} is it?",
    ),
    "odd": (
        "what {a} is the odd one out in {b}?",
        "one thing differs in {b}. what {a} is it?",
        "name the {a} of the odd one out in {b}.",
    ),
    "odd position": (
        "where is the odd one out in {b}?",
        "one thing differs in {b}. where is it?",
        "name the position of the odd one out in {b}.",
    ),
}
"""What a program does -> its wordings: x and y are things, xs and ys many of them, a and b attributes,
r a relation, v a value."""


@dataclass(frozen=True)
class Question:
    """One question about a picture; `facts` score an answer: of a scene, the program that gives the right one."""

    question_type: str
    difficulty: str
    question: str
    answer: str
    choices: tuple[str, ...]
    facts: Facts


def ask(scene: Scene, rng: np.random.Generator, count: int) -> list[Question]:
    """`count` different questions about the scene, of as many types as it allows before a type comes again.

    Raises:
        ValueError: `count` is not from 0 to 24.
    """
    if not 0 <= count <= MOST_QUESTIONS:
        raise ValueError(f"{count} questions are wanted on one scene: from 0 to {MOST_QUESTIONS}")
    asked: list[Question] = []
    names = tuple(QUESTION_TYPES)
    while len(asked) < count:
        for index in rng.permutation(len(names)):
            if len(asked) == count:
                break
            question = ask_type(scene, rng, names[int(index)])
            if question is not None and all(question.facts != old.facts for old in asked):
                asked.append(question)
    return asked


def ask_type(scene: Scene, rng: np.random.Generator, question_type: str) -> Question | None:
    """One question of a type, or None where the scene does not allow the one that was drawn.

    Raises:
        ValueError: there is no such type.
    """
    if question_type not in QUESTION_TYPES:
        raise ValueError(f"question type is {question_type!r}: one of {', '.join(QUESTION_TYPES)}")
    program = DRAFTS[question_type](scene, rng)
    if program is None:
        return None
    wordings = wordings_of(program)
    return Question(
        question_type=question_type,
        difficulty=QUESTION_TYPES[question_type],
        question=wordings[int(rng.integers(len(wordings)))],
        answer=solve(program, scene),
        choices=answers_of(program),
        facts=program,
    )


def noun(selection: Facts, *, plural: bool = False) -> str:
    """A selection in words without an article: "large red circle", "thing in the centre", "striped things".

    What the selection is not, and what it is related to, is left to the sentence.
    """
    words = [selection[name] for name in ("size", "texture", "colour") if name in selection]
    shape = selection.get("shape", "thing")
    if plural:
        shape += "es" if shape.endswith("s") else "s"
    where = [place(selection["position"])] if "position" in selection else []
    return " ".join([*words, shape, *where])


def wordings_of(program: Facts) -> tuple[str, ...]:
    """Every wording of a program, all of which mean the same."""
    of = program.get("of", {})
    second = program.get("than") or program.get("to") or of.get("to") or {}
    words = {
        "x": noun(of),
        "xs": noun(of, plural=True),
        "y": noun(second),
        "ys": noun(second, plural=True),
        "a": program.get("attribute", ""),
        "b": program.get("by", ""),
        "r": program.get("relation") or of.get("relation", ""),
        "v": " ".join(of.get("not", {}).values()),
    }
    return tuple(wording.format(**words) for wording in WORDINGS[_kind(program)])


def _kind(program: Facts) -> str:
    """The key of a program in `WORDINGS`."""
    function, of = program["function"], program.get("of", {})
    if "not" in of:
        return f"{function} but"
    if "relation" in of:
        return f"{function} by relation"
    if function == "query":
        return f"query {program['attribute']}"
    if function == "odd" and program["attribute"] == "position":
        return "odd position"
    return str(function)
