"""A language model that does not fit one GPU: its weights, gradients and optimiser state shared out over the processes.

In:  the composed model, whole in each process; tensors of a checkpoint, whole.
Out: the same model, of whose language weights each process holds a share (:func:`place`); gradients that are clipped
     over all shares; whole tensors again for checkpoints and results, so that a run may go on with another number of
     processes, or with whole weights.

PyTorch's FSDP2 does the work: before a decoder layer is computed, forward or backward, the processes gather its weights
from one another, and let go of them afterwards. It is called directly: accelerate (1.15) turns to FSDP on GPUs only, so
that what it does could not be tested on CPUs, and it wants to prepare model and optimiser together, once, where here
two stages train one model with an optimiser each. Weights keep their precision on the way, so numbers are those of
whole weights but for the order in which gradients are added.

The projector and LoRA stay whole in every process, and Processes.add_gradients sums their gradients: they are small,
LoRA has another precision than the layer that it stands in, and the projector is called before the model is. So does
the encoder, which never computes while features are cached.

A gathering waits for all processes: each of them must compute as many passes, of the same kind, as every other one.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from accelerate.utils import reduce
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor
from transformers.modeling_layers import GradientCheckpointingLayer

from barnlib.model import PARTS
from barnlib.processes import Processes

WHOLE = (*PARTS.values(), "vision_tower.")  # what stays whole, by a piece of the names


def shard(model: nn.Module, device: torch.device, processes: Processes) -> None:
    """Leave each process its share of the language model's weights, in place; a layer at a time goes to the device.

    Until :func:`sum_gradients` says otherwise gradients of shared weights are averaged over the processes: what all of
    them compute alike is as if one computed it.

    Args:
        model: the module that is called, a LLaVA model or a language model, with all of its weights in every process.
        device: where the shares go, and what stays whole.

    Raises:
        ValueError: a model without decoder layers, or weights that are no numbers of their own (quantised ones).
        RuntimeError: GPUs of different kinds, which would not compute the same from the same.
    """
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    processes.require_same(lambda: kind, "the kind of device")
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no decoder layers that could be shared out over processes"
        )
    for name, weight in model.named_parameters():
        if not weight.is_floating_point():
            raise ValueError(
                f"weight '{name}' is of type {weight.dtype}; expected numbers with a fraction: quantised weights are "
                "not sharded. Leave 'sharded' at False; they take a quarter of the room as it is"
            )
    whole = {weight for name, weight in model.named_parameters() if any(piece in name for piece in WHOLE)}
    for weight in whole:
        weight.data = weight.data.to(device)
    mesh = init_device_mesh(device.type, (processes.size,))
    for module in [*layers, model]:  # the model last: embedding, final norm and output layer are left to it
        unit: Any = fully_shard(module, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
        unit.set_force_sum_reduction_for_comms(True)  # then gloo and NCCL are asked for the same
        # gathered once as ordinary tensors: inference mode, which may come first, would make tensors without gradients
        unit.unshard()
        unit.reshard()


def place(model: nn.Module, device: torch.device, processes: Processes) -> None:
    """Bring a model, wherever it was composed, to the device, in place: all of it, or this process's share. Raises as
    :func:`shard`."""
    if processes.sharded:
        shard(model, device, processes)
    else:
        model.to(device)


def sum_gradients(model: nn.Module) -> None:
    """From here on, gradients of shared weights add up over the processes, as a step's loss does over its packs."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients so that their norm, over all parameters and shares, is at most ``limit``; in place.

    Returns:
        float32[], the norm as it was, the same in every process.
    """
    parameters = list(parameters)
    if all(map(is_whole, parameters)):
        return torch.nn.utils.clip_grad_norm_(parameters, limit)
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    whole = [gradient for gradient in gradients if not isinstance(gradient, DTensor)]
    shares = [gradient.to_local() for gradient in gradients if isinstance(gradient, DTensor)]
    squares = [torch.nn.utils.get_total_norm(some) ** 2 for some in (whole, shares)]
    norm: Tensor = (squares[0] + reduce(squares[1], "sum")).sqrt()
    factor = (limit / (norm + 1e-6)).clamp(max=1.0)  # as clip_grad_norm_ does
    for gradient in [*whole, *shares]:
        gradient.mul_(factor)
    return norm


def is_whole(tensor: Tensor) -> bool:
    """Whether every process holds all of a tensor."""
    return not isinstance(tensor, DTensor)


def gathered(tensors: Mapping[str, Tensor], processes: Processes) -> dict[str, Tensor]:
    """All tensors whole, shared ones in the machine's memory, in the main process; in the others, which must take part
    where any is shared, those that are whole anyway."""
    found = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            found[name] = tensor
            continue
        whole = tensor.full_tensor()
        if processes.main:
            found[name] = whole.cpu()
    return found


def share(whole: Tensor, like: Tensor) -> Tensor:
    """This process's share of a whole tensor, as ``like`` is shared; the tensor itself where that is whole, or has
    another shape (as an optimiser's count of steps has beside its weight)."""
    if not isinstance(like, DTensor) or whole.shape != like.shape:
        return whole
    mesh = like.device_mesh
    rows = math.ceil(len(whole) / mesh.size())  # of each share but the last ones, as FSDP2 cuts
    start = mesh.get_local_rank() * rows
    own = torch.empty_like(like.to_local(), dtype=whole.dtype)
    own.copy_(whole[start : start + rows])  # a copy: a view would keep the whole tensor
    return DTensor.from_local(
        own, mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


def optimizer_shares(tensors: Mapping[str, Tensor], optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """This process's shares of an optimiser's state, whole as :func:`barnlib.checkpoints.optimizer_state` names it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return {key: share(tensor, parameters[int(key.split(".")[1])]) for key, tensor in tensors.items()}
