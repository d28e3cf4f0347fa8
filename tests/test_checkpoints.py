"""A checkpoint is complete or it is not there, and an optimiser goes on from it bit for bit."""

import pytest
import torch
from torch import nn

from barnlib import checkpoints


def test_the_newest_is_kept_and_read_back(tmp_path):
    assert checkpoints.latest(tmp_path / "none") is None
    for step in (1, 2):
        tensors = {"a": torch.arange(3) * step, "b": torch.ones(2, 2).T}
        checkpoints.save(tmp_path, step, tensors, {"step": step, "rows": [{"loss": 0.1 + 0.2}]})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000002"]
    tensors, progress = checkpoints.latest(tmp_path)
    assert torch.equal(tensors["a"], torch.tensor([0, 2, 4]))
    assert progress == {"step": 2, "rows": [{"loss": 0.1 + 0.2}]}
    with pytest.raises(ValueError, match=r"step-000002: there is a checkpoint of this step"):
        checkpoints.save(tmp_path, 2, tensors, {})


def test_a_crash_while_writing_leaves_the_last_one(tmp_path, monkeypatch):
    checkpoints.save(tmp_path, 1, {"a": torch.zeros(1)}, {"step": 1})

    def crash(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "write_json", crash)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(tmp_path, 2, {"a": torch.ones(1)}, {"step": 2})
    assert checkpoints.latest(tmp_path)[1] == {"step": 1}


def test_a_damaged_checkpoint_is_refused(tmp_path):
    checkpoints.save(tmp_path, 1, {"a": torch.zeros(1)}, {"step": 1})
    (tmp_path / "step-000001" / "progress.json").write_text("{}")
    with pytest.raises(ValueError, match=r"progress\.json: expected SHA-256"):
        checkpoints.latest(tmp_path)


def test_an_optimiser_goes_on_bit_for_bit():
    def made():
        torch.manual_seed(0)
        layers = nn.Sequential(nn.Linear(4, 5), nn.Linear(5, 1))
        groups = [
            {"params": layer.parameters(), "name": str(n), "lr": 0.1 * (n + 1)}
            for n, layer in enumerate(layers)
        ]
        return layers, torch.optim.AdamW(groups, fused=True)

    def step(layers, optimizer):
        optimizer.zero_grad()
        layers(torch.arange(12.0).view(3, 4)).square().mean().backward()
        optimizer.step()

    layers, optimizer = made()
    step(layers, optimizer)
    kept = {name: t.clone() for name, t in checkpoints.optimizer_state(optimizer).items()}
    weights = {name: t.clone() for name, t in layers.state_dict().items()}
    step(layers, optimizer)

    other, resumed = made()
    other.load_state_dict(weights)
    checkpoints.load_optimizer_state(resumed, kept)
    step(other, resumed)
    assert all(torch.equal(a, b) for a, b in zip(layers.parameters(), other.parameters(), strict=True))
    assert [group["lr"] for group in resumed.param_groups] == [0.1, 0.2]


def test_tensor_digest_sees_names_shapes_and_bits():
    tensors = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    same = {"b": torch.ones(1), "a": torch.zeros(2, 3)}
    others = [
        {"a": torch.zeros(3, 2), "b": tensors["b"]},
        {"c": tensors["a"], "b": tensors["b"]},
        {**tensors, "b": -tensors["b"]},
    ]
    first = checkpoints.tensor_digest(tensors)
    assert checkpoints.tensor_digest(same) == first
    assert len({first, *map(checkpoints.tensor_digest, others)}) == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int64])
def test_tensor_digest_takes_a_tensor_without_dimensions(dtype):
    alone = torch.tensor(3, dtype=dtype)
    digests = {checkpoints.tensor_digest({"a": one}) for one in (alone, alone + 1, alone[None])}
    assert len(digests) == 3, "its value counts, and so does that it has no dimension"
