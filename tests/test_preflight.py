"""Preflight: a sound backbone passes, and every planted fault is caught and named."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from barnlib import preflight
from barnlib.data.records import TASKS, Item
from barnlib.data.turns import Turn
from barnlib.model import Model, add_lora, compose, llava, trained_state
from barnlib.packing import IGNORED, Group, PackedBatch, pack
from barnlib.preflight import PreflightError
from barnlib.prompts import Prompter
from tests.conftest import IMAGE_SIZE, PATCH

IMAGE_TOKENS = (IMAGE_SIZE // PATCH) ** 2
QUESTIONS = (
    ("Is there a circle?", "yes"),
    ("Where is the epicentre?", '{"latitude": -12.4}'),
    ("How many?", "3"),
)
IMAGES = 4


@dataclass
class Case:
    prompter: Prompter
    model: Model
    language_model: PreTrainedModel
    items: list[Item]
    rows: dict[str, int]
    groups: list[Group]
    features: Tensor

    def check(self, **changes) -> dict:
        case = replace(self, **changes)
        return preflight.check(
            case.prompter,
            case.model,
            case.language_model,
            case.items,
            case.rows,
            case.groups,
            case.features,
            max_new_tokens=30,
            overfit_items=4,
            learning_rate=1e-2,
        )

    def batch(self) -> PackedBatch:
        return pack(self.prompter, self.groups)


def make_item(image: int, number: int) -> Item:
    question, answer = QUESTIONS[number]
    return Item(
        id=f"item-{image}-{number}",
        image=f"images/train/{image}.png",
        task=TASKS[(image + number) % len(TASKS)],
        question_type="any",
        difficulty="easy",
        question=question,
        answer=answer,
        choices=(),
        facts={},
    )


@pytest.fixture(scope="module")
def case(tiny_grouped_llama: Path, tiny_clip: Path) -> Iterator[Case]:
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_grouped_llama), "uniform", IMAGE_TOKENS)
    model = compose(tiny_clip, tiny_grouped_llama, prompter, seed=0)
    items = [make_item(image, number) for image in range(IMAGES) for number in range(len(QUESTIONS))]
    rows = {f"images/train/{image}.png": IMAGES - 1 - image for image in range(IMAGES)}
    by_image = {image: [i for i in items if i.image == image] for image in rows}
    yield Case(
        prompter=prompter,
        model=add_lora(model, rank=8, alpha=16, dropout=0.0, seed=0),
        language_model=AutoModelForCausalLM.from_pretrained(tiny_grouped_llama),
        items=items,
        rows=rows,
        groups=[(rows[image], [i.turn for i in some]) for image, some in by_image.items()],
        features=torch.from_numpy(
            np.random.default_rng(0).normal(size=(IMAGES, IMAGE_TOKENS, 16)).astype(np.float32)
        ),
    )


def test_a_sound_backbone_passes_and_is_left_as_it_was(case: Case):
    before = {name: weight.clone() for name, weight in trained_state(case.model).items()}
    trainable = {name for name, weight in llava(case.model).named_parameters() if weight.requires_grad}
    case.model.train()
    report = case.check()
    assert report["items"] == IMAGES * len(QUESTIONS)
    supervised = sum(len(case.prompter.answer_ids(item.answer)) for item in case.items)
    assert report["supervised_tokens"] == supervised
    assert report["positions"] == case.batch().input_ids.numel()
    assert report["joint_tokenisation"] == {"equal": len(case.items), "of": len(case.items)}
    assert report["stop_ids"] == [case.prompter.eos_id]
    assert report["largest_logit_difference"] <= preflight.LOGIT_TOLERANCE
    assert report["overfit"]["items"] == 4
    assert 0 < report["overfit"]["steps"] < 400
    assert report["overfit"]["stop_rate"] == 1.0
    assert case.model.training
    assert all(torch.equal(weight, before[name]) for name, weight in trained_state(case.model).items())
    assert {
        name for name, weight in llava(case.model).named_parameters() if weight.requires_grad
    } == trainable


def test_a_dropped_item_is_named(case: Case):
    row, turns = case.groups[2]
    with pytest.raises(
        PreflightError, match=r"check 1 \(labels\): item 'item-2-1': expected once .* found dropped"
    ):
        case.check(groups=[*case.groups[:2], (row, [turns[0], turns[2]]), *case.groups[3:]])


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
        preflight.check_batch(
            case.prompter, case.groups, replace(packed, labels=packed.labels.roll(1, dims=1))
        )
    # The labels of the answer are all there, one position too early: the text alone would not show it.
    shifted = torch.full_like(packed.labels, IGNORED)
    shifted[:, :-1] = packed.labels[:, 1:]
    with pytest.raises(PreflightError, match=r"expected labels on the \d+ positions after the prompt"):
        preflight.check_batch(case.prompter, case.groups, replace(packed, labels=shifted))


def test_labels_that_are_masked_are_caught(case: Case):
    packed = case.batch()
    nothing = torch.full_like(packed.labels, IGNORED)
    with pytest.raises(PreflightError, match=r"expected the answer 'yes' and EOS .* found '' from ids \[\]"):
        preflight.check_batch(case.prompter, case.groups, replace(packed, labels=nothing))
    without_end = packed.labels.masked_fill(packed.labels == case.prompter.eos_id, IGNORED)
    with pytest.raises(PreflightError, match=r"expected the answer 'yes' and EOS"):
        preflight.check_batch(case.prompter, case.groups, replace(packed, labels=without_end))


def test_labels_on_the_image_are_caught(case: Case):
    packed = case.batch()
    labels = packed.labels.clone()
    labels[1, 3] = packed.input_ids[1, 3]
    with pytest.raises(
        PreflightError, match=r"group 1 \(feature row 2\): 1 labels on the prefix or on padding"
    ):
        preflight.check_batch(case.prompter, case.groups, replace(packed, labels=labels))


def test_a_swapped_image_is_caught(case: Case):
    packed = case.batch()
    with pytest.raises(PreflightError, match="group 0: expected feature row 3, found 0"):
        preflight.check_batch(
            case.prompter, case.groups, replace(packed, feature_rows=packed.feature_rows.flip(0))
        )


def spoiled(prompter: Prompter, **attributes) -> Prompter:
    other = copy.copy(prompter)
    for name, value in attributes.items():
        setattr(other, name, value)
    return other


def test_two_bos_are_caught(case: Case):
    twice = spoiled(case.prompter, prefix_ids=[case.prompter.bos_id, *case.prompter.prefix_ids])
    with pytest.raises(
        PreflightError, match=r"check 2 \(prompts\): expected one BOS \(id 0\), at the start, found 2"
    ):
        case.check(prompter=twice)
    with pytest.raises(PreflightError, match=r"expected one BOS \(id 0\), at the start, found 0"):
        case.check(prompter=spoiled(case.prompter, prefix_ids=case.prompter.prefix_ids[1:]))


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
    with pytest.raises(PreflightError, match=r"'<image>': expected the one id 7, found \[3\]"):
        case.check(prompter=spoiled(case.prompter, image_token_id=7))


def test_a_prompt_that_differs_between_training_and_inference_is_caught(case: Case):
    packed = case.batch()
    ids = packed.input_ids.clone()
    ids[0, len(case.prompter.prefix_ids)] = 9
    with pytest.raises(
        PreflightError, match=r"question 'Is there a circle\?': expected the ids of inference"
    ):
        preflight.check_batch(case.prompter, case.groups, replace(packed, input_ids=ids))


TALK = (("Is there a circle?", "yes"), ("How many?", "3"), ("And where?", "no"))
CONVERSATION = [Turn(*pair, TALK[:number]) for number, pair in enumerate(TALK)]
TALKED: list[Group] = [(0, CONVERSATION), (1, [Turn("Where?", "no"), CONVERSATION[2], CONVERSATION[1]])]


def check_talk(prompter: Prompter, **changes: Tensor) -> None:
    preflight.check_batch(prompter, TALKED, replace(pack(prompter, TALKED), **changes))


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
    found = preflight.check_groups(case.prompter, items, rows, TALKED, case.features)
    assert found["supervised_tokens"] == sum(len(case.prompter.answer_ids(item.answer)) for item in items)
    with pytest.raises(PreflightError, match=r"item '1-1': expected once in an epoch, found dropped"):
        alone = [TALKED[0], (1, [TALKED[1][1][0], CONVERSATION[1], Turn("And where?", "no")])]
        preflight.check_groups(case.prompter, items, rows, alone, case.features)
    joint = preflight.joint_tokenisation(case.prompter, items)
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


def test_a_wrong_stop_id_is_caught(case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llava(case.model).generation_config, "eos_token_id", [case.prompter.pad_id])
    with pytest.raises(
        PreflightError, match=r"check 3 .*trained to end with id 1 \('</s>'\); generation stops at \[2\]"
    ):
        case.check()


def test_an_embedding_that_is_too_small_is_caught(case: Case, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(llava(case.model), "get_input_embeddings", lambda: torch.nn.Embedding(50, 4))
    with pytest.raises(PreflightError, match=r"the embedding has 50 rows; expected at least \d+"):
        case.check()


def test_another_language_model_is_caught(case: Case, tiny_llama: Path):
    with pytest.raises(PreflightError, match=r"check 4 \(text only\): item 'item-0-0': logits .* differ"):
        case.check(language_model=AutoModelForCausalLM.from_pretrained(tiny_llama))


def test_items_that_cannot_be_learned_are_caught_and_the_weights_go_back(case: Case):
    before = {name: weight.clone() for name, weight in trained_state(case.model).items()}
    chosen = [(case.rows[item.image], item) for item in case.items[:2]]
    with pytest.raises(
        PreflightError, match=r"check 5 \(overfit\): item 'item-0-0' after 1 steps: expected 'yes' and EOS"
    ):
        preflight.check_overfit(
            case.prompter, case.model, chosen, case.features, max_new_tokens=5, steps=1, learning_rate=1e-3
        )
    assert all(torch.equal(weight, before[name]) for name, weight in trained_state(case.model).items())


def test_joint_tokenisation_counts_what_a_processor_would_cut_differently(case: Case):
    spoiled_ids = spoiled(case.prompter, prompt_ids=lambda question, history: [0, 1, 2])
    assert preflight.joint_tokenisation(spoiled_ids, case.items) == {"equal": 0, "of": len(case.items)}


def test_composition_is_exact_in_bfloat16_too(tiny_grouped_llama: Path, tiny_clip: Path):
    """As at paper scale: frozen weights in bfloat16, float32 LoRA that is still zero, under autocast."""
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_grouped_llama), "uniform", IMAGE_TOKENS)
    composed = compose(tiny_clip, tiny_grouped_llama, prompter, seed=1, dtype=torch.bfloat16)
    model = add_lora(composed, rank=4, alpha=8, dropout=0.0, seed=1)
    bare = AutoModelForCausalLM.from_pretrained(tiny_grouped_llama, dtype=torch.bfloat16)
    items = [make_item(image, number) for image in range(IMAGES) for number in range(len(QUESTIONS))]
    with torch.autocast("cpu", torch.bfloat16):
        assert preflight.check_text_only(prompter, model, bare, items) == 0
