"""Pack all questions on one image into one sequence: the image once, the questions beside each other.

In:  groups ``(feature row, [turn, ...])`` and a backbone's :class:`~barnlib.prompts.Prompter`.
Out: a :class:`PackedBatch` of tensors, which likelihood.py turns into losses and decoding.py into answers.

One row holds the prefix (BOS and the image) and then one *branch* for each question. A branch attends to the prefix and
to itself, and its positions continue from the prefix, so it sees exactly what it would see alone in a sequence:

    position   0 1 2 3 | 4 5 6 7 | 4 5 6      branch  - - - - | 0 0 0 0 | 1 1 1
    ids        B i i i | Q q A . | Q A .      labels  . . . . | . . A . | . A .     (the last id of a branch is EOS)

A turn with history reads it at the start of its branch, unsupervised. Where its history ends with the turn before it in
the group, it continues that turn's branch instead: it attends to that too, and its positions go on from there. A
conversation whose turns stand in order is so one plain causal sequence in which every answer is supervised, as in LLaVA
(Liu et al. 2023, arXiv 2304.08485), whatever stands beside it. Had the second turn above the first as its history:

    position   0 1 2 3 | 4 5 6 7 | 8 9 10

The same function packs for training (with answers) and for inference (without).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from barnlib.data.turns import Turn
from barnlib.prompts import Prompter

IGNORED = -100  # label of a position that is not supervised (the convention of transformers)
PREFIX = -1  # branch number of the shared prefix
PADDING = -2  # branch number of padding at the end of a row

Group = tuple[int, Sequence[Turn]]  # row of the image in the feature table, and the turns on that image


@dataclass(frozen=True)
class PackedBatch:
    """One packed batch: B images, L positions, N branches (all turns, in the order of the groups).

    Attributes:
        input_ids: int64[B, L], padded on the right.
        position_ids: int64[B, L]; every branch goes on from the end of the prefix, or of the branch that it continues.
        attention_mask: bool[B, 1, L, L], True where the query (third axis) sees the key (fourth axis).
            A padding position sees itself, so that no softmax is empty.
        labels: int64[B, L], aligned with ``input_ids`` (not shifted): the id where supervised, else IGNORED.
        branch: int64[B, L], number of the branch within its row; PREFIX and PADDING elsewhere.
        feature_rows: int64[B], row of the feature table for each image.
        counts: int64[B], branches in each row; they sum to N.
        image_token_id: the id that stands where an image feature goes.
        image_tokens: how many of it each row holds.
        longest: positions that the longest branch takes, prefix and history included.
    """

    input_ids: Tensor
    position_ids: Tensor
    attention_mask: Tensor
    labels: Tensor
    branch: Tensor
    feature_rows: Tensor
    counts: Tensor
    image_token_id: int
    image_tokens: int
    longest: int

    def numbers(self) -> Tensor:
        """int64[B, L]: number of each position's branch in the whole batch, 0 to N - 1, or PREFIX or PADDING."""
        before = (self.counts.cumsum(0) - self.counts)[:, None]
        return torch.where(self.branch >= 0, self.branch + before, self.branch)

    def ends(self) -> Tensor:
        """bool[B, L], True at the last position of every branch."""
        following = torch.full_like(self.branch, PADDING)
        following[:, :-1] = self.branch[:, 1:]
        return (self.branch >= 0) & (self.branch != following)

    def last_prompt_tokens(self) -> Tensor:
        """bool[B, L]: the position of each branch that predicts its first answer token, in a batch with answers."""
        answer = self.labels != IGNORED
        following = torch.zeros_like(answer)
        following[:, :-1] = answer[:, 1:]
        return ~answer & following

    def to(self, device: torch.device | str) -> "PackedBatch":
        """The same batch on another device."""
        values: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: Any = {name: value.to(device) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


def pack(prompter: Prompter, groups: Sequence[Group]) -> PackedBatch:
    """Pack groups into one batch.

    Args:
        prompter: makes the ids, and remembers those of texts that it has seen.
        groups: one for each image. Either every turn of the batch has an answer or none has.

    Raises:
        ValueError: no group, a group without turns, an image without features (negative row), answers on some turns
            only; and what :meth:`~barnlib.prompts.Prompter.segments` refuses.
    """
    _require_groups(groups)
    segments = prompter.segments([turn for _, turns in groups for turn in turns])
    prefix = prompter.prefix_ids
    rows, lengths, supervised, conversations = [], [], [], []
    number = 0
    for _, turns in groups:
        branches = _branches(turns, segments[number : number + len(turns)])
        number += len(turns)
        rows.append([*prefix, *chain.from_iterable(branch.ids for branch in branches)])
        lengths.append([len(prefix), *(len(branch.ids) for branch in branches)])
        supervised.append([0, *(branch.supervised for branch in branches)])
        conversations.append([len(prefix)])
        for branch in branches:
            if branch.continues:
                conversations[-1][-1] += len(branch.ids)
            else:
                conversations[-1].append(len(branch.ids))
    width = max(map(len, rows))
    input_ids = torch.tensor([ids + [prompter.pad_id] * (width - len(ids)) for ids in rows])
    numbers, offset, remaining = _places(lengths, width)
    conversation = numbers
    if conversations != lengths:
        conversation, offset, _ = _places(conversations, width)
    position_ids = torch.where(conversation >= 0, offset + len(prefix), offset)
    at_end = torch.zeros_like(input_ids)  # how many of the last positions of its branch are supervised
    tails = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in supervised], batch_first=True)
    at_end = torch.where(numbers >= 0, tails.gather(1, (numbers + 1).clamp(min=0)), 0)
    return PackedBatch(
        input_ids=input_ids,
        position_ids=position_ids,
        attention_mask=_mask(conversation),
        labels=torch.where(remaining <= at_end, input_ids, IGNORED),
        branch=numbers,
        feature_rows=torch.tensor([row for row, _ in groups]),
        counts=torch.tensor([len(turns) for _, turns in groups]),
        image_token_id=prompter.image_token_id,
        image_tokens=prompter.image_tokens,
        longest=int(position_ids.max()) + 1,
    )


