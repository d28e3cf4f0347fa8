"""The model: packed batches give what plain transformers gives sample by sample, with pixels and without packing."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
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

from barnlib.model import (
    LORA_TARGETS,
    Model,
    add_lora,
    compose,
    greedy,
    hidden_states,
    llava,
    load_trained_state,
    merge_lora,
    packed_loss,
    parameter_groups,
    reference_logprobs,
    set_trainable,
    stop_ids,
    trained_state,
)
from barnlib.packing import Group, pack
from barnlib.prompts import Prompter
from tests.conftest import IMAGE_SIZE, PATCH

IMAGE_TOKENS = (IMAGE_SIZE // PATCH) ** 2
GROUPS: list[Group] = [
    (2, [("Is there a red circle?", "yes"), ("What colour is it?", "blue"), ("How many?", "3")]),
    (0, [("Where is the epicentre?", '{"latitude": -12.4, "longitude": 143.9}')]),
    (1, [("Describe the picture.", "A strong shallow earthquake"), ("Is there a square?", "no")]),
]
ASKED: list[Group] = [(row, [(question, None) for question, _ in turns]) for row, turns in GROUPS]
FLAT = [(row, question, answer) for row, turns in GROUPS for question, answer in turns]
# Packed and alone, the same sums are taken in another order. Worst over 20 random models of these shapes: 2.4e-7 of a
# branch's nats (3e-5 of 170) and 7e-7 in a hidden state of up to 3.5, about one unit in the last place of float32 for
# each. Four times that is allowed for nats, seven times for hidden states.
NATS = {"rtol": 1e-6, "atol": 1e-5}
HIDDEN = {"rtol": 0.0, "atol": 5e-6}


@dataclass
class Case:
    prompter: Prompter
    model: Model
    pixels: Tensor
    features: Tensor

    @property
    def plain(self) -> LlavaForConditionalGeneration:
        return llava(self.model)


def make_case(backbone: Path, encoder: Path, seed: int = 4) -> Case:
    """A composed model with LoRA that does something (B is not zero), pixels, and the features of these pixels."""
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    prompter = Prompter(tokenizer, "uniform", IMAGE_TOKENS)
    model = add_lora(compose(encoder, backbone, prompter, seed=seed), rank=4, alpha=8, dropout=0.1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in trained_state(model).items():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        # Larger weights, so that logits are apart and an answer depends on question and image.
        llava(model).lm_head.weight.mul_(20)
        llava(model).model.multi_modal_projector.linear_2.weight.mul_(5)
    model.eval()
    pixels = torch.randn(3, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    with torch.inference_mode():
        hidden = CLIPVisionModel.from_pretrained(encoder)(pixels, output_hidden_states=True).hidden_states
    return Case(prompter, model, pixels, hidden[-2][:, 1:].clone())


@pytest.fixture(params=["multi-head", "grouped-query"], scope="module")
def case(
    request: pytest.FixtureRequest, tiny_llama: Path, tiny_grouped_llama: Path, tiny_clip: Path
) -> Iterator[Case]:
    yield make_case({"multi-head": tiny_llama, "grouped-query": tiny_grouped_llama}[request.param], tiny_clip)


@pytest.fixture
def fresh(tiny_llama: Path, tiny_clip: Path) -> Case:
    """A case that a test may spoil."""
    return make_case(tiny_llama, tiny_clip)


def alone(case: Case, row: int, question: str, answer: str | None) -> dict[str, Tensor]:
    """Arguments of one sample in plain transformers: pixels, no packing, causal attention."""
    ids = case.prompter.prompt_ids(question) + ([] if answer is None else case.prompter.answer_ids(answer))
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.int64),
        "pixel_values": case.pixels[row : row + 1],
    }


def test_packed_loss_is_the_loss_of_each_sample_alone(case: Case):
    likelihood = packed_loss(case.model, pack(case.prompter, GROUPS), case.features)
    expected, tokens, first, hits = [], [], [], []
    for row, question, answer in FLAT:
        sample = alone(case, row, question, answer)
        count = len(case.prompter.answer_ids(answer))
        labels = sample["input_ids"].clone()
        labels[:, :-count] = -100
        with torch.no_grad():
            output = case.plain(**sample, labels=labels)
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


def test_packed_greedy_answers_are_those_of_generate(case: Case):
    limit = 12
    answers = greedy(case.model, pack(case.prompter, ASKED), case.features, limit)
    assert len(answers.ids) == len(FLAT)
    for number, (row, question, _) in enumerate(FLAT):
        sample = alone(case, row, question, None)
        out = case.plain.generate(
            **sample, max_new_tokens=limit, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        expected = out.sequences[0, sample["input_ids"].shape[1] :].tolist()
        assert answers.ids[number] == expected
        logprobs = torch.stack(
            [logits[0].log_softmax(-1)[i] for logits, i in zip(out.logits, expected, strict=True)]
        )
        torch.testing.assert_close(answers.logprob[number], logprobs.sum(), **NATS)
        torch.testing.assert_close(answers.first_logprob[number], logprobs[0], **NATS)
        assert answers.stop[number] == ("eos" if expected[-1] in case.prompter.eos_ids else "length")


def test_branches_that_stop_at_different_steps_stay_exact(case: Case):
    """Makes ids that the model writes at different steps into stop ids, so that branches and whole rows end early."""
    packed = pack(case.prompter, ASKED)
    settings = case.plain.generation_config
    before = settings.eos_token_id
    try:
        settings.eos_token_id = [case.prompter.pad_id]  # never written
        free = greedy(case.model, packed, case.features, 10).ids
        frequent = [free[0][2], free[3][1], free[4][5]]
        settings.eos_token_id = frequent
        answers = greedy(case.model, packed, case.features, 10)
    finally:
        settings.eos_token_id = before
    for ids, stop, all_ids in zip(answers.ids, answers.stop, free, strict=True):
        end = next((at for at, number in enumerate(all_ids) if number in frequent), None)
        assert ids == (all_ids if end is None else all_ids[: end + 1])
        assert stop == ("length" if end is None else "eos")
    assert len({len(ids) for ids in answers.ids}) > 1


def test_an_answer_does_not_depend_on_what_is_packed_beside_it(case: Case):
    together = greedy(case.model, pack(case.prompter, ASKED), case.features, 8)
    apart = [
        greedy(case.model, pack(case.prompter, [(r, [(q, None)])]), case.features, 8).ids[0]
        for r, q, _ in FLAT
    ]
    assert together.ids == apart


def test_greedy_logprob_is_the_reference_logprob_of_its_own_answer(case: Case):
    """Two ways to the same number: step by step with a cache, and teacher-forced in one forward."""
    answers = greedy(case.model, pack(case.prompter, ASKED), case.features, 6)
    packed = pack(case.prompter, ASKED)
    for number, (row, question, _) in enumerate(FLAT):
        ids = case.prompter.prompt_ids(question) + answers.ids[number]
        with torch.inference_mode():
            logits = case.plain(
                input_ids=torch.tensor([ids]), pixel_values=case.pixels[row : row + 1]
            ).logits[0]
        count = len(answers.ids[number])
        logprobs = (
            logits[-count - 1 : -1].log_softmax(-1).gather(1, torch.tensor(answers.ids[number])[:, None])
        )
        torch.testing.assert_close(answers.logprob[number], logprobs.sum(), **NATS)
    assert packed.labels.max() < 0


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
