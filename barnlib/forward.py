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
    """Arguments of the forward over a whole batch, once batch, features and context fit together.

    Raises:
        ValueError: more positions than the backbone's context, a row that the table of features does not hold, or
            another number of image tokens than features.
    """
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
        "attention_mask": attention_mask(
            packed.attention_mask, model, packed.position_ids, packed.position_ids
        ),
        "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=projected)},
    }


def attention_mask(
    seen: Tensor, model: LlavaForConditionalGeneration, queries: Tensor, keys: Tensor
) -> Tensor | dict[str, Tensor]:
    """A boolean mask in the form that the backbone's attention takes.

    SDPA takes it as it is (a little faster so), eager attention as numbers to add, because it would add True and False
    as 1 and 0. Transformers apply a sliding window to masks of their own making only, so it is applied here: a layer
    with a window of w sees the w latest positions, itself included. Where only some layers have one, the layers get
    their masks by kind.

    Args:
        seen: bool[B, 1, Q, K], without regard to windows.
        queries, keys: int64[B, Q] and int64[B, K], positions of both.
    """
    config = _inner(model).language_model.config
    window, kinds = sliding_window(config), set(getattr(config, "layer_types", None) or ())
    if window is None:
        return _in_form(seen, model)
    near = seen & (queries[:, None, :, None] - keys[:, None, None, :] < window)
    if not kinds:
        return _in_form(near, model)
    return {"full_attention": _in_form(seen, model), "sliding_attention": _in_form(near, model)}


def sliding_window(config: Any) -> int | None:
    """How many of the latest positions a layer with a sliding window sees; None where no layer has one.

    Args:
        config: of the language model.

    Raises:
        ValueError: layers that do not look at all positions or at the latest ones, and so cannot be packed.
    """
    kinds = set(getattr(config, "layer_types", None) or ())
    other = sorted(kinds - {"full_attention", "sliding_attention"})
    if other:
        raise ValueError(
            f"'{config.model_type}' has layers of the kind '{other[0]}'; expected full or sliding attention, because "
            "questions on one image are packed into one sequence and kept apart by the attention mask"
        )
    window = getattr(config, "sliding_window", None)
    return window if not kinds or "sliding_attention" in kinds else None


def _in_form(seen: Tensor, model: LlavaForConditionalGeneration) -> Tensor:
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
