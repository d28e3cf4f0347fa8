"""The model: how it is composed, what is trained, and what is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPVisionModel,
    LlavaForConditionalGeneration,
)

from barnlib.decoding import stop_ids
from barnlib.likelihood import packed_loss, reference_logprobs
from barnlib.model import (
    add_lora,
    compose,
    load_trained_state,
    merge_lora,
    parameter_groups,
    set_trainable,
    trained_state,
)
from barnlib.packing import pack
from barnlib.prompts import Prompter
from tests.conftest import IMAGE_SIZE
from tests.small_model import GROUPS, IMAGE_TOKENS, LORA_TARGETS, NATS, Case


def test_alignment_trains_the_projector_alone(fresh: Case):
    set_trainable(fresh.model, ["projector"])
    assert [len(group) for group in parameter_groups(fresh.model).values()] == [4, 0]
    fresh.model.train()
    packed_loss(fresh.model, pack(fresh.prompter, GROUPS), fresh.features).nats.backward()
    touched = {name for name, p in fresh.plain.named_parameters() if p.grad is not None}
    assert touched == {name for name in trained_state(fresh.model) if "multi_modal_projector" in name}
    with pytest.raises(ValueError, match="no part 'encoder' to train; there are: projector, lora"):
        set_trainable(fresh.model, ["encoder"])


def test_something_else_that_is_trainable_is_refused(fresh: Case):
    fresh.plain.lm_head.weight.requires_grad_(True)
    with pytest.raises(ValueError, match=r"'lm_head.weight' is trainable; expected only projector and lora"):
        parameter_groups(fresh.model)


def test_the_seed_decides_projector_and_lora_and_the_global_state_is_left_alone(
    tiny_llama: Path, tiny_clip: Path
):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    prompter = Prompter(tokenizer, "uniform", IMAGE_TOKENS)

    def build(seed: int) -> dict[str, Tensor]:
        model = compose(tiny_clip, tiny_llama, prompter, seed=seed)
        return trained_state(add_lora(model, rank=2, alpha=4, dropout=0.0, seed=seed))

    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = build(1)
    assert torch.equal(torch.rand(3), expected)
    again, other = build(1), build(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    differing = {name for name in first if not torch.equal(first[name], other[name])}
    assert differing == {name for name in first if "lora_B" not in name}  # B starts at zero


def test_a_trained_state_goes_back_and_a_foreign_one_is_refused(fresh: Case):
    state = {name: weight.clone() for name, weight in trained_state(fresh.model).items()}
    with torch.no_grad():
        for weight in trained_state(fresh.model).values():
            weight.add_(1)
    load_trained_state(fresh.model, state)
    assert all(torch.equal(weight, state[name]) for name, weight in trained_state(fresh.model).items())
    name = next(iter(state))
    with pytest.raises(
        ValueError, match=r"weight 'strange': the model has shape None, the saved state \(1,\)"
    ):
        load_trained_state(fresh.model, {**state, "strange": torch.zeros(1)})
    with pytest.raises(ValueError, match=rf"weight '{name}': the model has shape .*, the saved state \(3,\)"):
        load_trained_state(fresh.model, {**state, name: torch.zeros(3)})


def test_merging_lora_keeps_the_answers_and_gives_a_plain_checkpoint(fresh: Case, tmp_path: Path):
    packed = pack(fresh.prompter, GROUPS)
    expected = reference_logprobs(fresh.model, packed, fresh.features).branch_nats
    merged = merge_lora(fresh.model)
    assert type(merged) is LlavaForConditionalGeneration
    # W + BA is rounded once more than Wx + BAx; worst over the same 20 models: 2.1e-7 of a branch's nats.
    found = reference_logprobs(merged, packed, fresh.features).branch_nats
    torch.testing.assert_close(found, expected, **NATS)
    merged.save_pretrained(tmp_path)
    loaded = LlavaForConditionalGeneration.from_pretrained(tmp_path).eval()
    again = reference_logprobs(loaded, packed, fresh.features).branch_nats
    assert torch.equal(again, reference_logprobs(merged, packed, fresh.features).branch_nats)
    assert stop_ids(loaded) == list(fresh.prompter.eos_ids)


def test_lora_hits_the_language_model_only(fresh: Case):
    adapted = {name for name, module in fresh.plain.named_modules() if hasattr(module, "lora_A")}
    assert adapted
    assert all(name.startswith("model.language_model.layers.") for name in adapted)
    assert {name.rsplit(".", 1)[-1] for name in adapted} == set(LORA_TARGETS)


def test_a_lora_target_that_is_no_layer_is_refused(tiny_llama: Path, tiny_clip: Path):
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_llama), "uniform", IMAGE_TOKENS)
    model = compose(tiny_clip, tiny_llama, prompter, seed=0)
    with pytest.raises(
        ValueError, match=r"LoRA target 'query_key_value' is no linear layer .*: down_proj, gate_proj"
    ):
        add_lora(model, rank=2, alpha=4, dropout=0.0, seed=0, targets=("q_proj", "query_key_value"))


def test_tied_embeddings_stay_tied_and_a_larger_vocabulary_gets_mean_rows(
    tiny_llama: Path, tiny_clip: Path, tmp_path: Path
):
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    language = AutoModelForCausalLM.from_pretrained(tiny_llama, tie_word_embeddings=True)
    language.tie_weights()
    old = language.get_input_embeddings().weight.detach().clone()
    tokenizer.add_tokens(["<extra>"])
    model = compose(tiny_clip, language, Prompter(tokenizer, "uniform", IMAGE_TOKENS), seed=0)
    embedding = model.get_input_embeddings().weight
    assert model.lm_head.weight.data_ptr() == embedding.data_ptr()
    assert torch.equal(embedding[: len(old)], old)
    torch.testing.assert_close(embedding[-1], old.mean(0))
    assert model.config.text_config.vocab_size == len(old) + 1
    model.save_pretrained(tmp_path)
    loaded = LlavaForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.lm_head.weight.data_ptr() == loaded.get_input_embeddings().weight.data_ptr()
    assert torch.equal(loaded.get_input_embeddings().weight, embedding)


def test_composing_takes_the_vision_part_of_a_whole_clip(tiny_llama: Path, tiny_clip: Path, tmp_path: Path):
    vision = CLIPVisionModel.from_pretrained(tiny_clip)
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    clip = CLIPModel(
        CLIPConfig(text_config={**text, "vocab_size": 50}, vision_config=vision.config.to_dict())
    )
    clip.save_pretrained(tmp_path)
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_llama), "uniform", IMAGE_TOKENS)
    model = compose(tmp_path, tiny_llama, prompter, seed=0)
    assert isinstance(model.model.vision_tower, CLIPVisionModel)
    pixels = torch.randn(1, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = clip.vision_model(pixels).last_hidden_state
        assert torch.equal(model.model.vision_tower(pixels).last_hidden_state, expected)


def test_an_encoder_with_another_number_of_tokens_is_refused(tiny_llama: Path, tiny_clip: Path):
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_llama), "uniform", IMAGE_TOKENS + 1)
    with pytest.raises(
        ValueError, match=f"encoder gives {IMAGE_TOKENS} tokens for an image; the prompter expects 10"
    ):
        compose(tiny_clip, tiny_llama, prompter, seed=0)
