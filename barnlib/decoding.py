"""Greedy answers of many questions on many images together, with one key-value cache.

In:  a model, a :class:`~barnlib.packing.PackedBatch` without answers, the table of cached features.
Out: :class:`Answers`, whose ids are those of ``generate``, for validate.py, inference.py and model_checks.py.

Shapes: B images in a batch, L positions, N branches (turns, in the order of the groups given to ``pack``), T image
tokens, W encoder width, D hidden width and V vocabulary of the backbone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.cache_utils import Cache

from barnlib.forward import attention_mask, evaluating, forward_inputs
from barnlib.key_values import roomy_cache
from barnlib.model import Model, llava
from barnlib.packing import IGNORED, PADDING, PREFIX, PackedBatch

Allowed = Callable[
    [Tensor], Tensor
]  # ids written so far, int64[M, steps], to those that may follow, bool[M, V]


@dataclass(frozen=True)
class Answers:
    """Greedy answers of N branches.

    Attributes:
        ids: the new ids of each branch, the stop id included where one was reached.
        logprob: float32[N], summed log-probability of these ids in nats, at temperature 1.
        first_logprob: float32[N], log-probability of the first id.
        stop: "eos" or "length" for each branch.
    """

    ids: list[list[int]]
    logprob: Tensor
    first_logprob: Tensor
    stop: list[str]


def greedy(
    model: Model, packed: PackedBatch, features: Tensor, max_new_tokens: int, allowed: Allowed | None = None
) -> Answers:
    """Greedy answers of all branches, decoded together with one key-value cache.

    In every step each unfinished branch of a row adds one key to the row's cache; the mask keeps branches apart. Rows
    in which every branch has ended are dropped. The ids are those of ``generate``, sample by sample; it stops where
    ``generate`` does, at the ids of ``generation_config.eos_token_id``.

    Args:
        packed: packed without answers.
        allowed: ids that may follow, where an answer's form is fixed (:class:`barnlib.grammar.Grammar`). The
            log-probabilities stay those of the free model: what the form costs is part of them.

    Raises:
        ValueError: a batch with answers; features that do not fit; positions beyond the backbone's context.
    """
    if bool((packed.labels != IGNORED).any()):
        raise ValueError(
            "the batch holds answers; expected one packed without, because they would be read, not written"
        )
    with evaluating(model):
        return _decode(llava(model), packed, features, max_new_tokens, allowed)


def _decode(
    model: LlavaForConditionalGeneration,
    packed: PackedBatch,
    features: Tensor,
    max_new_tokens: int,
    allowed: Allowed | None,
) -> Answers:
    inputs = forward_inputs(model, packed, features, packed.longest + max_new_tokens)
    cache = roomy_cache()
    logits = model(**inputs, past_key_values=cache, logits_to_keep=packed.ends()).logits  # [N, V]
    stops = torch.tensor(stop_ids(model), device=logits.device)
    count = len(logits)
    row = torch.arange(len(packed.counts), device=logits.device).repeat_interleave(packed.counts)
    branch = packed.branch[packed.ends()]
    position = packed.position_ids[packed.ends()] + 1
    keys = torch.stack(
        [packed.branch, packed.position_ids]
    )  # int64[2, B, S], branch and position of each key
    ids = torch.full((count, max_new_tokens), -1, device=logits.device)
    logprobs = torch.zeros(count, max_new_tokens, device=logits.device)
    running = torch.arange(count, device=logits.device)  # branches not ended yet, in order
    for step in range(max_new_tokens):
        if allowed is None:
            token = logits.argmax(-1)
        else:
            token = logits.masked_fill(~allowed(ids[running, :step]), float("-inf")).argmax(-1)
        ids[running, step] = token
        logprobs[running, step] = logits.float().log_softmax(-1).gather(1, token[:, None])[:, 0]
        going = ~torch.isin(token, stops)
        running, token = running[going], token[going]
        if len(running) == 0 or step == max_new_tokens - 1:
            break
        alive, row[running] = torch.unique_consecutive(row[running], return_inverse=True)
        if len(alive) < keys.shape[1]:
            cache.batch_select_indices(alive)
            keys = keys[:, alive]
        logits, keys = _step(
            model, cache, keys, row[running], branch[running], token, position[running] + step
        )
    ended = torch.isin(ids, stops).any(1).tolist()
    lengths = (ids >= 0).sum(1).tolist()
    return Answers(
        ids=[row_ids[:length] for row_ids, length in zip(ids.tolist(), lengths, strict=True)],
        logprob=logprobs.sum(1),
        first_logprob=logprobs[:, 0].clone(),
        stop=["eos" if end else "length" for end in ended],
    )


def _step(
    model: LlavaForConditionalGeneration,
    cache: Cache,
    keys: Tensor,
    row: Tensor,
    branch: Tensor,
    token: Tensor,
    position: Tensor,
) -> tuple[Tensor, Tensor]:
    """Feed one token of each of M running branches (sorted by row): logits float[M, V] and the enlarged ``keys``."""
    per_row = torch.bincount(row, minlength=keys.shape[1])
    slot = torch.arange(len(row), device=row.device) - (per_row.cumsum(0) - per_row)[row]
    shape = keys.shape[1], int(per_row.max())
    new, ids, positions = (torch.full(shape, fill, device=row.device) for fill in (PADDING, 0, 0))
    new[row, slot], ids[row, slot], positions[row, slot] = branch, token, position
    keys = torch.cat([keys, torch.stack([new, positions])], 2)
    branches = keys[0, :, None]
    seen = (branches == PREFIX) | (branches == new[:, :, None])  # a padding slot sees padding: never empty
    output = model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=attention_mask(seen[:, None], model, positions, keys[1]),
        past_key_values=cache,
        logits_to_keep=new != PADDING,
    )
    return output.logits, keys


def stop_ids(model: Model) -> list[int]:
    """Ids at which ``generate`` and :func:`greedy` stop."""
    ids: Any = llava(model).generation_config.eos_token_id
    return [ids] if isinstance(ids, int) else list(ids)
