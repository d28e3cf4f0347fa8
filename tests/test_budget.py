"""What a run will take, against shapes whose sizes are published and against models that were really built."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from barnlib import budget
from barnlib.budget import Size, language_size, require_room, training_bytes
from barnlib.parameters import load_study
from barnlib.processes import Processes

CONFIGS = Path(__file__).parents[2] / "shared" / "data" / "configs"


def test_the_size_is_that_of_the_built_model(tiny_grouped_llama):
    model = AutoModelForCausalLM.from_pretrained(tiny_grouped_llama)
    size = language_size(tiny_grouped_llama, rank=4)
    assert size.weights == sum(parameter.numel() for parameter in model.parameters())
    assert size.linear == 2 * (32 * 32 * 2 + 32 * 16 * 2 + 32 * 64 * 3)
    # by hand: two layers of q 32x32, k and v 32x16, o 32x32, gate and up 32x64, down 64x32
    assert size.lora == 2 * 4 * ((32 + 32) * 2 + (32 + 16) * 2 + (32 + 64) * 3)


@pytest.mark.parametrize(
    ("name", "weights"),
    [("llama-1-7b", 6738415616), ("llama-2-7b-hf", 6738415616), ("meta-llama-3-8b", 8030261248)],
)
def test_real_shapes_have_their_published_sizes(name, weights):
    folder = CONFIGS / name
    if not folder.is_dir():
        pytest.skip(f"no real configuration at {folder}")
    assert language_size(folder, rank=128).weights == weights


def test_precision_and_method_decide_the_estimate():
    study, size = load_study("paper"), Size(weights=1000, linear=800, lora=10)
    assert training_bytes(size, study) == (1000 * 4 + 10 * 20, 10 * 28)
    exact = study.model_copy(update={"compute": study.compute.model_copy(update={"precision": "float32"})})
    assert training_bytes(size, exact)[0] == 1000 * 8 + 10 * 20
    full = study.model_copy(update={"finetune": study.finetune.model_copy(update={"method": "full"})})
    assert training_bytes(size, full) == (1000 * 24, 1000 * 28)
    four_bits = study.model_copy(update={"finetune": study.finetune.model_copy(update={"method": "qlora"})})
    # 800 weights of 4 bits and 0.127 for their scales, which is what Dettmers et al. 2023 count; 200 in bfloat16
    assert training_bytes(size, four_bits) == (2 * math.ceil(800 * 4.127 / 8 + 200 * 2) + 10 * 20, 10 * 28)


def test_a_model_that_is_shared_out_takes_a_share_of_each_process_and_lora_all_of_it():
    study, size = load_study("paper"), Size(weights=1000, linear=800, lora=10)
    assert training_bytes(size, study, shares=4) == (1000 * 4 // 4 + 10 * 20, 10 * 28)
    full = study.model_copy(update={"finetune": study.finetune.model_copy(update={"method": "full"})})
    assert training_bytes(size, full, shares=4) == (1000 * 24 // 4, 1000 * 28)


def test_a_model_is_composed_in_every_process_before_it_is_shared_out(tiny_llama, tmp_path, monkeypatch):
    """On a GPU the shares count there, and the whole models in the machine's memory."""
    study, weights = load_study("nano"), language_size(tiny_llama, 1).weights
    full = study.model_copy(update={"finetune": study.finetune.model_copy(update={"method": "full"})})
    run, gpu = tmp_path / "llama1-seed0", torch.device("cuda")
    free = {"cpu": weights * 4 * 4, "cuda": weights * 24 // 4}
    monkeypatch.setattr(budget, "free_memory", lambda device: free[device.type])
    require_room(tiny_llama, full, run, gpu, Processes(4, sharded=True))
    with pytest.raises(ValueError, match="training 'llama1-seed0' on the cuda"):
        require_room(tiny_llama, full, run, gpu, Processes(4))
    with pytest.raises(ValueError, match="training 'llama1-seed0' on the cuda"):
        require_room(tiny_llama, full, run, gpu, Processes(3, sharded=True))
    free["cpu"] -= 1
    with pytest.raises(ValueError, match="composing 'llama1-seed0' whole in each of 4 processes"):
        require_room(tiny_llama, full, run, gpu, Processes(4, sharded=True))


def test_what_does_not_fit_is_refused(tiny_llama, tmp_path, monkeypatch):
    study, device = load_study("nano"), torch.device("cpu")
    require_room(tiny_llama, study, tmp_path / "llama1-seed0", device)
    needed, _ = training_bytes(language_size(tiny_llama, study.finetune.lora.rank), study)
    monkeypatch.setattr(budget, "free_memory", lambda device: 2 * needed)
    require_room(tiny_llama, study, tmp_path / "llama1-seed0", device)
    with pytest.raises(ValueError, match="training 'llama1-seed0' on the cpu"):
        require_room(tiny_llama, study, tmp_path / "llama1-seed0", device, Processes(3))
    monkeypatch.setattr(budget, "free_memory", lambda device: 1000)
    with pytest.raises(
        ValueError, match=r"training 'llama1-seed0' on the cpu \(activations not counted\) needs"
    ):
        require_room(tiny_llama, study, tmp_path / "llama1-seed0", device)
