"""What a preflight looks at, small: a sound backbone, and items that it can learn."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from barnlib import preflight
from barnlib.data.records import TASKS, Item
from barnlib.model import Model, add_lora, compose
from barnlib.packing import Group, PackedBatch, pack
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


def make_case(backbone: Path, encoder: Path) -> Case:
    """A sound backbone: a composed model with LoRA, and three questions on each of four images."""
    prompter = Prompter(AutoTokenizer.from_pretrained(backbone), "uniform", IMAGE_TOKENS)
    model = compose(encoder, backbone, prompter, seed=0)
    items = [make_item(image, number) for image in range(IMAGES) for number in range(len(QUESTIONS))]
    rows = {f"images/train/{image}.png": IMAGES - 1 - image for image in range(IMAGES)}
    by_image = {image: [i for i in items if i.image == image] for image in rows}
    return Case(
        prompter=prompter,
        model=add_lora(model, rank=8, alpha=16, dropout=0.0, seed=0),
        language_model=AutoModelForCausalLM.from_pretrained(backbone),
        items=items,
        rows=rows,
        groups=[(rows[image], [i.turn for i in some]) for image, some in by_image.items()],
        features=torch.from_numpy(
            np.random.default_rng(0).normal(size=(IMAGES, IMAGE_TOKENS, 16)).astype(np.float32)
        ),
    )


def spoiled(prompter: Prompter, **attributes) -> Prompter:
    other = copy.copy(prompter)
    for name, value in attributes.items():
        setattr(other, name, value)
    return other
