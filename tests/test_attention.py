"""Watched attention is that of eager transformers, sample by sample, and leaves the forward as it is."""

import pytest
import torch

from barnlib.attention import WATCHED, image_share, watched_attention
from barnlib.likelihood import hidden_states
from barnlib.model import llava
from barnlib.packing import pack
from tests.small_model import FLAT, GROUPS, IMAGE_TOKENS, alone


def test_attention_on_the_image_is_that_of_eager_attention(case):
    packed = pack(case.prompter, GROUPS)
    with watched_attention(case.model, packed) as masses:
        _, watched = hidden_states(case.model, packed, case.features)
    found, share = torch.stack(masses), image_share(packed)
    _, unwatched = hidden_states(case.model, packed, case.features)
    torch.testing.assert_close(watched, unwatched, atol=5e-6, rtol=0)
    language = llava(case.model).model.language_model.config
    try:
        language._attn_implementation = "eager"
        for number, (row, question, answer) in enumerate(FLAT):
            sample = alone(case, row, question, answer)
            prompt = len(case.prompter.prompt_ids(question))
            with torch.inference_mode():
                maps = case.plain(**sample, output_attentions=True).attentions
            image = sample["input_ids"][0] == case.prompter.image_token_id
            expected = torch.stack([one[0, :, prompt - 1, image].sum(-1).mean() for one in maps])
            torch.testing.assert_close(found[:, number], expected, atol=1e-5, rtol=0)
            assert share[number] == pytest.approx(IMAGE_TOKENS / prompt)
    finally:
        language._attn_implementation = "sdpa"


def test_positions_are_those_before_the_answers(case):
    packed = pack(case.prompter, GROUPS)
    at = packed.last_prompt_tokens()
    assert at.sum() == len(FLAT)
    following = packed.input_ids.roll(-1, 1)[at]
    assert following.tolist() == [case.prompter.answer_ids(answer)[0] for _, _, answer in FLAT]


def test_other_attention_is_refused_and_the_model_is_left_as_it_was(case):
    packed = pack(case.prompter, GROUPS)
    config = llava(case.model).model.language_model.config
    with pytest.raises(RuntimeError, match="stop"), watched_attention(case.model, packed):
        assert config._attn_implementation == WATCHED
        raise RuntimeError("stop")
    assert config._attn_implementation == "sdpa"
    try:
        config._attn_implementation = "eager"
        with (
            pytest.raises(ValueError, match="attention is 'eager'; only 'sdpa' can be watched"),
            watched_attention(case.model, packed),
        ):
            pass
    finally:
        config._attn_implementation = "sdpa"
