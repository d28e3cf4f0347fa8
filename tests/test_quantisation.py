"""Weights of 4 bits: the numbers that the paper of NF4 gives, training on them, and the same numbers when answering."""

import json
import shutil
from importlib import metadata

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlavaForConditionalGeneration

from barnlib import assembly, export, finetune, ledger, preflight, quantisation
from barnlib.assembly import (
    WEIGHTS,
    adapted_model,
    assemble,
    language_to_train,
    model_to_train,
    trained_model,
)
from barnlib.data.build import load_items
from barnlib.model import add_lora, compose, llava, load_trained_state, trained_state
from barnlib.model_checks import check_text_only
from barnlib.prompt_checks import PreflightError
from barnlib.quantisation import (
    NF4_BITS,
    count,
    dequantised,
    load_quantised,
    quantised_digest,
    quantised_layers,
    require_bitsandbytes,
)
from tests.test_finetune import PREFLIGHT, interrupted
from tests.two_processes import entry, history, train_two

pytestmark = pytest.mark.usefixtures("four_bits", "no_preflight")
CPU = torch.device("cpu")
# Dettmers et al. 2023, appendix E
NF4 = torch.tensor(
    [
        -1.0,
        -0.6961928009986877,
        -0.5250730514526367,
        -0.39491748809814453,
        -0.28444138169288635,
        -0.18477343022823334,
        -0.09105003625154495,
        0.0,
        0.07958029955625534,
        0.16093020141124725,
        0.24611230194568634,
        0.33791524171829224,
        0.44070982933044434,
        0.5626170039176941,
        0.7229568362236023,
        1.0,
    ]
)


def four_bits(study, name: str, **compute):
    """The tiny study on weights of 4 bits, some fields of ``compute`` changed, in a folder of its own."""
    return study.model_copy(
        update={
            "name": f"tiny-{name}",
            "finetune": study.finetune.model_copy(update={"method": "qlora"}),
            "compute": study.compute.model_copy(update=compute),
        }
    )


def beside(study, name: str, **compute):
    """As `four_bits`, with a copy of another study's data and features."""
    other = four_bits(study, name, **compute)
    for made in ("data", "features"):
        shutil.copytree(study.folder / made, other.folder / made)
    return other


def losses(folder) -> list[float]:
    return history(folder)["loss"].dropna().tolist()


@pytest.fixture(scope="module")
def study(tiny_study):
    return four_bits(tiny_study, "qlora", images_at_once=2)  # as each of two processes has


@pytest.fixture(scope="module")
def run(study, no_preflight):
    """Folder of a finished run."""
    return finetune.train_run(study, "plain", 0)


@pytest.fixture(scope="module")
def parts(study):
    return assemble(study, "plain")


def answering(parts, folder, seed=0):
    """The model that answers, of a run into the folder that has not taken a step."""
    model = model_to_train(parts, seed)
    save_file({name: t.contiguous() for name, t in trained_state(model).items()}, folder / WEIGHTS)
    written = {"backbone_model": {"quantised": quantised_digest(model)}}
    (folder / "ledger.json").write_text(json.dumps(written))
    return adapted_model(parts, folder)


@pytest.fixture(scope="module")
def ids(parts):
    text = "Is there a red circle? How many small blue squares are there?"
    return torch.tensor([parts.prompter.tokenizer.encode(text)])


def logits(model, ids):
    with torch.inference_mode():
        return model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids)).logits


def test_every_weight_becomes_the_nearest_of_the_papers_values(tiny_llama):
    exact = AutoModelForCausalLM.from_pretrained(tiny_llama)
    plain = dequantised(load_quantised(tiny_llama, torch.float32, CPU))
    for name, weight in exact.named_parameters():
        found = plain.get_parameter(name)
        if not name.endswith("_proj.weight"):
            assert torch.equal(found, weight), name
            continue
        blocks, scales = weight.reshape(-1, 64), weight.reshape(-1, 64).abs().amax(1, keepdim=True)
        nearest = NF4[(blocks / scales).unsqueeze(-1).sub(NF4).abs().argmin(-1)]
        # the scales themselves are rounded to 8 bits of their range, which of random layers is narrow
        expected, error = nearest * scales, 0.02 * scales
        assert ((found.reshape(-1, 64) - expected).abs() <= error).all(), name


def test_a_weight_takes_four_bits_and_its_share_of_two_scales(tmp_path, tiny_llama):
    layer = quantised_layers(load_quantised(tiny_llama, torch.float32, CPU))["model.layers.0.mlp.up_proj"]
    state = layer.weight.quant_state
    assert count(layer.weight) == 64 * 32 and layer.weight.numel() == 64 * 32 / 2
    assert state.blocksize == 64 and state.state2.blocksize == 256 and state.quant_type == "nf4"
    stored = layer.weight.nbytes + state.absmax.nbytes + 4 * 64 * 32 / 64 / 256  # of a large layer
    assert stored * 8 / (64 * 32) == NF4_BITS == pytest.approx(4.127, abs=5e-4)
    assert state.state2.absmax.nbytes == 4, "one scale for up to 256 scales"
    assert count(nn.Parameter(torch.zeros(3, 5))) == 15


