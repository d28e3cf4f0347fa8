"""Preflight: a sound backbone passes all five checks."""

from pathlib import Path

import pytest
import torch

from barnlib.model import llava, trained_state
from barnlib.model_checks import LOGIT_TOLERANCE
from tests.small_preflight import IMAGES, QUESTIONS, Case, make_case


@pytest.fixture(scope="module")
def case(tiny_grouped_llama: Path, tiny_clip: Path) -> Case:
    return make_case(tiny_grouped_llama, tiny_clip)


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
    assert report["largest_logit_difference"] <= LOGIT_TOLERANCE
    assert report["overfit"]["items"] == 4
    assert 0 < report["overfit"]["steps"] < 400
    assert report["overfit"]["stop_rate"] == 1.0
    assert case.model.training
    assert all(torch.equal(weight, before[name]) for name, weight in trained_state(case.model).items())
    assert {
        name for name, weight in llava(case.model).named_parameters() if weight.requires_grad
    } == trainable
