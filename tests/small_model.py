"""A tiny random LLaVA with LoRA that does something, and questions packed and one by one, for the model's tests."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPVisionModel,
    LlavaForConditionalGeneration,
)

from barnlib.assembly import Parts, model_to_train
from barnlib.data.turns import Turn
from barnlib.model import (
    Model,
    add_lora,
    compose,
    llava,
    trained_state,
)
from barnlib.packing import Group
from barnlib.prompts import Prompter
from tests.conftest import IMAGE_SIZE, PATCH

IMAGE_TOKENS = (IMAGE_SIZE // PATCH) ** 2
# what the Llama paper's layers are called in transformers
LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
GROUPS: list[Group] = [
    (2, [Turn("Is there a red circle?", "yes"), Turn("What colour is it?", "blue"), Turn("How many?", "3")]),
    (0, [Turn("Where is the epicentre?", '{"latitude": -12.4, "longitude": 143.9}')]),
    (1, [Turn("Describe the picture.", "A strong shallow earthquake"), Turn("Is there a square?", "no")]),
]
ASKED: list[Group] = [(row, [turn.asked for turn in turns]) for row, turns in GROUPS]
FLAT = [(row, turn.question, str(turn.answer)) for row, turns in GROUPS for turn in turns]
TALK = (
    ("Is there a square?", "no"),
    ("What colour is it?", "blue"),
    ("And where?", "left of the red circle"),
)
CONVERSATION = [Turn(*pair, TALK[:number]) for number, pair in enumerate(TALK)]
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


def make_case(backbone: Path, encoder: Path, *, seed: int = 4, head: float = 20.0) -> Case:
    """A composed model with LoRA that does something (B is not zero), pixels, and the features of these pixels.

    Args:
        head: by how much the output weights are enlarged.
    """
    tokenizer = AutoTokenizer.from_pretrained(backbone)
    prompter = Prompter(tokenizer, "uniform", IMAGE_TOKENS)
    model = add_lora(compose(encoder, backbone, prompter, seed=seed), rank=4, alpha=8, dropout=0.1, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in trained_state(model).items():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        # Larger weights, so that logits are apart and an answer depends on question and image.
        llava(model).lm_head.weight.mul_(head)
        llava(model).model.multi_modal_projector.linear_2.weight.mul_(5)
    model.eval()
    pixels = torch.randn(3, 3, IMAGE_SIZE, IMAGE_SIZE, generator=generator)
    with torch.inference_mode():
        hidden = CLIPVisionModel.from_pretrained(encoder)(pixels, output_hidden_states=True).hidden_states
    return Case(prompter, model, pixels, hidden[-2][:, 1:].clone())


def untrained_model(parts: Parts, seed: int) -> Model:
    """The model of a run before its first step."""
    model = model_to_train(parts, seed)
    llava(model).to(parts.device)
    return model


def alone(case: Case, row: int, question: str, answer: str | None) -> dict[str, Tensor]:
    """Arguments of one sample in plain transformers: pixels, no packing, causal attention."""
    ids = case.prompter.prompt_ids(question) + ([] if answer is None else case.prompter.answer_ids(answer))
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.ones(1, len(ids), dtype=torch.int64),
        "pixel_values": case.pixels[row : row + 1],
    }


def supervised(case: Case, row: int, question: str, answer: str) -> tuple[dict[str, Tensor], int]:
    """As `alone`, with labels on the answer, and how many tokens the answer has."""
    sample = alone(case, row, question, answer)
    count = len(case.prompter.answer_ids(answer))
    labels = sample["input_ids"].clone()
    labels[:, :-count] = -100
    return sample | {"labels": labels}, count
