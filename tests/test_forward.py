"""Arguments of a forward over a packed batch: masks for each kind of attention, and what is refused."""

from dataclasses import replace

import pytest
import torch

from barnlib.decoding import greedy
from barnlib.likelihood import packed_loss, reference_logprobs
from barnlib.packing import pack
from tests.small_model import ASKED, GROUPS, NATS, Case


def test_eager_attention_gives_the_same_as_sdpa(fresh: Case):
    packed = pack(fresh.prompter, GROUPS)
    expected = reference_logprobs(fresh.model, packed, fresh.features).branch_nats
    fresh.plain.model.language_model.config._attn_implementation = "eager"
    torch.testing.assert_close(
        reference_logprobs(fresh.model, packed, fresh.features).branch_nats, expected, **NATS
    )


def test_evaluating_leaves_the_mode_and_no_gradient(fresh: Case):
    fresh.model.train()
    likelihood = reference_logprobs(fresh.model, pack(fresh.prompter, GROUPS), fresh.features)
    assert fresh.model.training
    assert not likelihood.nats.requires_grad
    again = reference_logprobs(fresh.model, pack(fresh.prompter, GROUPS), fresh.features)
    assert torch.equal(likelihood.branch_nats, again.branch_nats)  # dropout off


def test_batches_that_do_not_fit_are_refused(case: Case):
    answered, asked = pack(case.prompter, GROUPS), pack(case.prompter, ASKED)
    with pytest.raises(ValueError, match="no position of the batch is supervised"):
        packed_loss(case.model, asked, case.features)
    with pytest.raises(ValueError, match="the batch holds answers; expected one packed without"):
        greedy(case.model, answered, case.features, 3)
    with pytest.raises(ValueError, match="feature rows 0 to 2; the table holds 0 to 1"):
        packed_loss(case.model, answered, case.features[:2])
    with pytest.raises(
        ValueError, match=r"image tokens in each row: \[9\]; features have shape \(3, 8, 16\)"
    ):
        packed_loss(case.model, answered, case.features[:, 1:])
    text_only = replace(
        asked, input_ids=asked.input_ids.masked_fill(asked.input_ids == case.prompter.image_token_id, 7)
    )
    with pytest.raises(ValueError, match=r"image tokens in each row: \[0\]"):
        greedy(case.model, text_only, case.features, 3)
    context = case.plain.config.text_config.max_position_embeddings
    with pytest.raises(
        ValueError,
        match=rf"a branch takes \d+ positions, answer included; the backbone's context is {context}",
    ):
        greedy(case.model, asked, case.features, context)