def test_no_processor_repacks_weights_that_are_trained_on(tiny_llama):
    layers = quantised_layers(load_quantised(tiny_llama, torch.float32, CPU)).values()
    assert len(layers) == 14 and not any(layer.support_avx512bf16_for_cpu for layer in layers)


def test_layers_of_another_class_are_refused(tmp_path):
    config = GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20, n_positions=16)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    message = r"GPT2LMHeadModel: 'finetune.method: qlora' expected layers of torch.nn.Linear, found Conv1D"
    with pytest.raises(ValueError, match=message):
        load_quantised(tmp_path, torch.float32, CPU)


def test_without_bitsandbytes_nothing_is_begun(study, monkeypatch):
    monkeypatch.setattr(quantisation, "find_spec", lambda name: {"bitsandbytes": None}[name])
    monkeypatch.setattr(finetune, "train_share", lambda *arguments: pytest.fail("begun"))
    message = (
        r"tiny-qlora\.yaml: key 'finetune\.method': 'qlora' needs bitsandbytes.*`pip install .*\[qlora\]'`"
    )
    with pytest.raises(ValueError, match=message):
        finetune.train_run(study, "plain", 0)
    assert quantised_layers(nn.Linear(2, 2)) == {}


def test_bitsandbytes_is_asked_for_where_it_is_used_only(tiny_study, monkeypatch):
    require_bitsandbytes("tiny")
    monkeypatch.setattr(finetune, "require_bitsandbytes", lambda study: pytest.fail("asked for"))
    monkeypatch.setattr(finetune, "train_share", lambda *arguments: "trained")
    assert finetune.train_run(tiny_study, "plain", 0) == "trained"


def test_what_is_trained_begins_as_without_quantisation(parts, tiny_study):
    whole = assemble(tiny_study, "plain")
    ours, theirs = (trained_state(model_to_train(one, 3)) for one in (parts, whole))
    assert ours.keys() == theirs.keys() and len(ours) == 4 + 2 * 14
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_linear_layers_are_in_four_bits_and_the_rest_as_ever(parts, tmp_path):
    for precision in (torch.float32, torch.bfloat16):
        compute = parts.study.compute.model_copy(update={"precision": str(precision).removeprefix("torch.")})
        study = parts.study.model_copy(update={"compute": compute})
        own = assembly.Parts(study, parts.backbone, parts.prompter, parts.cached)
        model = llava(model_to_train(own, 0))
        trained = trained_state(model_to_train(own, 0))
        kinds: dict[str, set] = {"trained": set(), "linear": set(), "rest": set()}
        for name, weight in model.named_parameters():
            linear = "language_model" in name and name.endswith("_proj.base_layer.weight")
            kind = "trained" if name in trained else "linear" if linear else "rest"
            kinds[kind].add((weight.dtype, weight.requires_grad))
        assert kinds == {
            "trained": {(torch.float32, True)},
            "linear": {(torch.uint8, False)},
            "rest": {(precision, False)},
        }
        assert {layer.compute_dtype for layer in quantised_layers(model).values()} == {precision}
        assert {weight.dtype for weight in answering(own, tmp_path).parameters()} == {torch.float32}


def test_the_trained_model_is_the_one_that_was_trained(run, parts, ids):
    """Its weights are those that training saw; LoRA on the weights before quantisation is another model."""
    state = load_file(run / WEIGHTS)
    on_four_bits = model_to_train(parts, 0)
    load_trained_state(on_four_bits, state)
    exact = add_lora(
        compose(parts.encoder, parts.checkpoint, parts.prompter, seed=0),
        **parts.study.finetune.lora.model_dump(),
        seed=0,
    )
    load_trained_state(exact, state)
    expected, found = logits(on_four_bits, ids), logits(trained_model(parts, run), ids)
    # W + BA is rounded once more than Wx + BAx. Seen: logits up to 0.45, these within 9e-8, the other model 0.036 off
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(logits(adapted_model(parts, run), ids), expected, atol=1e-6, rtol=0)
    assert (logits(exact, ids) - expected).abs().max() > 1e-2


def test_bfloat16_answers_in_float32_from_the_rounded_weights_of_training(parts, tmp_path):
    compute = parts.study.compute.model_copy(update={"precision": "bfloat16"})
    study = parts.study.model_copy(update={"compute": compute})
    half = assembly.Parts(study, parts.backbone, parts.prompter, parts.cached)
    training, plain = llava(model_to_train(half, 0)), llava(answering(half, tmp_path))
    layers = quantised_layers(training.model.language_model)
    assert len(layers) == 14
    for name, layer in layers.items():
        seen = layer(torch.eye(layer.in_features, dtype=torch.bfloat16)).T.float()
        assert torch.equal(plain.model.language_model.get_submodule(name).weight, seen), name