class _Branch(NamedTuple):
    """What one turn adds to a row: its ids, how many of them are supervised (the last ones), and whether it continues
    the branch before it."""

    ids: list[int]
    supervised: int
    continues: bool


def _branches(turns: Sequence[Turn], segments: Sequence[tuple[list[int], list[int]]]) -> list[_Branch]:
    found: list[_Branch] = []
    for number, (turn, (prompt, answer)) in enumerate(zip(turns, segments, strict=True)):
        continues = number > 0 and turn.continues(turns[number - 1])
        read = sum(map(len, segments[number - 1])) if continues else 0  # of the prompt, by the branch before
        found.append(_Branch(prompt[read:] + answer, len(answer), continues))
    return found


def _require_groups(groups: Sequence[Group]) -> None:
    if not groups:
        raise ValueError("nothing to pack; expected at least one group of questions on an image")
    for number, (row, turns) in enumerate(groups):
        if row < 0:
            raise ValueError(
                f"group {number}: feature row {row}; image tokens need features, expected a row from 0 on"
            )
        if not turns:
            raise ValueError(
                f"group {number} (feature row {row}) has no question; its image would be a waste"
            )
    answered = [turn.answer is not None for _, turns in groups for turn in turns]
    if any(answered) and not all(answered):
        raise ValueError(
            f"{sum(answered)} of {len(answered)} turns have an answer; expected all (training) or none (inference)"
        )


def _places(lengths: list[list[int]], width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Number of the part, offset within it, and positions left in it (1 at its end): int64[B, width] each.

    ``lengths`` holds, for each row, the length of the prefix and of every part after it (branch or conversation).
    """
    sizes = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in lengths], batch_first=True)
    ends = sizes.cumsum(1)
    position = torch.arange(width).expand(len(lengths), width)
    part = torch.searchsorted(ends, position.contiguous(), right=True)
    inside = position < ends[:, -1:]
    part = part.clamp(max=sizes.shape[1] - 1)
    end = ends.gather(1, part)
    offset = position - end + sizes.gather(1, part)
    number = torch.where(inside, part - 1, PADDING)
    return number, torch.where(inside, offset, 0), torch.where(inside, end - position, 1)


def _mask(conversation: Tensor) -> Tensor:
    """bool[B, 1, L, L]: a position sees the prefix and its own conversation, up to itself."""
    query, key = conversation[:, :, None], conversation[:, None, :]
    length = conversation.shape[1]
    earlier = torch.ones(length, length, dtype=torch.bool).tril()
    seen = (((key == PREFIX) & (query != PADDING)) | ((key == query) & (key >= 0))) & earlier
    return (seen | torch.eye(length, dtype=torch.bool))[:, None]
