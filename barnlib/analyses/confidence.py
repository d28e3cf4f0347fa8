"""How sure a model is of its answer, by several definitions, and temperatures that scale it.

In:  the predictions table of predict.py: log-probabilities, tokens and bytes of each greedy answer, and those of every
     candidate where the answer comes from a closed list.
Out: the table with one column for each definition, and temperatures fitted on validation answers.
     calibration_tables.py measures how well the numbers keep their word.

All logits are raw, at temperature 1. The event is the same under every definition, that the greedy answer is right, so
definitions differ in the number alone. Whole-answer probability scores the one segmentation that was written, so it
bounds the probability of the answer's text from below.
"""

import json
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit, log_softmax

from barnlib.analyses.metrics import require_columns
from barnlib.scoring import normalise

Array = NDArray[np.float64]

DEFINITIONS = {
    "primary": "the list's share where the list is closed, the whole answer elsewhere",
    "closed_list": "the answer's share among the candidates of its closed list",
    "whole": "probability of the whole answer, its end included",
    "per_byte": "whole answer, geometric mean over its bytes",
    "first_token": "probability of the first token",
    "token_mean": "whole answer, geometric mean over its tokens",
}
"""Column -> what it is. Only the first three can be compared between tokenizers as probabilities of an event."""
RUN_AND_TASK = ("backbone", "seed", "task")
SMALLEST, LARGEST = 0.05, 20.0  # temperatures looked at
CERTAIN = -1e-7  # nats; a float32 sum of log-probabilities tells nothing closer to zero


def with_confidence(predictions: pd.DataFrame) -> pd.DataFrame:
    """The table with a column for each of `DEFINITIONS`, and `listed`.

    Returns:
        The rows as they are. A confidence lies in 0 to 1, or is NaN where the model gave no log-probability
        (baselines) or, for `closed_list`, where there is no list or the answer is not on it. `listed`: whether the
        answer is one of the candidates, missing where there are none; an answer off its list has the whole answer's
        probability as its `primary`.

    Raises:
        ValueError: a column that is missing; a log-probability above zero.
    """
    require_columns(predictions, ("logprob", "first_token_logprob", "tokens", "bytes", "answer", "reference"))
    nats, tokens, size = (predictions[name].to_numpy(np.float64) for name in ("logprob", "tokens", "bytes"))
    first = predictions["first_token_logprob"].to_numpy(np.float64)
    for name, values in (("logprob", nats), ("first_token_logprob", first)):
        if (values > 1e-6).any():
            raise ValueError(f"column '{name}' holds {values.max():.4g}; a log-probability is at most zero")
    lists = Candidates.of(predictions)
    whole, closed = np.exp(np.minimum(nats, 0)), lists.shares(1.0)
    return predictions.assign(
        primary=np.where(np.isnan(closed), whole, closed),
        closed_list=closed,
        whole=whole,
        per_byte=np.exp(np.minimum(nats, 0) / np.maximum(size, 1)),
        first_token=np.exp(np.minimum(first, 0)),
        token_mean=np.exp(np.minimum(nats, 0) / np.maximum(tokens, 1)),
        listed=pd.Series(lists.given >= 0, predictions.index).astype("boolean").mask(~lists.exist),
    )


def temperatures(validation: pd.DataFrame) -> pd.DataFrame:
    """One temperature for each run and task, from validation answers, by least negative log-likelihood.

    Where there are closed lists, the candidates' log-probabilities are divided by it and the likelihood is that of the
    right candidate, as in Guo et al. (2017); elsewhere the log-odds of the answer's probability are divided by it, and
    the likelihood is that of being right. A temperature above one evens out the shares of a list, and moves any other
    confidence towards one half, from either side.

    Args:
        validation: rows of `with_confidence`, none of which is reported on.

    Returns:
        `backbone`, `seed`, `task`, `temperature` (NaN without a usable answer), `fitted_on` (`choices` or `answers`),
        `items`, and `at_edge`: the likelihood grows up to an end of the range looked at. It does where all answers are
        right or all are wrong, and where the confidences lie on the wrong side of one half on the whole, as of answers
        that are mostly right at a probability near 0: scaled log-odds never change their sign.
    """
    rows = []
    for key, part in validation.groupby(list(RUN_AND_TASK), sort=False):
        lists = Candidates.of(part)
        chosen = lists.exist & (lists.right >= 0)
        odds = _log_odds(part["logprob"].to_numpy(np.float64))
        correct = part["correct"].to_numpy(bool)
        usable = ~np.isnan(odds)
        if chosen.any():
            at = _best_temperature(partial(_nats_of_lists, lists, chosen))
            items, kind = int(chosen.sum()), "choices"
        else:
            signed = np.where(correct, odds, -odds)[usable]
            at = _best_temperature(partial(_nats_of_outcomes, signed))
            items, kind = len(signed), "answers"
        edge = bool(items) and not SMALLEST * 1.01 < at < LARGEST / 1.01
        found = {"temperature": at if items else float("nan"), "fitted_on": kind, "items": items}
        rows.append({**dict(zip(RUN_AND_TASK, key, strict=True)), **found, "at_edge": edge})
    return pd.DataFrame(rows, columns=[*RUN_AND_TASK, "temperature", "fitted_on", "items", "at_edge"])