def test_four_bits_that_differ_from_those_of_training_are_refused(run, parts, tmp_path):
    assert quantised_digest(language_to_train(parts)) == entry(run)["backbone_model"]["quantised"]
    folder = shutil.copytree(run, tmp_path / "plain-seed0")
    other = entry(run)
    other["backbone_model"]["quantised"] = "f" * 64
    (folder / "ledger.json").write_text(json.dumps(other))
    message = r"plain-seed0/ledger\.json: the run was trained on 4-bit weights with digest ffffffffffff, and quantising"
    with pytest.raises(ValueError, match=message):
        trained_model(parts, folder)


def test_the_digest_is_of_the_weights_and_of_both_scales(tiny_llama):
    model = load_quantised(tiny_llama, torch.float32, CPU)
    seen = {quantised_digest(model)}
    state = model.model.layers[1].mlp.down_proj.weight.quant_state
    weight = model.model.layers[1].mlp.down_proj.weight.data
    for part in (weight, state.absmax, state.state2.absmax, state.offset):
        part += 1
        seen.add(quantised_digest(model))
    assert len(seen) == 5


def test_the_ledger_says_how_the_run_was_trained(run, tiny_study, tiny_llama):
    found, bare = entry(run), AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert found["configuration"]["finetune"]["method"] == "qlora"
    assert found["packages"]["bitsandbytes"] == metadata.version("bitsandbytes")
    assert "bitsandbytes" not in ledger.packages()
    assert found["backbone_model"]["parameters"] == sum(weight.numel() for weight in bare.parameters())


def test_runs_on_four_bits_are_controlled(run, study):
    other = entry(finetune.train_run(study, "plain", 1))
    table = ledger.require_controlled([entry(run), other]).set_index("field")["verdict"]
    assert table["backbone_model.quantised"] == ledger.SAME
    other["backbone_model"]["quantised"] = "f" * 64
    with pytest.raises(ledger.ControlError, match=r"backbone_model\.quantised"):
        ledger.require_controlled([entry(run), other])


def test_the_bare_model_of_the_preflight_is_quantised_alike(parts, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        preflight, "check", lambda prompter, model, bare, *rest, **more: seen.update(bare=bare)
    )
    model = model_to_train(parts, 0)
    PREFLIGHT(parts, model, finetune.plan(parts, 0)[1])
    items = load_items(parts.study, "train")
    assert check_text_only(parts.prompter, model, seen["bare"], items) == 0
    exact = AutoModelForCausalLM.from_pretrained(parts.checkpoint)
    with pytest.raises(PreflightError, match=r"check 4 \(text only\)"):
        check_text_only(parts.prompter, model, exact, items)


def test_training_on_four_bits_is_training_on_the_weights_they_stand_for(run, study, monkeypatch, tmp_path):
    monkeypatch.setattr(finetune, "model_to_train", lambda parts, seed: answering(parts, tmp_path, seed))
    plain = losses(finetune.train_run(beside(study, "plain-weights"), "plain", 0))
    # the same numbers, multiplied by another kernel; on the processor where this was written, the same to the bit
    assert losses(run) == pytest.approx(plain, rel=1e-5) and len(plain) == 8


def test_gradient_checkpointing_gives_the_same_losses(run, study):
    found = finetune.train_run(beside(study, "checkpointing", gradient_checkpointing=True), "plain", 0)
    assert losses(found) == pytest.approx(losses(run), rel=1e-6)


def test_bfloat16_computes_near_float32(run, study):
    half = four_bits(study, "bfloat16", precision="bfloat16")
    # bfloat16 has 8 bits: one part in 256 for each rounding; the losses are means over some hundred bytes
    assert losses(finetune.train_run(half, "plain", 0)) == pytest.approx(losses(run), rel=0.02)


def test_a_resumed_run_is_bit_identical(run, study, tmp_path, monkeypatch):
    whole = shutil.move(run, tmp_path / "whole")
    _, progress = interrupted(study, 0, 2, monkeypatch)
    assert (progress["stage"], progress["step"]) == (0, 2)
    tensors, progress = interrupted(study, 0, 4, monkeypatch)  # goes on, and is killed in the other stage
    assert (progress["stage"], progress["step"]) == (1, 3)
    assert not any("proj.weight" in name or "base_layer" in name for name in tensors), "frozen weights"
    assert finetune.train_run(study, "plain", 0) == run
    assert (run / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    assert losses(run) == losses(whole)


def test_the_export_is_an_ordinary_checkpoint_of_plain_weights(run, study, parts, ids, tmp_path):
    folder = export.export_run(study, "plain", 0, tmp_path / "llava")
    assert "quant" not in (folder / "config.json").read_text()
    loaded = LlavaForConditionalGeneration.from_pretrained(folder)
    assert {weight.dtype for weight in loaded.parameters()} == {torch.float32}
    assert torch.equal(logits(loaded, ids), logits(trained_model(parts, run), ids))


@pytest.mark.slow
def test_two_processes_train_on_the_same_four_bits(run, study):
    two = train_two(beside(study, "two"))
    assert losses(two) == pytest.approx(losses(run), rel=1e-4)
    assert entry(two)["backbone_model"]["quantised"] == entry(run)["backbone_model"]["quantised"]
