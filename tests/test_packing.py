"""Packing: every branch is laid out, seen and labelled as it would be alone."""

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.turns import Turn
from barnlib.packing import IGNORED, PADDING, PREFIX, Group, PackedBatch, pack
from barnlib.prompts import Prompter


class Words:
    """Stands for a Prompter: one id for each character, so that the expected ids can be written by hand."""

    prefix_ids = (1, 99, 99, 5)
    pad_id, image_token_id, image_tokens = 0, 99, 2

    def segments(self, turns: Sequence[Turn]) -> list[tuple[list[int], list[int]]]:
        return [
            (
                [number for pair in turn.history for number in (*map(ord, pair[0]), *map(ord, pair[1]), 2, 7)]
                + [ord(letter) for letter in turn.question],
                [] if turn.answer is None else [*map(ord, turn.answer), 2],
            )
            for turn in turns
        ]


@cache
def words() -> Prompter:
    return Words()  # type: ignore[return-value]


def brute_force(groups: Sequence[Group]) -> list[list[dict]]:
    """Every position of every row, written down one by one, with the places in its row that it sees."""
    prompter = Words()
    rows = []
    for _, turns in groups:
        row: list[dict] = []
        for at, number in enumerate(prompter.prefix_ids):
            row.append(
                {"id": number, "position": at, "label": IGNORED, "branch": PREFIX, "sees": [*range(at + 1)]}
            )
        said = None  # the conversation up to the turn before, where that has an answer
        for branch, turn in enumerate(turns):
            seen, history = row[-1]["sees"], [7]  # what a later question of a conversation begins with
            if not turn.history or turn.history != said:
                seen = [*range(len(prompter.prefix_ids))]
                history = [
                    id for pair in turn.history for id in [*map(ord, pair[0]), *map(ord, pair[1]), 2, 7]
                ]
            question = [*history, *map(ord, turn.question)]
            answer = [] if turn.answer is None else [*map(ord, turn.answer), 2]
            for at, number in enumerate(question + answer):
                seen = [*seen, len(row)]
                label = number if at >= len(question) else IGNORED
                row.append(
                    {
                        "id": number,
                        "position": len(seen) - 1,
                        "label": label,
                        "branch": branch,
                        "sees": seen,
                    }
                )
            said = None if turn.answer is None else (*turn.history, (turn.question, turn.answer))
        rows.append(row)
    return rows


TEXTS = st.text(alphabet="abcdefgh", min_size=1, max_size=6)
ROWS = st.integers(0, 9)
SAID = st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple)


@st.composite
def some_turns(draw: st.DrawFn) -> list[Turn]:
    """Turns of which some go on with the conversation of the one before, and some begin one, in its middle perhaps."""
    turns = [Turn(draw(TEXTS), draw(TEXTS), draw(SAID))]
    for _ in range(draw(st.integers(0, 3))):
        last = turns[-1]
        history = draw(st.one_of(SAID, st.just((*last.history, (last.question, last.answer)))))
        turns.append(Turn(draw(TEXTS), draw(TEXTS), history))
    return turns


