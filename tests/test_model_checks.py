"""Checks of the model before training: every planted fault is caught and named."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from barnlib.model import add_lora, compose, llava, trained_state
from barnlib.model_checks import check_overfit, check_text_only
from barnlib.prompt_checks import PreflightError
from barnlib.prompts import Prompter
from tests.small_preflight import IMAGE_TOKENS, IMAGES, QUESTIONS, Case, make_case, make_item


@pytest.fixture(scope="module")
def case(tiny_grouped_llama: Path, tiny_clip: Path) -> Case:
    return make_case(tiny_grouped_llama, tiny_clip)


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
        check_overfit(
            case.prompter, case.model, chosen, case.features, max_new_tokens=5, steps=1, learning_rate=1e-3
        )
    assert all(torch.equal(weight, before[name]) for name, weight in trained_state(case.model).items())


def test_composition_is_exact_in_bfloat16_too(tiny_grouped_llama: Path, tiny_clip: Path):
    """As at paper scale: frozen weights in bfloat16, float32 LoRA that is still zero, under autocast."""
    prompter = Prompter(AutoTokenizer.from_pretrained(tiny_grouped_llama), "uniform", IMAGE_TOKENS)
    composed = compose(tiny_clip, tiny_grouped_llama, prompter, seed=1, dtype=torch.bfloat16)
    model = add_lora(composed, rank=4, alpha=8, dropout=0.0, seed=1)
    bare = AutoModelForCausalLM.from_pretrained(tiny_grouped_llama, dtype=torch.bfloat16)
    items = [make_item(image, number) for image in range(IMAGES) for number in range(len(QUESTIONS))]
    with torch.autocast("cpu", torch.bfloat16):
        assert check_text_only(prompter, model, bare, items) == 0
