"""Checkpoints of an unfinished run: safetensors and JSON, never pickle.

In:  named tensors (weights, optimiser state) and a JSON object (where the run is).
Out: `checkpoints/DIGEST/step-000123/`, from which the same run goes on bit for bit. DIGEST stands for everything that
     decides the run, so that a changed learning rate never resumes old weights.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from barnlib.artefacts import read_json, seal, verify, write_json

NAME = re.compile(r"step-\d+")


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
    """Write a checkpoint beside the last one and then remove that one: a crash leaves a complete one at any time.

    Args:
        folder: `checkpoints/DIGEST`; made where it is missing.
        step: optimiser steps done; the highest is the newest.
        tensors: any dtype and device.
        progress: goes to JSON.

    Raises:
        ValueError: there is a checkpoint of this step already.
    """
    partial = folder / "partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, partial / "state.safetensors")
    write_json(partial / "progress.json", progress)
    seal(partial, {"step": step})
    old = _complete(folder)
    target = folder / f"step-{step:06d}"
    if target in old:
        raise ValueError(f"{target}: there is a checkpoint of this step already; expected a later step")
    os.replace(partial, target)
    for path in old:
        shutil.rmtree(path)


def latest(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and progress of the newest checkpoint; None where there is none.

    Raises:
        ValueError: a file was changed after it was written; names it.
    """
    complete = _complete(folder)
    if not complete:
        return None
    verify(complete[-1])
    return load_file(complete[-1] / "state.safetensors"), read_json(complete[-1] / "progress.json")


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimiser as flat tensors: `optimizer.NUMBER.NAME`, parameters numbered over the groups in order."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{number}.{name}": torch.as_tensor(value)
        for number, entry in state.items()
        for name, value in entry.items()
    }


def load_optimizer_state(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put the state of :func:`optimizer_state` back; learning rates stay as they are in ``optimizer``."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        _, number, name = key.split(".")
        state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def tensor_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and bytes of tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _complete(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))
