"""Preflight of one backbone: five checks that must hold before anything is trained.

In:  the prompter, the composed model with LoRA, the bare language model, every training item, the groups that the
     trainer will pack, and the cached features; the checks of prompt_checks.py and model_checks.py.
Out: a report for the ledger. A violation raises :class:`~barnlib.prompt_checks.PreflightError`, which stops the run
     before training.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from transformers import PreTrainedModel

from barnlib.data.records import Item
from barnlib.decoding import stop_ids
from barnlib.model import Model
from barnlib.model_checks import check_embedding, check_overfit, check_stop, check_text_only, items_in_turn
from barnlib.packing import Group
from barnlib.prompt_checks import check_groups, joint_tokenisation
from barnlib.prompts import Prompter


def check(
    prompter: Prompter,
    model: Model,
    language_model: PreTrainedModel,
    items: Sequence[Item],
    feature_rows: Mapping[str, int],
    groups: Sequence[Group],
    features: Tensor,
    *,
    max_new_tokens: int,
    overfit_items: int = 8,
    overfit_steps: int = 400,
    learning_rate: float = 2e-3,
) -> dict[str, Any]:
    """Run the five checks; weights, trainable parts and mode of the model are afterwards what they were.

    Args:
        model: composed model with LoRA, before any training.
        language_model: the bare causal language model (the object that was composed, or one loaded anew).
        items: every training item.
        feature_rows: row of the feature table for each image path.
        groups: what the trainer packs in one epoch, in any order; must hold every item exactly once.
        features: float[rows, T, W], the table of cached features.
        max_new_tokens: limit of the overfitted answers.
        overfit_items, overfit_steps, learning_rate: how the last check trains; it takes items of all tasks in turn.

    Returns:
        What was counted and measured, ready for JSON.

    Raises:
        PreflightError: a check failed.
    """
    tokens = check_groups(prompter, items, feature_rows, groups, features)
    check_embedding(prompter, model)
    check_stop(prompter, model)
    return {
        "items": len(items),
        **tokens,
        "joint_tokenisation": joint_tokenisation(prompter, items),
        "stop_ids": stop_ids(model),
        "largest_logit_difference": check_text_only(prompter, model, language_model, items),
        "overfit": check_overfit(
            prompter,
            model,
            [(feature_rows[item.image], item) for item in items_in_turn(items, overfit_items)],
            features,
            max_new_tokens=max_new_tokens,
            steps=overfit_steps,
            learning_rate=learning_rate,
        ),
    }
