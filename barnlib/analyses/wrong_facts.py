"""What scores by words are worth for facts: reference descriptions with some facts made wrong, and right ones reworded.

In:  reference descriptions of the study's items.
Out: rows of the predictions table whose answers state a known number of wrong facts in otherwise unchanged words, and
     rows in other words whose facts are all right. text_scores.py and metrics.py score them like any answer.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import permutations, product
from typing import Any

import numpy as np
import pandas as pd

from barnlib.analyses.intervals import Rng
from barnlib.data.answers import stated_facts
from barnlib.data.descriptions import (
    DISTANCE_SENTENCES,
    FACTS,
    SOURCE_SENTENCES,
    TIME_SENTENCES,
    filled,
    write_description,
)
from barnlib.scoring import fact_is_right

REWORDED = "reworded"


def restated(reference: str, facts: Mapping[str, Any], changed: Mapping[str, Any]) -> str:
    """The reference with some facts exchanged, every other word unchanged.

    Args:
        facts: what the reference states.
        changed: new values by fact.

    Raises:
        ValueError: a reference that is not in one of the wordings of descriptions.py.
    """
    for wording in _wordings():
        if filled(wording, facts) == reference:
            return filled(wording, {**facts, **changed})
    raise ValueError(
        f"the reference {reference!r} is in none of the {len(_wordings())} wordings of descriptions"
    )


def with_wrong_facts(predictions: pd.DataFrame, rng: Rng) -> pd.DataFrame:
    """Each description of a table with none to all of its facts made wrong, and once reworded with all facts right.

    A wrong value is that of another description of the table, and wrong by the tolerances of scoring.py. Facts are
    made wrong one after the other, in an order drawn for each item.

    Args:
        predictions: description rows; each item is taken once, whatever was answered.

    Returns:
        Rows of the predictions table with `answer`, and `version`: the number of wrong facts as text, or `REWORDED`;
        backbone and seed are "reference" and 0.

    Raises:
        ValueError: a reference that does not state every fact, or a fact that has no second value in the table.
    """
    items = predictions[predictions["task"] == "seismic_description"].drop_duplicates("item")
    stated = [stated_facts(reference) for reference in items["reference"]]
    rng, rows = np.random.default_rng(rng), []
    for row, facts in zip(items.to_dict("records"), stated, strict=True):
        changed: dict[str, Any] = {}
        versions = {"0": row["reference"]}
        for count, name in enumerate(rng.permutation(FACTS), start=1):
            changed[str(name)] = _other(str(name), facts[str(name)], stated, rng)
            versions[str(count)] = restated(row["reference"], facts, changed)
        versions[REWORDED] = write_description(facts, rng)
        rows += [{**row, "answer": text, "version": version} for version, text in versions.items()]
    return pd.DataFrame(rows, columns=[*predictions.columns, "version"]).assign(
        backbone="reference", run="reference", seed=0
    )


def _other(name: str, truth: Any, stated: Sequence[Mapping[str, Any]], rng: np.random.Generator) -> Any:
    values = sorted({facts[name] for facts in stated})
    wrong = [value for value in values if not fact_is_right(name, value, truth)]
    if not wrong:
        raise ValueError(f"no description states another {name} than {truth!r}; more items are needed")
    return wrong[int(rng.integers(len(wrong)))]


@lru_cache(maxsize=1)
def _wordings() -> tuple[str, ...]:
    groups = product(SOURCE_SENTENCES, DISTANCE_SENTENCES, TIME_SENTENCES)
    return tuple(" ".join(order) for sentences in groups for order in permutations(sentences))
