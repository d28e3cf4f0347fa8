"""The arguments of one forward over a packed batch, the same for training, measuring and answering.

In:  a model, a :class:`~barnlib.packing.PackedBatch`, the table of cached features.
Out: keyword arguments of the model's forward. likelihood.py and decoding.py call it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.modeling_outputs import BaseModelOutputWithPooling

from barnlib.model import Model
from barnlib.packing import PackedBatch


def forward_inputs(
    model: LlavaForConditionalGeneration, packed: PackedBatch, features: Tensor, positions: int
) -> dict[str, Any]:
    """Arguments of the forward over a whole batch, once batch, features and context fit together."""
    context = getattr(_text_config(model), "max_position_embeddings", None)
    if context is not None and positions > context:
        raise ValueError(
            f"a branch takes {positions} positions, answer included; the backbone's context is {context}"
        )
    rows = packed.feature_rows
    if int(rows.min()) < 0 or int(rows.max()) >= len(features):
        raise ValueError(
            f"feature rows {int(rows.min())} to {int(rows.max())}; the table holds 0 to {len(features) - 1}"
        )
    tokens = (packed.input_ids == packed.image_token_id).sum(1)
    if features.ndim != 3 or bool((tokens != features.shape[1]).any()):
        raise ValueError(
            f"image tokens in each row: {sorted(set(tokens.tolist()))}; features have shape {tuple(features.shape)}, "
            "expected [rows, image tokens, width]"
        )
    projector = _inner(model).multi_modal_projector
    chosen = features[rows.to(features.device)].to(projector.linear_1.weight)
    projected: Any = list(projector(chosen))  # transformers wants a list here
    return {
        "input_ids": packed.input_ids,
        "position_ids": packed.position_ids,
        "attention_mask": attention_mask(packed.attention_mask, model),
        "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=projected)},
    }


def attention_mask(seen: Tensor, model: LlavaForConditionalGeneration) -> Tensor:
    """A boolean mask in the form that the backbone's attention takes: SDPA (a little faster so) as it is, eager
    attention as numbers to add, because it would add True and False as 1 and 0."""
    if _inner(model).language_model.config._attn_implementation == "sdpa":
        return seen
    dtype = model.lm_head.weight.dtype
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


@contextmanager
def evaluating(model: Model) -> Iterator[None]:
    """Eval mode without gradient, and the mode from before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _inner(model: LlavaForConditionalGeneration) -> Any:
    """Encoder, projector and language model; torch gives attributes of a module no type."""
    return model.model


def _text_config(model: LlavaForConditionalGeneration) -> Any:
    return model.config.text_config
