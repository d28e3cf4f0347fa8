"""Tiny models of every kind that is sharded, and the same work for each of them, whole or shared out."""

import copy
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from barnlib import model_checks, sharding
from barnlib.decoding import greedy
from barnlib.likelihood import packed_loss
from barnlib.model import (
    Model,
    add_lora,
    compose,
    llava,
    parameter_groups,
    set_trainable,
    trained_parts,
    trained_state,
)
from barnlib.packing import pack
from barnlib.processes import Processes
from barnlib.prompts import Prompter
from tests.small_model import ASKED, FLAT, GROUPS, IMAGE_TOKENS

# what is trained, and whether as at paper scale: under autocast, layers computed again for the backward. The last kind
# has one weight for embedding and output
KINDS = ("lora", "full", "lora_bf16", "full_bf16_tied")
RATE = 2e-3
ITEMS: Any = [
    SimpleNamespace(id=question, image=row, task="t", question=question, history=())
    for row, question, _ in FLAT
]


def models(kind: str, backbone: Path, encoder: Path) -> tuple[Prompter, Model, PreTrainedModel]:
    """Prompter, composed model (LoRA that does something, or none), and the bare language model."""
    prompter = Prompter(AutoTokenizer.from_pretrained(backbone), "uniform", IMAGE_TOKENS)
    dtype = torch.bfloat16 if kind == "lora_bf16" else torch.float32
    language = AutoModelForCausalLM.from_pretrained(backbone, dtype=dtype)
    if "tied" in kind:
        language.lm_head.weight = language.model.embed_tokens.weight
    bare = copy.deepcopy(language).eval()
    model: Model = compose(encoder, language, prompter, seed=4, dtype=dtype)
    if "lora" in kind:
        model = add_lora(llava(model), rank=4, alpha=8, dropout=0.0, seed=4)
    if "bf16" in kind:
        llava(model).activation_checkpointing_enable({"use_reentrant": False})
    return prompter, model, bare


def work(
    kind: str, prompter: Prompter, model: Model, bare: PreTrainedModel, processes: Processes
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Answers, what the preflight does with the model, and one step on two packs: numbers, and whole tensors."""
    features = torch.randn(3, IMAGE_TOKENS, 16, generator=torch.Generator().manual_seed(4))
    parts = list(trained_parts(model))
    set_trainable(model, parts[:1])  # as while the projector is aligned
    bf16 = torch.autocast("cpu", torch.bfloat16, cache_enabled=False)

    def computing():
        return bf16 if "bf16" in kind else nullcontext()

    with computing():
        numbers = {"answers": greedy(model, pack(prompter, ASKED), features, 6).ids}
        numbers["difference"] = model_checks.check_text_only(prompter, model, bare, ITEMS)
        set_trainable(model, parts)
        numbers["overfit"] = model_checks._overfit(model, pack(prompter, GROUPS), features, 4, RATE)
    sharding.sum_gradients(model)
    groups = [group for group in parameter_groups(model).values() if group]
    optimizer = torch.optim.AdamW([{"params": group} for group in groups], lr=RATE, fused=True)
    optimizer.zero_grad()
    model.train()

    def backward(some):
        with computing():
            nats = packed_loss(model, pack(prompter, some), features).nats
        (nats / 50).backward()
        return nats.item()

    numbers["nats"] = processes.map([GROUPS[:2], GROUPS[2:]], backward)
    parameters = [parameter for group in groups for parameter in group]
    processes.add_gradients([p for p in parameters if sharding.is_whole(p)])
    numbers["norm"] = sharding.clip_gradients(parameters, 0.1).item()
    gradients = {
        f"gradient.{name}": weight.grad
        for name, weight in llava(model).named_parameters()
        if weight.grad is not None
    }
    optimizer.step()
    tensors = sharding.gathered(gradients | trained_state(model), processes)
    return numbers, {name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}
