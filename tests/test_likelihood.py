"""Losses and hidden states of packed batches are those of plain transformers, sample by sample."""

from itertools import chain

import pytest
import torch

from barnlib.data.turns import Turn
from barnlib.likelihood import hidden_states, packed_loss, reference_logprobs
from barnlib.model import (
    parameter_groups,
    trained_state,
)
from barnlib.packing import pack
from tests.small_model import (
    CONVERSATION,
    FLAT,
    GROUPS,
    HIDDEN,
    IMAGE_TOKENS,
    LORA_TARGETS,
    NATS,
    TALK,
    Case,
    alone,
    supervised,
)


def test_packed_loss_is_the_loss_of_each_sample_alone(case: Case):
    likelihood = packed_loss(case.model, pack(case.prompter, GROUPS), case.features)
    expected, tokens, first, hits = [], [], [], []
    for row, question, answer in FLAT:
        sample, count = supervised(case, row, question, answer)
        with torch.no_grad():
            output = case.plain(**sample)
        logprobs = output.logits[0, -count - 1 : -1].log_softmax(-1)
        target = sample["input_ids"][0, -count:]
        expected.append(float(output.loss) * count)  # transformers takes the mean over supervised tokens
        tokens.append(count)
        first.append(-float(logprobs[0, target[0]]))
        hits.append(bool((logprobs.argmax(-1) == target).all()))
    torch.testing.assert_close(likelihood.branch_nats, torch.tensor(expected), **NATS)
    torch.testing.assert_close(likelihood.branch_first_nats, torch.tensor(first), **NATS)
    assert likelihood.branch_tokens.tolist() == tokens
    assert likelihood.branch_hits.tolist() == hits
    assert likelihood.tokens == sum(tokens)
    torch.testing.assert_close(likelihood.nats.detach(), torch.tensor(sum(expected)), **NATS)


def whole_conversation(case: Case, row: int) -> list[float]:
    """Nats of each answer of `TALK`: plain transformers, pixels, one sequence with labels on all answers."""
    tokenizer = case.prompter.tokenizer
    end, before = str(tokenizer.eos_token), f"<image>\nQuestion: {TALK[0][0]}\nAnswer:"
    texts = [f" {TALK[0][1]}{end}"]
    for question, answer in TALK[1:]:
        texts += [f"\nQuestion: {question}\nAnswer:", f" {answer}{end}"]
    pieces = [tokenizer(text, add_special_tokens=False).input_ids for text in (before, *texts)]
    assert [*chain(*pieces)] == tokenizer(before + "".join(texts), add_special_tokens=False).input_ids
    at = pieces[0].index(case.prompter.image_token_id)
    pieces[0] = [
        tokenizer.bos_token_id,
        *pieces[0][:at],
        *[pieces[0][at]] * IMAGE_TOKENS,
        *pieces[0][at + 1 :],
    ]
    labels = [[-100] * len(ids) if number % 2 == 0 else ids for number, ids in enumerate(pieces)]
    ids, targets = torch.tensor([[*chain(*pieces)]]), torch.tensor([[*chain(*labels)]])
    pixels = case.pixels[row : row + 1]
    with torch.no_grad():
        output = case.plain(input_ids=ids, pixel_values=pixels, labels=targets)
    logprobs = output.logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]
    answer = torch.tensor(
        [number // 2 if number % 2 else -1 for number, part in enumerate(pieces) for _ in part]
    )
    found = [-float(logprobs[answer[1:] == number].sum()) for number in range(len(TALK))]
    assert float(output.loss) * int((targets != -100).sum()) == pytest.approx(sum(found), rel=1e-5)
    return found


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0)])
def test_the_loss_of_a_conversation_is_that_of_its_one_long_sequence(case: Case, order):
    """As LLaVA trains it: every answer once, given all before it; beside other questions, and in any order."""
    turns = [CONVERSATION[number] for number in order]
    other = GROUPS[0][1][0]
    packed = pack(case.prompter, [(1, [other, *turns, other]), (0, turns)])
    likelihood = packed_loss(case.model, packed, case.features)
    expected = [whole_conversation(case, row) for row in (0, 1)]
    nats = likelihood.branch_nats
    for number, (in_second, in_first) in enumerate(zip(nats[1:4], nats[5:], strict=True)):
        torch.testing.assert_close(in_first, torch.tensor(expected[0][order[number]]), **NATS)
        torch.testing.assert_close(in_second, torch.tensor(expected[1][order[number]]), **NATS)
    torch.testing.assert_close(nats[0], nats[4], **NATS)
    alone = pack(case.prompter, [(0, CONVERSATION)])
    together = packed_loss(case.model, alone, case.features)
    torch.testing.assert_close(together.nats.detach(), torch.tensor(sum(expected[0])), **NATS)
    answers = sum(len(case.prompter.answer_ids(answer)) for _, answer in TALK)
    assert together.tokens == answers and likelihood.tokens == 2 * answers + 2 * int(
        likelihood.branch_tokens[0]
    )


