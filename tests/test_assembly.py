"""What a run is put together from: the blank image last, seeds that decide, a trained model with LoRA merged."""

import dataclasses
import json
import shutil
from contextlib import nullcontext

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from barnlib import assembly, parameters
from barnlib.assembly import WEIGHTS, assemble, stop_ids, trained_model, turns_by_image
from barnlib.data.build import load_items
from barnlib.model import llava, trained_state
from barnlib.paths import ROOT
from tests.small_model import untrained_model


@pytest.fixture(scope="module")
def parts(tiny_study):
    return assemble(tiny_study, "plain")


@pytest.fixture
def params(tiny_params, tmp_path, monkeypatch):
    """A writable copy of the tiny study's params."""
    copied = shutil.copytree(tiny_params, tmp_path / "params")
    monkeypatch.setattr(parameters, "PARAMS", copied)
    return copied


def name_checkpoint(path, checkpoint):
    """Let a backbone's file name another checkpoint at the scale of the tests."""
    content = yaml.safe_load(path.read_text())
    content["nano"]["checkpoint"] = checkpoint
    path.write_text(yaml.safe_dump(content))


def changed(parts, **values):
    """The same parts of a study that differs in fields of ``finetune`` or ``compute``."""
    found = {}
    for name, value in values.items():
        part = "compute" if name in type(parts.study.compute).model_fields else "finetune"
        found[part] = getattr(parts.study, part).model_copy(update={name: value})
    study = parts.study.model_copy(update=found)
    return assembly.Parts(study, parts.backbone, parts.prompter, parts.cached)


def test_the_table_has_a_row_for_each_picture_and_the_blank_image_last(parts):
    assert parts.table.shape == (len(parts.cached.images) + 1, 9, 16)
    assert torch.equal(parts.table[parts.blank_row], parts.cached.blank.to(parts.device))
    image = parts.cached.images[4]
    assert parts.rows[image] == 4
    assert torch.equal(parts.table[parts.rows[image]].cpu(), parts.cached.values[4])


def test_a_backbone_brings_its_own_tokenizer_and_the_features_their_count(parts, tiny_llama):
    own = AutoTokenizer.from_pretrained(tiny_llama)
    assert parts.prompter.tokenizer.get_vocab() == own.get_vocab()
    ids = parts.prompter.prompt_ids("How many?")
    assert ids.count(parts.prompter.image_token_id) == parts.cached.values.shape[1]
    assert parts.checkpoint == tiny_llama and parts.backbone.name == "plain"


def test_a_backbone_of_another_study_is_refused(tiny_study):
    message = "backbone 'llama9' is not part of study 'tiny', which compares plain, grouped"
    with pytest.raises(ValueError, match=message):
        assemble(tiny_study, "llama9")


@pytest.mark.parametrize("checkpoint", ["/no/such/folder", "./made", "runs/made/here", "made"])
def test_a_folder_that_is_not_there_is_refused(tiny_study, params, checkpoint):
    name_checkpoint(params / "backbones/plain.yaml", checkpoint)
    message = rf"plain\.yaml: key 'nano\.checkpoint': no folder '{checkpoint}'; expected a folder relative"
    with pytest.raises(ValueError, match=message):
        assemble(tiny_study, "plain")


def test_a_backbone_that_is_made_here_says_how(tiny_study, params):
    path = shutil.copy(ROOT / "params/backbones/llama1.yaml", params / "backbones/plain.yaml")
    name_checkpoint(path, "runs/none/made")
    with pytest.raises(
        ValueError, match=r"no folder 'runs/none/made'; `make checkpoints SCALE=nano` makes it"
    ):
        assemble(tiny_study, "plain")


def test_a_name_with_one_stroke_is_asked_of_the_hub(tiny_study, params, monkeypatch):
    name_checkpoint(params / "backbones/plain.yaml", "someone/model")

    def ask(checkpoint):
        raise LookupError(checkpoint)

    monkeypatch.setattr(assembly, "local_folder", ask)
    with pytest.raises(LookupError, match=r"^someone/model$"):
        assemble(tiny_study, "plain")


