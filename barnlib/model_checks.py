"""Checks 2 to 5 of the preflight, as far as they ask the model: embedding, stop, text only, overfitting.

In:  the prompter, the composed model with LoRA, the bare language model, items, and features of their images.
Out: what was measured. A violation raises :class:`~barnlib.prompt_checks.PreflightError`.
Next: preflight.py runs these checks, after those of prompt_checks.py.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from barnlib.data.records import Item
from barnlib.decoding import greedy, stop_ids
from barnlib.likelihood import packed_loss
from barnlib.model import (
    Model,
    llava,
    load_trained_state,
    parameter_groups,
    set_trainable,
    trained_parts,
    trained_state,
)
from barnlib.packing import PackedBatch, pack
from barnlib.prompt_checks import PreflightError
from barnlib.prompts import IMAGE_TOKEN, Prompter
from barnlib.sharding import clip_gradients

TEXTS = 8  # prompts whose text-only logits are compared
LOGIT_TOLERANCE = (
    1e-4  # same weights and kernels give 0; another attention kernel moves fp32 logits by about 1e-5
)


def check_embedding(prompter: Prompter, model: Model) -> None:
    """Check 2: the embedding has a row for every entry of the tokenizer, the image token and padding among them.

    Raises:
        PreflightError: it has not.
    """
    embedding: Any = llava(model).get_input_embeddings()
    rows, entries = embedding.weight.shape[0], len(prompter.tokenizer)
    if max(entries - 1, prompter.image_token_id, prompter.pad_id, *prompter.eos_ids) >= rows:
        raise PreflightError(
            f"check 2 (prompts): the embedding has {rows} rows; expected at least {entries}, the tokenizer's entries "
            f"('{IMAGE_TOKEN}' is id {prompter.image_token_id})"
        )


def check_stop(prompter: Prompter, model: Model) -> None:
    """Check 3: generation stops at the EOS that answers are trained to end with.

    Raises:
        PreflightError: it does not.
    """
    if prompter.eos_id not in stop_ids(model):
        raise PreflightError(
            f"check 3 (stop): answers are trained to end with id {prompter.eos_id} "
            f"({prompter.tokenizer.convert_ids_to_tokens(prompter.eos_id)!r}); generation stops at {stop_ids(model)}"
        )


def check_text_only(
    prompter: Prompter, model: Model, language_model: PreTrainedModel, items: Sequence[Item]
) -> float:
    """Check 4: without an image, the composed model and the bare language model give the same logits.

    Returns:
        The largest absolute difference of a logit.

    Raises:
        PreflightError: a difference beyond ``LOGIT_TOLERANCE``.
    """
    composed = llava(model)
    training = composed.training, language_model.training
    composed.eval()
    language_model.eval()
    largest = 0.0
    with torch.inference_mode():
        for item in items_in_turn(items, TEXTS):
            bos = [] if prompter.bos_id is None else [prompter.bos_id]
            ids = torch.tensor(
                [bos + prompter.question_ids(item.question, item.history)],
                device=composed.lm_head.weight.device,
            )
            bare = language_model(input_ids=ids).logits
            found = composed(input_ids=ids).logits[..., : bare.shape[-1]]
            difference = float((found - bare).abs().max())
            if not difference <= LOGIT_TOLERANCE:  # also refuses NaN
                raise PreflightError(
                    f"check 4 (text only): item '{item.id}': logits of the composed model differ from the language "
                    f"model's by {difference:.3g}; expected at most {LOGIT_TOLERANCE}"
                )
            largest = max(largest, difference)
    composed.train(training[0])
    language_model.train(training[1])
    return largest


def check_overfit(
    prompter: Prompter,
    model: Model,
    chosen: Sequence[tuple[int, Item]],
    features: Tensor,
    *,
    max_new_tokens: int,
    steps: int,
    learning_rate: float,
) -> dict[str, Any]:
    """Check 5: a few items, each with its feature row, can be learned until every greedy answer is exact.

    Returns:
        {"items", "steps", "stop_rate", "nats_per_answer"} at the end.

    Raises:
        PreflightError: an answer that is still wrong after ``steps``.
    """
    trainable = [part for part, parameters in parameter_groups(model).items() if parameters]
    before = {name: weight.clone() for name, weight in trained_state(model).items()}
    training = model.training
    device = llava(model).lm_head.weight.device
    asked = pack(prompter, [(row, [item.turn.asked]) for row, item in chosen]).to(device)
    answered = pack(prompter, [(row, [item.turn]) for row, item in chosen]).to(device)
    try:
        set_trainable(model, tuple(trained_parts(model)))
        model.eval()  # without dropout
        taken, nats = _overfit(model, answered, features, steps, learning_rate)
        answers = greedy(model, asked, features, max_new_tokens)
    finally:
        load_trained_state(model, before)
        set_trainable(model, trainable)
        model.train(training)
    for (_, item), ids in zip(chosen, answers.ids, strict=True):
        if prompter.decode(ids) != item.answer or ids[-1] not in prompter.eos_ids:
            raise PreflightError(
                f"check 5 (overfit): item '{item.id}' after {taken} steps: expected {item.answer!r} and EOS, found "
                f"{prompter.decode(ids)!r}{'' if ids[-1] in prompter.eos_ids else ' without EOS'}"
            )
    return {
        "items": len(chosen),
        "steps": taken,
        "stop_rate": answers.stop.count("eos") / len(chosen),
        "nats_per_answer": nats / len(chosen),
    }


def items_in_turn(items: Sequence[Item], count: int) -> list[Item]:
    """The first ``count`` items, one task after the other, each on another image."""
    tasks: dict[str, list[Item]] = {}
    seen: set[str] = set()
    for item in items:
        if item.image not in seen and len(tasks.setdefault(item.task, [])) < count:
            seen.add(item.image)
            tasks[item.task].append(item)
    return [item for turn in zip_longest(*tasks.values()) for item in turn if item is not None][:count]


def _overfit(
    model: Model, answered: PackedBatch, features: Tensor, steps: int, learning_rate: float
) -> tuple[int, float]:
    """Train until every answer is what greedy decoding would write, or for ``steps``: steps taken, and nats."""
    parameters = [parameter for group in parameter_groups(model).values() for parameter in group]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 10)
        likelihood = packed_loss(model, answered, features)
        if bool(likelihood.branch_hits.all()):
            return step, float(likelihood.nats.detach())
        optimizer.zero_grad()
        (likelihood.nats / likelihood.tokens).backward()
        clip_gradients(parameters, 1.0)
        optimizer.step()
    return steps, float(packed_loss(model, answered, features).nats.detach())
