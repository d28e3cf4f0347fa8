"""What a task is: what it asks about a picture, and what an answer is worth.

In:  the facts of a picture, later an answer.
Out: :class:`Task`, of which every module beside this one defines one; registry.py lists them. barnlib/data/build.py
     asks; validate.py, predict.py and baselines.py score.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from barnlib.data.programs import Facts
from barnlib.data.questions import Question
from barnlib.scoring import Score


class Ask(Protocol):
    def __call__(self, facts: Facts, rng: np.random.Generator, count: int, /) -> Mapping[str, Question]:
        """Questions on one picture by what ends the id of their item, such as "coordinates".

        Args:
            facts: the picture's.
            rng: where all randomness comes from; tasks on one picture draw from it in turn.
            count: `data.scenes.questions` of the study, for a task that can ask many.
        """


class Judge(Protocol):
    def __call__(self, answer: str, facts: Facts, reference: str, tolerance_km: float, /) -> Score:
        """Score an answer.

        Args:
            answer: what the model wrote, any text.
            facts: the question's.
            reference: the right answer.
            tolerance_km: `evaluation.tolerance_km` of the study, for a task whose answer is a place.

        Raises:
            ValueError: facts that lack what the task needs; never because of the answer.
        """


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        name: in study files, items and the predictions table.
        title: in charts and tables.
        kind: of the pictures that are asked about, one of `barnlib.data.records.KINDS`.
        ask: makes the questions on a picture, each of a type that no other task has.
        score: judges an answer.
        wordings: all wordings of a question with these facts, for the paraphrases of the hidden states' page; ()
            where there is one only.
        form: regular expression (Rust syntax) of a well-formed answer where a form is asked for: the condition
            `constrained` forces answers into it. None where any text may be an answer.
    """

    name: str
    title: str
    kind: str
    ask: Ask
    score: Judge
    wordings: Callable[[Facts], Sequence[str]]
    form: str | None = None