@pytest.mark.parametrize(("eos", "expected"), [(None, []), (2, [2]), ([2, 7], [2, 7])])
def test_ids_that_end_an_answer_come_from_the_generation_configuration(tmp_path, eos, expected):
    assert stop_ids(tmp_path) == [], "no configuration at all"
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": eos}))
    assert stop_ids(tmp_path) == expected


def test_the_seed_decides_what_is_new_and_nothing_else(parts):
    one, same, other = (trained_state(untrained_model(parts, seed)) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = {name for name in one if not torch.equal(one[name], other[name])}
    assert any("lora_A" in name for name in drawn) and any("projector" in name for name in drawn)
    assert not any("lora_B" in name for name in drawn), "LoRA begins by changing nothing"
    frozen = {
        name: weight
        for name, weight in llava(untrained_model(parts, 2)).named_parameters()
        if not weight.requires_grad and name.endswith("lm_head.weight")
    }
    bare = AutoModelForCausalLM.from_pretrained(parts.checkpoint)
    (head,) = frozen.values()
    assert torch.equal(head.cpu(), bare.lm_head.weight)


def test_frozen_weights_may_be_smaller_than_what_is_trained(parts):
    model = untrained_model(changed(parts, precision="bfloat16"), 0)
    kinds = {(weight.requires_grad, weight.dtype) for weight in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}


def test_without_lora_the_whole_language_model_stays_float32(parts):
    model = untrained_model(changed(parts, method="full", precision="bfloat16"), 0)
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert not any("lora_" in name for name, _ in model.named_parameters())


def test_the_trained_model_is_the_trained_one_with_lora_merged(parts, tmp_path):
    model = untrained_model(parts, 3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in trained_state(model).values():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator).to(weight.device))
    state = trained_state(model)
    save_file({name: weight.cpu().contiguous() for name, weight in state.items()}, tmp_path / WEIGHTS)
    merged = trained_model(parts, tmp_path)
    assert not merged.training and not any("lora_" in name for name, _ in merged.named_parameters())
    ids = torch.tensor([parts.prompter.tokenizer.encode("Is there a red circle?")], device=parts.device)
    with torch.inference_mode():
        found, expected = (
            one(input_ids=ids, attention_mask=torch.ones_like(ids)).logits for one in (merged, model.eval())
        )
        fresh = untrained_model(parts, 3).eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    assert (found - fresh).abs().max() > 1e-3, "the weights that were trained are in it"


def test_training_computes_in_the_precision_of_the_study(parts):
    assert parts.precision == torch.float32 and isinstance(parts.computing(), nullcontext)
    half = changed(parts, precision="bfloat16")
    layer = nn.Linear(4, 4, device=parts.device)
    with half.computing():
        assert layer(torch.ones(1, 4, device=parts.device)).dtype == half.precision == torch.bfloat16


def test_a_step_taken_while_computing_is_seen_by_the_next_forward(parts):
    """The preflight takes hundreds of steps within; autocast's cache would hand out the weights of the first one."""
    half = changed(parts, precision="bfloat16")
    layer, ones = nn.Linear(4, 4, bias=False, device=parts.device), torch.ones(1, 4, device=parts.device)
    with half.computing():
        before = layer(ones)
        with torch.no_grad():
            layer.weight.mul_(2)
        assert torch.equal(layer(ones), 2 * before)


def test_questions_are_gathered_by_image_in_their_order(tiny_study):
    items = load_items(tiny_study, "test")
    turns = turns_by_image(items)
    assert list(turns) == list(dict.fromkeys(item.image for item in items))
    for image, asked in turns.items():
        assert asked == [item.turn for item in items if item.image == image]
    assert turns_by_image([]) == {}
    talked = dataclasses.replace(items[0], history=(("Is it day?", "yes"),))
    assert turns_by_image([talked])[talked.image][0].history == (("Is it day?", "yes"),)
