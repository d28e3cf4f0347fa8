"""How much the last prompt token attends to the image, layer by layer, without keeping whole attention maps.

In:  a forward over a packed batch with answers, run inside :func:`watched_attention`.
Out: for each layer and branch the attention mass on all image tokens, which states.py writes down.

An attention function of our own stands in for transformers' SDPA: it calls SDPA and beside it computes the weights of
the watched positions only, float32[B, heads, branches, L] of one layer at a time instead of [B, heads, L, L] of all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from barnlib.model import Model, llava
from barnlib.packing import PackedBatch

WATCHED = "barnlib_watched_sdpa"


def image_share(packed: PackedBatch) -> Tensor:
    """float32[N]: the share of image tokens among the tokens that each last prompt token sees."""
    at = packed.last_prompt_tokens()
    seen = packed.attention_mask[:, 0].sum(-1)[at]
    return packed.image_tokens / seen.float()


def unwatchable(model: Model) -> str | None:
    """Why this backbone's attention cannot be watched, or None where it can."""
    kind = _language_config(model)._attn_implementation
    return None if kind == "sdpa" else f"attention is '{kind}'; only 'sdpa' can be watched"


@contextmanager
def watched_attention(model: Model, packed: PackedBatch) -> Iterator[list[Tensor]]:
    """A forward over ``packed`` within fills the list: float32[N] a layer, attention on the image, mean of heads.

    Raises:
        ValueError: the backbone's attention is not transformers' SDPA, the only one that can be watched.
    """
    if reason := unwatchable(model):
        raise ValueError(reason)
    config = _language_config(model)
    at, image = packed.last_prompt_tokens(), packed.input_ids == packed.image_token_id
    masses: list[Tensor] = []

    def attend(
        module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: Any
    ) -> tuple[Tensor, None]:
        scaling = options.get("scaling") or query.shape[-1] ** -0.5
        masses.append(_mass(query, key, attention_mask, scaling, at, image))
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)

    ALL_ATTENTION_FUNCTIONS[WATCHED] = attend
    config._attn_implementation = WATCHED
    try:
        yield masses
    finally:
        config._attn_implementation = "sdpa"
        del ALL_ATTENTION_FUNCTIONS[WATCHED]


def _mass(query: Tensor, key: Tensor, mask: Tensor, scaling: float, at: Tensor, image: Tensor) -> Tensor:
    """float32[N] from queries [B, heads, L, d], keys [B, key-value heads, L, d] and the mask that is added."""
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1).float()
    found = []
    for row in range(len(query)):  # rows hold different numbers of branches
        chosen = query[row][:, at[row]].float()  # [heads, n, d]
        weights = (chosen @ key[row].mT * scaling + mask[row, :, at[row]]).softmax(-1)
        found.append(weights[..., image[row]].sum(-1).mean(0))
    return torch.cat(found)


def _language_config(model: Model) -> Any:
    language: Any = llava(model).model
    return language.language_model.config
