"""What backbones can do with text alone, beside what a guess gives.

In:  the accuracies in the cards of backbones that were made here (text_probe.py), and scenes as the text has them.
Out: tables for the notebook on the backbones.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from barnlib.analyses.intervals import Rng
from barnlib.corpus import text_scene
from barnlib.data.questions import QUESTION_TYPES, ask


def best_guesses(rng: Rng, scenes: int = 300) -> pd.Series:
    """The share right of the best constant answer, by question type, to questions as text_probe.py draws them.

    The constant is chosen for each closed list of answers, which the wording of a question gives away, and on the same
    questions, so the share is a little too high for long lists.

    Args:
        rng: draws the scenes and their questions.
        scenes: how many; every scene is asked one question of each type that it allows.
    """
    rng = np.random.default_rng(rng)
    asked = [
        (question.question_type, question.choices, question.answer)
        for _ in range(scenes)
        for question in ask(text_scene(rng), rng, len(QUESTION_TYPES))
    ]
    counts = pd.DataFrame(asked, columns=["question_type", "choices", "answer"]).value_counts()
    right = counts.groupby(level=["question_type", "choices"]).max().groupby(level="question_type").sum()
    return (right / counts.groupby(level="question_type").sum()).rename("best guess")


def known(cards: Mapping[str, Mapping[str, Mapping[str, float]]], guesses: pd.Series) -> pd.DataFrame:
    """Accuracies with 95 % intervals as texts, by question, a column for each backbone.

    Args:
        cards: of each backbone by title, for each question ``accuracy`` (0 to 1) and ``n``.
        guesses: :func:`best_guesses`.

    Returns:
        One row for each question: a column for each backbone ("45% (34 to 57)", Wilson's interval; for descriptions,
        whose scores are graded, it is too wide rather than too narrow), ``best guess`` (a dash where there is none) and
        ``questions``, the fewest of any backbone.
    """
    table = pd.DataFrame({title: pd.Series(found, dtype=object) for title, found in cards.items()})
    texts = table.map(lambda cell: _text(cell["accuracy"], int(cell["n"])), na_action="ignore").fillna("–")
    least = [min(int(cell["n"]) for cell in row.dropna()) for _, row in table.iterrows()]
    best = guesses.reindex(table.index).map("{:.0%}".format, na_action="ignore").fillna("–")
    return texts.assign(**{"best guess": best, "questions": [f"at least {number}" for number in least]})


def _text(share: float, n: int) -> str:
    low, high = proportion_confint(share * n, n, method="wilson")
    return f"{share:.0%} ({100 * low:.0f} to {100 * high:.0f})"
