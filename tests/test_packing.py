"""Packing: every branch is laid out, seen and labelled as it would be alone."""

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.packing import IGNORED, PADDING, PREFIX, Group, PackedBatch, pack
from barnlib.prompts import Prompter


class Words:
    """Stands for a Prompter: one id for each character, so that the expected ids can be written by hand."""

    prefix_ids = (1, 99, 99, 5)
    pad_id, image_token_id, image_tokens = 0, 99, 2

    def segments(self, turns: Sequence[tuple[str, str | None]]) -> list[tuple[list[int], list[int]]]:
        return [
            ([ord(letter) for letter in question], [] if answer is None else [*map(ord, answer), 2])
            for question, answer in turns
        ]


@cache
def words() -> Prompter:
    return Words()  # type: ignore[return-value]


def brute_force(groups: Sequence[Group]) -> list[list[dict]]:
    """Every position of every row, written down one by one."""
    prompter = Words()
    rows = []
    for _, turns in groups:
        row = [
            {"id": number, "position": at, "label": IGNORED, "branch": PREFIX}
            for at, number in enumerate(prompter.prefix_ids)
        ]
        for branch, (question, answer) in enumerate(prompter.segments(turns)):
            for at, number in enumerate(question + answer):
                row.append(
                    {
                        "id": number,
                        "position": len(prompter.prefix_ids) + at,
                        "label": number if at >= len(question) else IGNORED,
                        "branch": branch,
                    }
                )
        rows.append(row)
    return rows


TEXTS = st.text(alphabet="abcdefgh", min_size=1, max_size=6)
ROWS = st.integers(0, 9)
ANSWERED = st.lists(
    st.tuples(ROWS, st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4)), min_size=1, max_size=4
)


@settings(max_examples=40, deadline=None)
@given(groups=ANSWERED, answers=st.booleans())
def test_every_position_is_as_written_down_by_hand(groups: list[Group], answers: bool):
    if not answers:
        groups = [(row, [(question, None) for question, _ in turns]) for row, turns in groups]
    packed = pack(words(), groups)
    width = packed.input_ids.shape[1]
    padding = {"id": 0, "position": 0, "label": IGNORED, "branch": PADDING}
    for number, row in enumerate(brute_force(groups)):
        row += [padding] * (width - len(row))
        assert packed.input_ids[number].tolist() == [place["id"] for place in row]
        assert packed.position_ids[number].tolist() == [place["position"] for place in row]
        assert packed.labels[number].tolist() == [place["label"] for place in row]
        assert packed.branch[number].tolist() == [place["branch"] for place in row]
        for query in range(width):
            for key in range(width):
                own = row[key]["branch"] == row[query]["branch"] != PADDING
                prefix = row[key]["branch"] == PREFIX and row[query]["branch"] != PADDING
                expected = key == query or (key < query and (own or prefix))
                assert packed.attention_mask[number, 0, query, key] == expected
    assert packed.feature_rows.tolist() == [row for row, _ in groups]
    assert packed.counts.tolist() == [len(turns) for _, turns in groups]
    assert packed.longest == max(place["position"] for row in brute_force(groups) for place in row) + 1


def packed_example() -> PackedBatch:
    return pack(words(), [(7, [("ab", "x"), ("c", "yz")]), (3, [("d", "w")])])


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
        ([(0, [("a", "b")]), (4, [])], r"group 1 \(feature row 4\) has no question"),
        ([(-1, [("a", "b")])], "group 0: feature row -1; image tokens need features"),
        ([(0, [("a", "b"), ("c", None)])], "1 of 2 turns have an answer; expected all"),
    ],
)
def test_groups_that_cannot_be_packed_are_refused(groups: list[Group], message: str):
    with pytest.raises(ValueError, match=message):
        pack(words(), groups)
