"""A frozen language model in 4 bits a weight, as QLoRA trains on it, and the numbers that the 4 bits stand for.

In:  the folder of a causal language model.
Out: the model with its linear layers quantised, the output layer apart, and the same model with plain weights.
     assembly.py composes the first one to be trained, with LoRA beside it, and the second one to answer.

Each block of 64 weights is stored as one scale and 64 indices into the sixteen values of NormalFloat (NF4), the scales
as 8-bit numbers with a scale for every 256 of them (double quantisation): Dettmers et al. 2023, arXiv 2305.14314, as
bitsandbytes computes it, which is an optional dependency.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

NF4_BITS = 4 + 8 / 64 + 32 / (64 * 256)  # of a weight with its share of both scales


def require_bitsandbytes(study: str) -> None:
    """Refuse a study that cannot be quantised here.

    Args:
        study: its name.

    Raises:
        ValueError: bitsandbytes is not installed; says how to install it.
    """
    if find_spec("bitsandbytes") is None:
        raise ValueError(
            f"params/studies/{study}.yaml: key 'finetune.method': 'qlora' needs bitsandbytes, which is not installed: "
            "run `pip install --editable '.[qlora]'` in the repository, or set 'lora'"
        )


def load_quantised(folder: Path, dtype: torch.dtype, device: torch.device) -> PreTrainedModel:
    """A causal language model with frozen linear layers in NF4; output layer, embedding and norms stay as they are.

    Args:
        folder: of the checkpoint.
        dtype: what the weights are rounded to before they are quantised, what the layers compute in, and the dtype of
            all other weights.
        device: where they are quantised; another kind of device may decide a tie between two values otherwise.

    Raises:
        ValueError: linear layers of another class than ``torch.nn.Linear``, or none at all.
    """
    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, quantization_config=settings, device_map={"": device}, use_safetensors=True
    )
    layers = quantised_layers(model)
    # transformers takes GPT-2's Conv1D too, transposed: the plain model would no longer be one of its class
    other = sorted({layer.source_cls.__name__ for layer in layers.values()} - {nn.Linear.__name__})
    if other or not layers:
        raise ValueError(
            f"{type(model).__name__}: 'finetune.method: qlora' expected layers of torch.nn.Linear, found "
            f"{other[0] if other else 'none'}; set 'full'"
        )
    for layer in layers.values():
        # bitsandbytes repacks weights for some processors when it evaluates; training on them has no gradient then
        layer.support_avx512bf16_for_cpu = False
    return model


def dequantised(model: PreTrainedModel) -> PreTrainedModel:
    """The model with the numbers that its 4 bits stand for as plain weights, of the dtype that it computed in; uses
    ``model`` up."""
    plain: Any = model.dequantize()
    plain.is_loaded_in_4bit = False
    return plain


def quantised_layers(model: nn.Module) -> dict[str, Any]:
    """The layers in 4 bits, by name; none where bitsandbytes is not even installed."""
    if find_spec("bitsandbytes") is None:
        return {}
    from bitsandbytes.nn import Linear4bit

    return {name: layer for name, layer in model.named_modules() if isinstance(layer, Linear4bit)}


def quantised_digest(model: nn.Module) -> str:
    """SHA-256 over the 4-bit weights and both their scales, layer by layer; 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for layer in quantised_layers(model).values():
        state = layer.weight.quant_state
        for part in (layer.weight.data, state.absmax, state.state2.absmax, state.offset):
            digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def count(weight: nn.Parameter) -> int:
    """How many numbers a weight stands for: 4-bit ones lie two in a byte."""
    state = getattr(weight, "quant_state", None)
    return weight.numel() if state is None else state.shape.numel()
