"""The one device that a model is made on, and the precision of its forward passes there.

In:  the machine.
Out: a torch device and an autocast context, for :mod:`barnlib.pretrain` and :mod:`barnlib.encoder`; the device alone
     for :mod:`barnlib.features`.
"""

from contextlib import AbstractContextManager
from typing import Any

import torch


def one_device() -> torch.device:
    """The first GPU where there is one, else the CPU; further GPUs stay idle."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def computing(device: torch.device) -> AbstractContextManager:
    """Where a forward pass runs: in bfloat16 autocast on a GPU, in float32 on the CPU. Weights stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def described(device: torch.device) -> dict[str, Any]:
    """For a model's card: the device, how many, and the precision."""
    gpu = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if gpu else device.type,
        "devices": 1,
        "precision": "bfloat16 autocast" if gpu else "float32",
    }
