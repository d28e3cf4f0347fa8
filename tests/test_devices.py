"""The device that models are made on: a GPU where there is one, in half precision there and nowhere else."""

import pytest
import torch

from barnlib.devices import computing, described, one_device


@pytest.mark.parametrize(("gpus", "expected"), [(False, "cpu"), (True, "cuda")])
def test_a_gpu_is_taken_where_there_is_one(monkeypatch, gpus, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    assert one_device() == torch.device(expected)


def test_the_cpu_computes_in_float32_and_a_gpu_in_bfloat16():
    layer = torch.nn.Linear(4, 4)
    with computing(torch.device("cpu")):
        assert layer(torch.ones(1, 4)).dtype == torch.float32
    asked: list[tuple] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "autocast", lambda *given, enabled: asked.append((*given, enabled)))
        computing(torch.device("cuda"))
    assert asked == [("cuda", torch.bfloat16, True)]


def test_a_card_says_what_a_model_was_made_on(monkeypatch):
    assert described(torch.device("cpu")) == {"device": "cpu", "devices": 1, "precision": "float32"}
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the card {device}")
    expected = {"device": "the card cuda", "devices": 1, "precision": "bfloat16 autocast"}
    assert described(torch.device("cuda")) == expected
