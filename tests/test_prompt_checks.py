"""Checks of prompts and labels before training: every planted fault is caught and named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoTokenizer

from barnlib import prompt_checks
from barnlib.data.turns import Turn
from barnlib.packing import IGNORED, Group, pack
from barnlib.prompt_checks import PreflightError, check_batch, check_groups, joint_tokenisation
from barnlib.prompts import Prompter
from tests.small_preflight import IMAGE_TOKENS, Case, make_case, make_item, spoiled

TALK = (("Is there a circle?", "yes"), ("How many?", "3"), ("And where?", "no"))
CONVERSATION = [Turn(*pair, TALK[:number]) for number, pair in enumerate(TALK)]
TALKED: list[Group] = [(0, CONVERSATION), (1, [Turn("Where?", "no"), CONVERSATION[2], CONVERSATION[1]])]


@pytest.fixture(scope="module")
def case(tiny_grouped_llama: Path, tiny_clip: Path) -> Case:
    return make_case(tiny_grouped_llama, tiny_clip)


def test_a_dropped_item_is_named(case: Case):
    row, turns = case.groups[2]
    with pytest.raises(
        PreflightError, match=r"check 1 \(labels\): item 'item-2-1': expected once .* found dropped"
    ):
        case.check(groups=[*case.groups[:2], (row, [turns[0], turns[2]]), *case.groups[3:]])


def test_every_group_is_looked_at(case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(prompt_checks, "GROUPS_AT_ONCE", 3)
    found = check_groups(case.prompter, case.items, case.rows, case.groups, case.features)
    batches = [pack(case.prompter, some) for some in (case.groups[:3], case.groups[3:])]
    assert found == {
        "supervised_tokens": sum(int((packed.labels != IGNORED).sum()) for packed in batches),
        "positions": sum(packed.labels.numel() for packed in batches),
    }


def test_a_turn_that_belongs_to_no_item_is_named(case: Case):
    with pytest.raises(
        PreflightError, match=r"1 turns of an epoch belong to no item, such as .*'What else\?'"
    ):
        case.check(groups=[*case.groups, (0, [Turn("What else?", "no")])])


def test_an_image_without_features_is_named(case: Case):
    rows = {image: row for image, row in case.rows.items() if image != "images/train/3.png"}
    with pytest.raises(
        PreflightError, match=r"item 'item-3-0': expected features of image 'images/train/3.png'"
    ):
        case.check(rows=rows)
    with pytest.raises(PreflightError, match=r"item 'item-0-0': .* in a table of 3 rows, found row 3"):
        case.check(features=case.features[:3])
    broken = case.features.clone()
    broken[1, 2, 3] = float("nan")
    with pytest.raises(PreflightError, match="features of row 1 are not finite"):
        case.check(features=broken)


def test_shifted_labels_are_caught(case: Case):
    packed = case.batch()
    with pytest.raises(
        PreflightError, match=r"check 1 \(labels\): question 'Is there a circle\?': expected the answer"
    ):
        check_batch(case.prompter, case.groups, replace(packed, labels=packed.labels.roll(1, dims=1)))
    # The labels of the answer are all there, one position too early: the text alone would not show it.
    shifted = torch.full_like(packed.labels, IGNORED)
    shifted[:, :-1] = packed.labels[:, 1:]
    with pytest.raises(PreflightError, match=r"expected labels on the \d+ positions after the prompt"):
        check_batch(case.prompter, case.groups, replace(packed, labels=shifted))


def test_labels_that_are_masked_are_caught(case: Case):
    packed = case.batch()
    nothing = torch.full_like(packed.labels, IGNORED)
    with pytest.raises(PreflightError, match=r"expected the answer 'yes' and EOS .* found '' from ids \[\]"):
        check_batch(case.prompter, case.groups, replace(packed, labels=nothing))
    without_end = packed.labels.masked_fill(packed.labels == case.prompter.eos_id, IGNORED)
    with pytest.raises(PreflightError, match=r"expected the answer 'yes' and EOS"):
        check_batch(case.prompter, case.groups, replace(packed, labels=without_end))


def test_labels_on_the_image_are_caught(case: Case):
    packed = case.batch()
    labels = packed.labels.clone()
    labels[1, 3] = packed.input_ids[1, 3]
    with pytest.raises(
        PreflightError, match=r"group 1 \(feature row 2\): 1 labels on the prefix or on padding"
    ):
        check_batch(case.prompter, case.groups, replace(packed, labels=labels))


def test_a_swapped_image_is_caught(case: Case):
    packed = case.batch()
    with pytest.raises(PreflightError, match="group 0: expected feature row 3, found 0"):
        check_batch(case.prompter, case.groups, replace(packed, feature_rows=packed.feature_rows.flip(0)))


def test_two_bos_are_caught(case: Case):
    twice = spoiled(case.prompter, prefix_ids=[case.prompter.bos_id, *case.prompter.prefix_ids])
    with pytest.raises(
        PreflightError, match=r"check 2 \(prompts\): expected one BOS \(id 0\), at the start, found 2"
    ):
        case.check(prompter=twice)
    with pytest.raises(PreflightError, match=r"expected one BOS \(id 0\), at the start, found 0"):
        case.check(prompter=spoiled(case.prompter, prefix_ids=case.prompter.prefix_ids[1:]))
    last = [*case.prompter.prefix_ids[1:], case.prompter.bos_id]
    with pytest.raises(PreflightError, match=r"expected one BOS \(id 0\), at the start, found 1"):
        case.check(prompter=spoiled(case.prompter, prefix_ids=last))


def test_padding_that_is_eos_is_caught(case: Case):
    with pytest.raises(
        PreflightError, match=r"padding is id 1; expected an id that is neither BOS \(0\) nor EOS \(1\)"
    ):
        case.check(prompter=spoiled(case.prompter, pad_id=case.prompter.eos_id))


def test_a_missing_image_token_is_caught(case: Case):
    fewer = spoiled(case.prompter, prefix_ids=[case.prompter.prefix_ids[0], *case.prompter.prefix_ids[2:]])
    with pytest.raises(
        PreflightError, match="expected 9 image tokens, all in the prefix, found 8 in the prefix"
    ):
        case.check(prompter=fewer)
    packed = case.batch()
    ids = packed.input_ids.clone()
    ids[0, len(case.prompter.prefix_ids)] = case.prompter.image_token_id
    with pytest.raises(PreflightError, match="found 9 in the prefix and 10 in the whole row"):
        check_batch(case.prompter, case.groups, replace(packed, input_ids=ids))
    with pytest.raises(PreflightError, match=r"'<image>': expected the one id 7, found \[3\]"):
        case.check(prompter=spoiled(case.prompter, image_token_id=7))


def test_a_prompt_that_differs_between_training_and_inference_is_caught(case: Case):
    packed = case.batch()
    ids = packed.input_ids.clone()
    ids[0, len(case.prompter.prefix_ids)] = 9
    with pytest.raises(
        PreflightError, match=r"question 'Is there a circle\?': expected the ids of inference"
    ):
        check_batch(case.prompter, case.groups, replace(packed, input_ids=ids))


def check_talk(prompter: Prompter, **changes: Tensor) -> None:
    check_batch(prompter, TALKED, replace(pack(prompter, TALKED), **changes))


def test_a_conversation_passes_in_order_and_out_of_order(case: Case):
    first, second = "images/train/0.png", "images/train/1.png"
    items = [
        replace(
            make_item(0, 0),
            id=f"{row}-{number}",
            image=(first, second)[row],
            question=turn.question,
            answer=str(turn.answer),
            history=turn.history,
        )
        for row, turns in TALKED
        for number, turn in enumerate(turns)
    ]
    rows = {first: 0, second: 1}
    found = check_groups(case.prompter, items, rows, TALKED, case.features)
    assert found["supervised_tokens"] == sum(len(case.prompter.answer_ids(item.answer)) for item in items)
    with pytest.raises(PreflightError, match=r"item '1-1': expected once in an epoch, found dropped"):
        alone = [TALKED[0], (1, [TALKED[1][1][0], CONVERSATION[1], Turn("And where?", "no")])]
        check_groups(case.prompter, items, rows, alone, case.features)
    joint = joint_tokenisation(case.prompter, items)
    assert joint == {"equal": len(items), "of": len(items)}


def test_an_earlier_answer_without_its_end_is_caught(case: Case):
    def endless(turns):
        made = case.prompter.segments(turns)
        return [([i for i in asked if i != case.prompter.eos_id], answer) for asked, answer in made]

    with pytest.raises(
        PreflightError,
        match=r"question 'How many\?': expected the turn 'Is there a circle\?' before it to end with 'yes' and EOS",
    ):
        check_talk(spoiled(case.prompter, segments=endless))


def test_an_earlier_answer_that_is_trained_otherwise_is_caught(case: Case):
    """The prompt may repeat it as it is trained, and it is still not the answer of the item, or has no end."""

    def endless(turns):
        made = case.prompter.segments(turns)
        return [tuple([i for i in part if i != case.prompter.eos_id] for part in pair) for pair in made]

    def changed(turns):
        return case.prompter.segments(
            [
                Turn(turn.question, turn.answer and "no", tuple((asked, "no") for asked, _ in turn.history))
                for turn in turns
            ]
        )

    group = [(0, [CONVERSATION[1]])]
    for segments in (endless, changed):
        prompter = spoiled(case.prompter, segments=segments)
        with pytest.raises(
            PreflightError, match=r"the turn 'Is there a circle\?' before it to end with 'yes'"
        ):
            check_batch(prompter, group, pack(prompter, group))


def test_a_bos_between_turns_is_caught_where_no_template_has_it(case: Case):
    def begun(turns):
        pairs = case.prompter.segments(turns)
        end = case.prompter.eos_id
        return [
            ([j for i in asked for j in ([i, case.prompter.bos_id] if i == end else [i])], answer)
            for asked, answer in pairs
        ]

    with pytest.raises(PreflightError, match=r"question 'How many\?': expected 1 BOS \(id 0\) .*, found 2"):
        check_talk(spoiled(case.prompter, segments=begun))


def test_history_that_is_supervised_is_caught(case: Case):
    packed = pack(case.prompter, TALKED)
    branch = (packed.branch[1] == 1).nonzero()[:, 0]  # reads its history itself
    at = int(branch[packed.input_ids[1, branch] == case.prompter.eos_id][0])  # the end of the first answer
    labels = packed.labels.clone()
    labels[1, at] = packed.input_ids[1, at]
    with pytest.raises(PreflightError, match=r"check 1 \(labels\): question 'And where\?'"):
        check_talk(case.prompter, labels=labels)


def test_history_that_is_not_seen_is_caught(case: Case):
    """A turn that goes on from the one before must see it, and stand behind it."""
    packed = pack(case.prompter, TALKED)
    mask, positions = packed.attention_mask.clone(), packed.position_ids.clone()
    later, earlier = packed.branch[0] == 1, packed.branch[0] == 0
    mask[0, 0] &= ~(later[:, None] & earlier[None])
    with pytest.raises(PreflightError, match=r"question 'How many\?': expected the ids of inference"):
        check_talk(case.prompter, attention_mask=mask)
    positions[0, later] -= int(earlier.sum())
    with pytest.raises(PreflightError, match=r"'How many\?': .* one after the other from position 0 on"):
        check_talk(case.prompter, position_ids=positions)


def test_a_tokenizer_whose_bos_is_its_eos_passes(tiny_llama: Path):
    """As that of GPT-NeoX: what ends an earlier answer is no second start."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.bos_token = tokenizer.eos_token
    check_talk(Prompter(tokenizer, "uniform", IMAGE_TOKENS))


def test_joint_tokenisation_counts_what_a_processor_would_cut_differently(case: Case):
    spoiled_ids = spoiled(case.prompter, prompt_ids=lambda question, history: [0, 1, 2])
    assert joint_tokenisation(spoiled_ids, case.items) == {"equal": 0, "of": len(case.items)}
