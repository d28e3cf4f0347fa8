"""How training is fitted to a machine changes memory and time, and the numbers only as far as it must."""

from dataclasses import replace

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from barnlib import features, finetune, ledger
from barnlib.assembly import WEIGHTS, assemble, trained_model
from barnlib.data.turns import Turn
from barnlib.model import llava, trained_state
from tests.small_model import untrained_model

pytestmark = pytest.mark.usefixtures("no_preflight")


def changed(study, seeded: str, **values):
    """The tiny study without dropout, some fields of ``compute`` or ``finetune`` changed, in a folder of its own."""
    lora = study.finetune.lora.model_copy(update={"dropout": 0.0})
    parts = {"finetune": study.finetune.model_copy(update={"lora": lora}), "compute": study.compute}
    for name, value in values.items():
        part = "compute" if name in type(study.compute).model_fields else "finetune"
        parts[part] = parts[part].model_copy(update={name: value})
    return study.model_copy(update={"name": f"tiny-{seeded}", **parts})


def losses(study) -> list[float]:
    history = pd.read_csv(finetune.train_run(study, "plain", 0) / "history.csv")
    return history["loss"].dropna().tolist()


@pytest.fixture(scope="module")
def plain(tiny_study, no_preflight) -> list[float]:
    return losses(changed(tiny_study, "plain"))


def test_a_batch_in_parts_gives_the_losses_of_the_whole(plain, tiny_study):
    found = losses(changed(tiny_study, "parts", images_at_once=1))
    assert found == pytest.approx(plain, rel=1e-4) and len(found) == 8


def test_gradient_checkpointing_gives_the_same_losses(plain, tiny_study):
    found = losses(changed(tiny_study, "checkpointing", gradient_checkpointing=True))
    assert found == pytest.approx(plain, rel=1e-6)


def test_bfloat16_computes_near_float32_and_trains_float32_weights(plain, tiny_study):
    study = changed(tiny_study, "bfloat16", precision="bfloat16")
    found = losses(study)
    # bfloat16 has 8 bits: one part in 256 for each rounding; the losses are means over some hundred bytes
    assert found == pytest.approx(plain, rel=0.02) and found != plain
    state = load_file(finetune.train_run(study, "plain", 0) / WEIGHTS)
    assert {tensor.dtype for tensor in state.values()} == {torch.float32}
    assert features.load(study).values.dtype == torch.bfloat16
    parts = assemble(study, "plain")
    model = untrained_model(parts, 0)
    frozen = {p.dtype for name, p in llava(model).named_parameters() if name not in trained_state(model)}
    assert frozen == {torch.bfloat16}
    rotary = [buffer.dtype for name, buffer in llava(model).named_buffers() if "inv_freq" in name]
    assert rotary and set(rotary) == {torch.float32}, "positions would be rounded"
    answering = trained_model(parts, finetune.train_run(study, "plain", 0))
    assert {p.dtype for p in answering.parameters()} == {torch.float32}, "answers are measured in float32"


def test_full_finetuning_trains_every_weight_of_the_language_model(tiny_study):
    study = changed(tiny_study, "full", method="full")
    folder = finetune.train_run(study, "grouped", 0)
    parts = assemble(study, "grouped")
    start, end = trained_state(untrained_model(parts, 0)), load_file(folder / WEIGHTS)
    assert start.keys() == end.keys() and "lm_head.weight" in end
    assert not any("vision_tower" in name or "lora" in name for name in end)
    # rows of tokens that never occur keep their embedding; every tensor as a whole has moved
    assert [name for name in start if torch.equal(start[name], end[name])] == []
    model = trained_model(parts, folder)
    assert torch.equal(model.lm_head.weight, end["lm_head.weight"])
    entry = ledger.read(folder / "ledger.json")
    language = sum(tensor.numel() for name, tensor in end.items() if "multi_modal_projector" not in name)
    assert entry["lora"]["parameters"] == language


def test_alignment_leaves_the_language_model_alone(tiny_study):
    study = changed(tiny_study, "aligned", method="full")
    align, tasks = finetune.plan(assemble(study, "plain"), 0)
    assert set(align.rates) == {"projector"} and set(tasks.rates) == {"projector", "language", "head"}
    assert tasks.rates["language"] == tasks.rates["head"] == study.finetune.learning_rate


def test_an_example_that_is_too_long_is_refused_and_never_cut(tiny_study):
    study = changed(tiny_study, "short", max_tokens=30)
    with pytest.raises(
        ValueError, match=r"plain, stage align: question .* takes \d+ tokens .*'compute\.max_tokens'"
    ):
        finetune.train_run(study, "plain", 0)


def test_the_turns_before_a_question_count_in_its_length(tiny_study):
    parts = assemble(tiny_study, "plain")
    align, _ = finetune.plan(parts, 0)
    history = (("Is there a red circle?", "yes"), ("And a blue one?", "no"))
    question, answer = "How many in all?", "3"
    prompter = parts.prompter
    length = len(prompter.prompt_ids(question, history)) + len(prompter.answer_ids(answer))
    assert length > len(prompter.prompt_ids(question)) + len(prompter.answer_ids(answer)) + 10
    talking = replace(align, turns={"a.png": [Turn(question, answer, history)]})
    fits, short = (
        replace(parts, study=changed(tiny_study, "talking", max_tokens=limit))
        for limit in (length, length - 1)
    )
    finetune.require_lengths(fits, talking)
    with pytest.raises(ValueError, match=rf"question 'How many in all\?' on 'a\.png' takes {length} tokens"):
        finetune.require_lengths(short, talking)