ANSWERED = st.lists(st.tuples(ROWS, some_turns()), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(groups=ANSWERED, answers=st.booleans())
def test_every_position_is_as_written_down_by_hand(groups: list[Group], answers: bool):
    if not answers:
        groups = [(row, [turn.asked for turn in turns]) for row, turns in groups]
    packed = pack(words(), groups)
    width = packed.input_ids.shape[1]
    for number, row in enumerate(brute_force(groups)):
        row += [
            {"id": 0, "position": 0, "label": IGNORED, "branch": PADDING, "sees": [at]}
            for at in range(len(row), width)
        ]
        assert packed.input_ids[number].tolist() == [place["id"] for place in row]
        assert packed.position_ids[number].tolist() == [place["position"] for place in row]
        assert packed.labels[number].tolist() == [place["label"] for place in row]
        assert packed.branch[number].tolist() == [place["branch"] for place in row]
        for query, mask in enumerate(packed.attention_mask[number, 0]):
            assert mask.nonzero()[:, 0].tolist() == row[query]["sees"]
    assert packed.feature_rows.tolist() == [row for row, _ in groups]
    assert packed.counts.tolist() == [len(turns) for _, turns in groups]
    assert packed.longest == max(place["position"] for row in brute_force(groups) for place in row) + 1


def packed_example() -> PackedBatch:
    return pack(words(), [(7, [Turn("ab", "x"), Turn("c", "yz")]), (3, [Turn("d", "w")])])


def test_a_conversation_in_order_is_one_causal_sequence():
    """Each turn once; the answers are supervised, and nothing else."""
    first, second = Turn("ab", "x"), Turn("c", "yz", (("ab", "x"),))
    third = Turn("d", "w", (("ab", "x"), ("c", "yz")))
    packed = pack(words(), [(0, [first, second, third])])
    text = [*map(ord, "abx"), 2, 7, *map(ord, "cyz"), 2, 7, *map(ord, "dw"), 2]
    assert packed.input_ids[0].tolist() == [1, 99, 99, 5, *text]
    assert packed.position_ids[0].tolist() == list(range(4 + len(text)))
    assert torch.equal(packed.attention_mask[0, 0], torch.ones_like(packed.attention_mask[0, 0]).tril())
    supervised = packed.labels[packed.labels != IGNORED].tolist()
    assert supervised == [ord("x"), 2, ord("y"), ord("z"), 2, ord("w"), 2]
    assert packed.numbers()[packed.labels != IGNORED].tolist() == [0, 0, 1, 1, 1, 2, 2]
    assert packed.longest == 4 + len(text)


def test_history_that_is_not_that_of_the_turn_before_is_written_out_and_not_supervised():
    """Out of order, another answer, or no answer at all: each turn reads its own history."""
    second = Turn("c", "yz", (("ab", "x"),))
    for before in (Turn("d", "w"), Turn("ab", "y"), Turn("ab", "x", (("e", "f"),))):
        packed = pack(words(), [(0, [before, second])])
        own = packed.branch[0] == 1
        assert packed.input_ids[0][own].tolist() == [*map(ord, "abx"), 2, 7, *map(ord, "cyz"), 2]
        assert packed.labels[0][own].tolist() == [IGNORED] * 6 + [ord("y"), ord("z"), 2]
        assert packed.position_ids[0][own].tolist() == list(range(4, 13))
    asked = pack(words(), [(0, [Turn("ab"), second.asked])])
    assert asked.input_ids[0][asked.branch[0] == 1].tolist() == [*map(ord, "abx"), 2, 7, ord("c")]


def test_branches_are_numbered_through_the_batch():
    numbers = packed_example().numbers().tolist()
    assert numbers[0] == [-1] * 4 + [0] * 4 + [1] * 4
    assert numbers[1] == [-1] * 4 + [2] * 3 + [-2] * 5


def test_ends_are_the_last_position_of_each_branch():
    ends = packed_example().ends()
    assert ends.nonzero().tolist() == [[0, 7], [0, 11], [1, 6]]


def test_tensors_have_the_types_that_transformers_wants():
    packed = packed_example()
    assert packed.attention_mask.dtype == torch.bool
    assert packed.attention_mask.shape == (2, 1, 12, 12)
    for name in ("input_ids", "position_ids", "labels", "branch", "feature_rows", "counts"):
        assert getattr(packed, name).dtype == torch.int64


def test_a_batch_moves_whole():
    moved = packed_example().to("meta")
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 7
    assert all(tensor.device.type == "meta" for tensor in tensors)
    assert moved.longest == packed_example().longest


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "nothing to pack; expected at least one group"),
        ([(0, [Turn("a", "b")]), (4, [])], r"group 1 \(feature row 4\) has no question"),
        ([(-1, [Turn("a", "b")])], "group 0: feature row -1; image tokens need features"),
        ([(0, [Turn("a", "b"), Turn("c")])], "1 of 2 turns have an answer; expected all"),
    ],
)
def test_groups_that_cannot_be_packed_are_refused(groups: list[Group], message: str):
    with pytest.raises(ValueError, match=message):
        pack(words(), groups)
