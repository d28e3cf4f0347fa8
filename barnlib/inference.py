"""A model is asked many things at once: greedy answers, and log-probabilities of given ones.

In:  a trained model, questions on rows of the cached features, and answers to be scored.
Out: answers, reference log-probabilities and choices in the order asked; predict.py writes them into the table.

Questions on one image share its prefix: they are packed into one sequence (packing.py), so many images at a time as the
study's `evaluation.batch_images` says. A question of a conversation is asked after the reference answers of the turns
before it, not after the model's own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from barnlib.assembly import Parts
from barnlib.data.records import Item
from barnlib.data.turns import Turn
from barnlib.decoding import Allowed, greedy
from barnlib.likelihood import reference_logprobs
from barnlib.model import Model
from barnlib.packing import Group, pack

TOGETHER = 8  # questions on one image that are answered in one packed sequence


@dataclass(frozen=True)
class Answer:
    """One greedy answer.

    Attributes:
        text: without the stop id.
        tokens: ids generated, the stop id included.
        logprob: of all these ids, nats.
        first_logprob: of the first of them, nats.
        stop: "eos" or "length".
    """

    text: str
    tokens: int
    logprob: float
    first_logprob: float
    stop: str


def greedy_answers(
    parts: Parts,
    model: Model,
    asked: Sequence[tuple[int, Turn]],
    limit: int,
    allowed: Allowed | None = None,
) -> dict[tuple[int, Turn], Answer]:
    """Greedy answers by (feature row, turn); a question asked twice of one image after the same turns is answered once.

    Args:
        asked: rows of the features and turns without answers; what stands together on one row is packed together.
        limit: new tokens, at most.
        allowed: the tokens that may follow; None where any may.
    """
    found: dict[tuple[int, Turn], Answer] = {}
    for groups in _batches(parts, list(dict.fromkeys(asked))):
        packed = pack(parts.prompter, groups).to(parts.device)
        given = greedy(model, packed, parts.table, limit, allowed)
        keys = [(row, turn) for row, turns in groups for turn in turns]
        columns = (given.ids, given.logprob.tolist(), given.first_logprob.tolist(), given.stop)
        for key, ids, logprob, first, stop in zip(keys, *columns, strict=True):
            found[key] = Answer(parts.prompter.decode(ids), len(ids), logprob, first, stop)
    return found


def reference_answers(
    parts: Parts, model: Model, answered: Sequence[tuple[int, Turn]]
) -> list[tuple[float, int]]:
    """Log-probability (nats, EOS included) and tokens of each reference answer, teacher-forced."""
    found: list[tuple[float, int]] = []
    for groups in _batches(parts, answered):
        known = reference_logprobs(model, pack(parts.prompter, groups).to(parts.device), parts.table)
        found += zip((-known.branch_nats).tolist(), known.branch_tokens.tolist(), strict=True)
    return found


def choice_logprobs(
    parts: Parts,
    model: Model,
    items: Sequence[Item],
    rows: Sequence[int],
    known: Sequence[tuple[float, int]],
) -> list[dict[str, float] | None]:
    """Log-probability of every candidate of each item's closed list, in the list's order; None where it is open.

    Args:
        rows: of the features, one for each item.
        known: what :func:`reference_answers` gave for the same items: each reference is one of its item's candidates,
            so only the others are computed.
    """
    others = [
        (row, replace(item.turn, answer=choice))
        for row, item in zip(rows, items, strict=True)
        for choice in item.choices
        if choice != item.answer
    ]
    found = iter(reference_answers(parts, model, others))
    return [
        {choice: logprob if choice == item.answer else next(found)[0] for choice in item.choices} or None
        for item, (logprob, _) in zip(items, known, strict=True)
    ]


def _batches(parts: Parts, turns: Sequence[tuple[int, Turn]]) -> Iterator[list[Group]]:
    """Turns on the same feature row that stand together, at most `TOGETHER` to a group, as batches of groups."""
    groups: list[tuple[int, list[Turn]]] = []
    for row, turn in turns:
        if not groups or groups[-1][0] != row or len(groups[-1][1]) == TOGETHER:
            groups.append((row, []))
        groups[-1][1].append(turn)
    size = parts.study.evaluation.batch_images
    for start in range(0, len(groups), size):
        yield list(groups[start : start + size])
