"""What a model thinks of given answers: losses, log-probabilities in nats, and hidden states.

In:  a model, a :class:`~barnlib.packing.PackedBatch` with answers, the table of cached features.
Out: a :class:`Likelihood`: finetune.py trains on it, validate.py and inference.py read it; states.py keeps the states.

Shapes: B images in a batch, L positions, N branches (turns, in the order of the groups given to ``pack``), T image
tokens, W encoder width, D hidden width and V vocabulary of the backbone.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from barnlib.forward import evaluating, forward_inputs
from barnlib.model import Model, llava
from barnlib.packing import IGNORED, PackedBatch


@dataclass(frozen=True)
class Likelihood:
    """What a model thinks of the answers in a packed batch, teacher-forced, EOS included.

    Attributes:
        nats: float32[], negative log-probability summed over all supervised tokens; carries the gradient.
        tokens: number of supervised tokens.
        branch_nats: float32[N], the same sum for each branch, without gradient.
        branch_tokens: int64[N], supervised tokens of each branch.
        branch_first_nats: float32[N], negative log-probability of the first answer token, without gradient.
        branch_hits: bool[N], whether every supervised token of the branch is the most probable one: greedy decoding
            would write exactly this answer.
    """

    nats: Tensor
    tokens: int
    branch_nats: Tensor
    branch_tokens: Tensor
    branch_first_nats: Tensor
    branch_hits: Tensor


def packed_loss(model: Model, packed: PackedBatch, features: Tensor) -> Likelihood:
    """Loss of the answers in a packed batch; logits are computed where something is supervised, and nowhere else.

    Args:
        features: float[rows, T, W], the whole table of cached features; ``packed.feature_rows`` picks from it.

    Raises:
        ValueError: no supervised position; features that do not fit the image tokens; positions beyond the backbone's
            context.
    """
    return _likelihood(model, packed, features)[0]


def reference_logprobs(model: Model, packed: PackedBatch, features: Tensor) -> Likelihood:
    """:func:`packed_loss` in eval mode and without gradient: the nats of given answers."""
    with evaluating(model):
        return packed_loss(model, packed, features)


def hidden_states(
    model: Model, packed: PackedBatch, features: Tensor
) -> tuple[Likelihood, dict[str, Tensor]]:
    """Likelihood of the answers and, of the same forward, hidden states at named positions.

    Returns:
        The likelihood, and float32[layers + 1, N, D] for ``last_prompt_token`` (the position that predicts the first
        answer token), ``image_mean`` (over the image tokens) and ``answer_mean`` (over the positions of the answer,
        EOS included). Entry 0 is the embedding; the last entry is after the final norm.
    """
    with evaluating(model):
        likelihood, output = _likelihood(model, packed, features, output_hidden_states=True)
        answer = packed.labels != IGNORED
        number = packed.numbers()[answer]
        last_prompt_tokens = packed.last_prompt_tokens()
        is_image = packed.input_ids == packed.image_token_id
        found: dict[str, list[Tensor]] = {"last_prompt_token": [], "image_mean": [], "answer_mean": []}
        for layer in output.hidden_states:  # float32[B, L, D]
            found["last_prompt_token"].append(layer[last_prompt_tokens])
            image = layer[is_image].view(len(layer), packed.image_tokens, -1).mean(1)
            found["image_mean"].append(image.repeat_interleave(packed.counts, 0))
            total = layer.new_zeros(len(likelihood.branch_nats), layer.shape[-1]).index_add_(
                0, number, layer[answer]
            )
            found["answer_mean"].append(total / likelihood.branch_tokens[:, None])
        return likelihood, {name: torch.stack(layers) for name, layers in found.items()}


def _likelihood(model: Model, packed: PackedBatch, features: Tensor, **extra: Any) -> tuple[Likelihood, Any]:
    target = F.pad(packed.labels[:, 1:], (0, 1), value=IGNORED)  # what each position has to predict
    keep = target != IGNORED
    if not bool(keep.any()):
        raise ValueError("no position of the batch is supervised; expected groups packed with answers")
    inner = llava(model)
    output = inner(
        **forward_inputs(inner, packed, features, packed.longest),
        logits_to_keep=keep,
        use_cache=False,
        **extra,
    )
    logits, target = output.logits.float(), target[keep]
    nats = F.cross_entropy(logits, target, reduction="none")
    number = F.pad(packed.numbers()[:, 1:], (0, 1))[keep]
    count = int(packed.counts.sum())
    total = nats.sum()
    with torch.no_grad():
        missed = (logits.argmax(-1) != target).float()
        first = torch.cat([number.new_ones(1, dtype=torch.bool), number[1:] != number[:-1]])
        likelihood = Likelihood(
            nats=total,
            tokens=len(target),
            branch_nats=nats.new_zeros(count).index_add_(0, number, nats.detach()),
            branch_tokens=torch.bincount(number, minlength=count),
            branch_first_nats=nats.detach()[first],
            branch_hits=nats.new_zeros(count).index_add_(0, number, missed) == 0,
        )
    return likelihood, output
