"""The benchmark at a tiny shape: both ways train the same samples, and FLOPs are counted as the docstring says."""

import json

import pytest
import torch
from transformers import CLIPVisionConfig, LlamaConfig

from barnlib import benchmark
from barnlib.benchmark import Shape, build, packed_speed, plain_speed, questions, sample_flops
from barnlib.data.turns import Turn
from barnlib.likelihood import packed_loss
from barnlib.packing import pack

VISION = CLIPVisionConfig(
    hidden_size=16,
    intermediate_size=32,
    num_hidden_layers=3,
    num_attention_heads=2,
    image_size=96,
    patch_size=32,
)
SHAPE = Shape(images=2, questions=3, steps=2, rank=2, precision="float32")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = tmp_path_factory.mktemp("config")
    LlamaConfig(
        vocab_size=1100, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    ).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("way", ["packed", "plain"])
def test_each_way_reports_what_it_measured(way, config, tmp_path):
    model, prompter = build(config, VISION, SHAPE, CPU)
    before = {name: weight.clone() for name, weight in model.named_parameters() if weight.requires_grad}
    if way == "packed":
        speed = packed_speed(model, prompter, SHAPE, peak_tflops=1.0)
    else:
        speed = plain_speed(model, prompter, SHAPE, 1.0, tmp_path)
    assert speed.samples_per_s == pytest.approx(2 * 2 * 3 / speed.seconds)
    assert speed.mfu == pytest.approx(speed.samples_per_s * speed.flops_per_sample / 1e12)
    lengths = [
        len(prompter.prompt_ids(q)) + len(prompter.answer_ids(a))
        for i in range(2)
        for q, a in questions(3, i)
    ]
    assert speed.tokens_per_s == pytest.approx(speed.samples_per_s * sum(lengths) / 6)
    assert speed.peak_memory_gib > 0 and speed.way == way and speed.device == "cpu"
    moved = [
        name
        for name, weight in model.named_parameters()
        if name in before and not torch.equal(weight, before[name])
    ]
    assert any("multi_modal_projector" in name for name in moved) and any("lora_B" in name for name in moved)


def test_flops_are_counted_by_hand(config):
    model, _ = build(config, VISION, SHAPE, CPU)
    layer = 4 * 32 * 32 + 3 * 32 * 64 + 2 * 32  # attention, MLP, two norms
    frozen = 2 * layer + 32 + 1100 * 32  # final norm and output layer; the embedding multiplies nothing
    lora = 2 * 2 * (4 * (32 + 32) + 3 * (32 + 64))
    projector = (16 * 32 + 32) + (32 * 32 + 32)
    expected = 10 * (4 * frozen + 6 * (lora + projector)) + 12 * 2 * 32 * 10**2
    assert sample_flops(model, 10) == expected


def test_both_ways_have_the_same_loss_on_the_same_samples(config):
    model, prompter = build(config, VISION, SHAPE, CPU)
    model.eval()
    pixels = torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    samples = [
        (prompter.prompt_ids(q), prompter.answer_ids(a), pixels) for i in range(2) for q, a in questions(3, i)
    ]
    with torch.no_grad():
        plain = model(**benchmark._collate(samples, prompter.pad_id)).loss
        tower = benchmark.llava(model).model.vision_tower
        features = tower(pixels[None].repeat(2, 1, 1, 1), output_hidden_states=True).hidden_states[-2][:, 1:]
        packed = pack(prompter, [(i, [Turn(*pair) for pair in questions(3, i)]) for i in range(2)])
        likelihood = packed_loss(model, packed, features)
    assert float(likelihood.nats) / likelihood.tokens == pytest.approx(float(plain), rel=1e-5)


def test_the_command_prints_one_line_of_json(config, tmp_path, capsys):
    VISION.save_pretrained(tmp_path)
    small = ["--images", "1", "--questions", "2", "--steps", "1", "--rank", "2", "--precision", "float32"]
    benchmark.main([str(config), "--vision", str(tmp_path), *small, "--gradient-checkpointing"])
    found = json.loads(capsys.readouterr().out)
    assert (
        found["way"] == "packed" and found["mfu"] is None and found["shape"]["gradient_checkpointing"] is True
    )


def test_a_vocabulary_that_is_too_small_is_refused(tmp_path):
    LlamaConfig(vocab_size=100).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="a vocabulary of 100; expected at least"):
        build(tmp_path, VISION, SHAPE, CPU)


def test_a_folder_without_a_configuration_is_named_and_not_looked_for_on_the_hub(config, tmp_path):
    for words in ([str(tmp_path / "none")], [str(config), "--vision", str(tmp_path / "none")]):
        with pytest.raises(SystemExit, match=f"^{tmp_path / 'none'}: no folder with a config.json"):
            benchmark.main(words)
