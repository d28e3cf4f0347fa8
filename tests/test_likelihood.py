"""Losses and hidden states of packed batches are those of plain transformers, sample by sample."""

import pytest
import torch

from barnlib.likelihood import hidden_states, packed_loss, reference_logprobs
from barnlib.model import (
    parameter_groups,
    trained_state,
)
from barnlib.packing import pack
from tests.small_model import FLAT, GROUPS, HIDDEN, IMAGE_TOKENS, LORA_TARGETS, NATS, Case, alone, supervised


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


def test_features_give_what_pixels_give(case: Case):
    """The cached features stand for the pixels exactly: the same kernels in the same order."""
    sample = alone(case, 1, "How many?", "3")
    packed = pack(case.prompter, [(1, [("How many?", "3")])])
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