def with_scaled(answers: pd.DataFrame, fitted: pd.DataFrame) -> pd.DataFrame:
    """The rows of `with_confidence` with `scaled`, the primary confidence at the run's temperature for its task.

    NaN where no temperature was fitted.
    """
    joined = answers.merge(fitted[[*RUN_AND_TASK, "temperature"]], on=list(RUN_AND_TASK), how="left")
    temperature = joined["temperature"].to_numpy(np.float64)
    closed = Candidates.of(answers).shares(temperature)
    whole = expit(_log_odds(answers["logprob"].to_numpy(np.float64)) / temperature)
    return answers.assign(scaled=np.where(np.isnan(closed), whole, closed))


class Candidates:
    """The closed lists of a table's rows, padded to the longest.

    Attributes:
        logprobs: float64[rows, longest], nats, -inf where a list is shorter.
        exist: bool[rows], whether there is a list.
        given, right: int64[rows], the place of the answer and of the reference, both after normalisation, or -1.
    """

    def __init__(
        self, lists: Sequence[dict[str, float] | None], answers: Sequence[str], right: Sequence[str]
    ):
        longest = max((len(one) for one in lists if one), default=1)
        self.logprobs: Array = np.full((len(lists), longest), -np.inf)
        self.exist = np.array([bool(one) for one in lists], dtype=bool)
        self.given, self.right = (np.full(len(lists), -1) for _ in range(2))
        for row, (one, answer, reference) in enumerate(zip(lists, answers, right, strict=True)):
            if one:
                names = [normalise(name) for name in one]
                self.logprobs[row, : len(one)] = list(one.values())
                for places, text in ((self.given, normalise(answer)), (self.right, normalise(reference))):
                    places[row] = names.index(text) if text in names else -1

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Candidates":
        """The lists in the column `choices`; a table without it has none."""
        texts = table["choices"] if "choices" in table else [None] * len(table)
        lists = [None if pd.isna(text) else json.loads(str(text)) for text in texts]
        return cls(lists, list(table["answer"]), list(table["reference"]))

    def shares(self, temperature: float | Array) -> Array:
        """float64[rows]: probability of the answer renormalised over its list; NaN off the list or without one."""
        return np.exp(self._taken(self.given, temperature))

    def nats(self, temperature: float | Array) -> Array:
        """float64[rows]: negative log of the reference's share of its list, nats; NaN without a list."""
        return -self._taken(self.right, temperature)

    def _taken(self, places: NDArray[np.int64], temperature: float | Array) -> Array:
        found = np.full(len(places), np.nan)
        known = places >= 0
        scale = np.broadcast_to(np.asarray(temperature, dtype=np.float64), len(places))[known, None]
        shares = log_softmax(self.logprobs[known] / scale, axis=1)
        found[known] = shares[np.arange(len(shares)), places[known]]
        return found


def _log_odds(nats: Array) -> Array:
    """log p - log(1 - p) of log-probabilities in nats."""
    capped = np.minimum(nats, CERTAIN)
    return capped - np.log(-np.expm1(capped))


def _nats_of_lists(lists: Candidates, chosen: NDArray[np.bool_], temperature: float) -> float:
    return float(lists.nats(temperature)[chosen].mean())


def _nats_of_outcomes(signed: Array, temperature: float) -> float:
    """``signed``: log-odds of the answer where it is right, of the contrary where it is wrong."""
    return float(-log_expit(signed / temperature).sum())


def _best_temperature(loss: Callable[[float], float]) -> float:
    """The temperature of least loss, looked for on a logarithmic scale."""
    found = minimize_scalar(
        lambda exponent: loss(float(np.exp(exponent))),
        bounds=(np.log(SMALLEST), np.log(LARGEST)),
        method="bounded",
        options={"xatol": 1e-5},
    )
    return float(np.exp(found.x))
