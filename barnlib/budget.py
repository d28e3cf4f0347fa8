"""What a run will take of memory and disk, estimated before anything large is loaded.

In:  the backbone's configuration (its shape is built on the meta device, where weights take no room), the study.
Out: a `ValueError` of one sentence where it does not fit; else nothing.

The estimate counts weights, gradients and AdamW's two moments, as the preflight holds them: it overfits a few items
with the bare language model beside the composed one, and then goes back to a copy of what it trained. Activations come
on top: they depend on batch and length and are the part that ``compute.images_at_once`` and
``compute.gradient_checkpointing`` govern.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from barnlib.hub import free_memory, require_disk, require_memory
from barnlib.processes import ALONE, Processes
from barnlib.quantisation import NF4_BITS
from barnlib.study import Study

# of a trained float32 weight: itself, its gradient, two moments, and the preflight's copy of it
TRAINED_BYTES = 20
CHECKPOINT_BYTES = 12  # of a trained weight in a checkpoint: itself and two moments
CHECKPOINTS = 2  # a new one is complete before the old one goes


@dataclass(frozen=True)
class Size:
    """Parameters of a language model, those of its linear layers among them (biases and output layer apart), and of
    LoRA on all of these layers."""

    weights: int
    linear: int
    lora: int


def language_size(folder: Path, rank: int) -> Size:
    """Count parameters from the configuration alone.

    Args:
        folder: of the checkpoint.
        rank: of LoRA.
    """
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))
    head = model.get_output_embeddings()
    linear = [module for module in model.modules() if isinstance(module, nn.Linear) and module is not head]
    return Size(
        weights=sum(parameter.numel() for parameter in model.parameters()),
        linear=sum(module.weight.numel() for module in linear),
        lora=sum(rank * (module.in_features + module.out_features) for module in linear),
    )


def training_bytes(size: Size, study: Study, shares: int = 1) -> tuple[int, int]:
    """Memory of each process to train in, and disk for checkpoints and results: bytes.

    The language model is held twice, as a part of the model and bare; where all of it is trained, the first counts as
    trained. Linear layers in 4 bits are counted with their scales, 4.127 bits a weight (Dettmers et al. 2023, section
    3).

    Args:
        shares: into how many the language model is cut; LoRA is whole in every process.
    """
    full = study.finetune.method == "full"
    trained = size.weights if full else size.lora
    weights = _composed_bytes(size, study) * (1 if full else 2)
    memory = weights // shares + trained * TRAINED_BYTES // (shares if full else 1)
    return memory, trained * (CHECKPOINTS * CHECKPOINT_BYTES + 4)


def _composed_bytes(size: Size, study: Study) -> int:
    """The language model as it is composed: float32 where it is trained, else the precision of the study or 4 bits."""
    method = study.finetune.method
    precision = torch.finfo(getattr(torch, "float32" if method == "full" else study.compute.precision)).bits
    linear = size.linear * (NF4_BITS if method == "qlora" else precision)
    return math.ceil((linear + (size.weights - size.linear) * precision) / 8)


def require_room(
    folder: Path, study: Study, run: Path, device: torch.device, processes: Processes = ALONE
) -> None:
    """Refuse a run that memory or disk cannot hold.

    Args:
        folder: of the backbone's checkpoint.
        run: where the run will be written.
        device: where it will be trained.
        processes: who train it together. Without GPUs they share the machine's memory. Where each holds a share of the
            language model, it first composes all of it in the machine's memory.

    Raises:
        ValueError: says what is needed, what is free and what to change.
    """
    size = language_size(folder, study.finetune.lora.rank)
    memory, disk = training_bytes(size, study, processes.size if processes.sharded else 1)
    if processes.sharded:
        require_memory(
            _composed_bytes(size, study) * processes.size,
            free_memory(torch.device("cpu")),
            f"composing '{run.name}' whole in each of {processes.size} processes, before they keep their shares,",
        )
    if device.type == "cpu":
        memory *= processes.size
    require_memory(
        memory, free_memory(device), f"training '{run.name}' on the {device.type} (activations not counted)"
    )
    require_disk(run, disk, f"training '{run.name}'")