def test_features_give_what_pixels_give(case: Case):
    """The cached features stand for the pixels exactly: the same kernels in the same order."""
    sample = alone(case, 1, "How many?", "3")
    packed = pack(case.prompter, [(1, [Turn("How many?", "3")])])
    with torch.inference_mode():
        pixels = case.plain(**sample).logits[0, -3:-1].log_softmax(-1)
        likelihood = reference_logprobs(case.model, packed, case.features)
    found = -float(pixels.gather(1, sample["input_ids"][0, -2:, None]).sum())
    assert float(likelihood.nats) == pytest.approx(found, abs=1e-6 * abs(found) + 1e-6)


def test_projected_features_are_bit_identical_to_those_of_pixels(case: Case):
    with torch.inference_mode():
        expected = torch.stack(case.plain.get_image_features(case.pixels).pooler_output)
        found = case.plain.model.multi_modal_projector(case.features)
    assert torch.equal(found, expected)


def test_hidden_states_are_those_of_each_sample_alone(case: Case):
    likelihood, hidden = hidden_states(case.model, pack(case.prompter, GROUPS), case.features)
    assert set(hidden) == {"last_prompt_token", "image_mean", "answer_mean"}
    for number, (row, question, answer) in enumerate(FLAT):
        with torch.inference_mode():
            layers = case.plain(**alone(case, row, question, answer), output_hidden_states=True).hidden_states
        expected = torch.stack(layers)[:, 0]  # float32[layers + 1, L, D]
        count = len(case.prompter.answer_ids(answer))
        torch.testing.assert_close(hidden["last_prompt_token"][:, number], expected[:, -count - 1], **HIDDEN)
        torch.testing.assert_close(
            hidden["image_mean"][:, number], expected[:, 1 : 1 + IMAGE_TOKENS].mean(1), **HIDDEN
        )
        torch.testing.assert_close(hidden["answer_mean"][:, number], expected[:, -count:].mean(1), **HIDDEN)
    reference = reference_logprobs(case.model, pack(case.prompter, GROUPS), case.features)
    assert torch.equal(likelihood.branch_nats, reference.branch_nats)


def test_gradients_reach_projector_and_lora_and_nothing_else(fresh: Case):
    fresh.model.train()
    packed_loss(fresh.model, pack(fresh.prompter, GROUPS), fresh.features).nats.backward()
    with_gradient = {
        n for n, p in fresh.plain.named_parameters() if p.grad is not None and bool(p.grad.abs().sum() > 0)
    }
    assert with_gradient == set(trained_state(fresh.model))
    groups = parameter_groups(fresh.model)
    layers = fresh.plain.config.text_config.num_hidden_layers
    assert len(groups["projector"]) == 4
    assert len(groups["lora"]) == 2 * len(LORA_TARGETS) * layers
    assert not any("vision_tower" in name for name in trained_state(fresh.model))
