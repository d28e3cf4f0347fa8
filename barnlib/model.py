"""The vision-language model: composition from an encoder and any causal language model, LoRA, and its trained parts.

In:  an encoder, a causal language model and a :class:`~barnlib.prompts.Prompter`.
Out: a model; finetune.py trains it, likelihood.py measures it on packed batches, decoding.py lets it answer, export.py
     writes it.
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
)
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from barnlib.prompts import Prompter
from barnlib.vision import has_class_token, load_vision_model

PARTS = {"projector": "multi_modal_projector.", "lora": ".lora_"}  # trained parts, by a piece of their names
# of a model without LoRA, all of whose language model is trained; a tied output layer goes with the embedding
FULL_PARTS = {"projector": "multi_modal_projector.", "language": "language_model.", "head": "lm_head."}

Model = LlavaForConditionalGeneration | PeftModel


def compose(
    encoder: PreTrainedModel | Path | str,
    backbone: PreTrainedModel | Path | str,
    prompter: Prompter,
    *,
    seed: int,
    feature_layer: int = -2,
    dtype: torch.dtype = torch.float32,
) -> LlavaForConditionalGeneration:
    """Compose a LLaVA model from a vision encoder and any causal language model: eval mode, all frozen but the
    projector.

    Args:
        encoder: a vision model, its folder or hub id (of a whole CLIP, its vision part is taken).
        backbone: a causal language model, its folder or hub id. A loaded model is taken over, not copied; its linear
            layers may be in 4 bits. Where the tokenizer has more entries than the embedding, new rows are added, each
            the mean of the old ones.
        prompter: number of image tokens; image token, padding and stop ids.
        seed: initialises the projector (as ``nn.Linear`` does); the global random state is left alone.
        feature_layer: which of the encoder's hidden states is used (-2 in LLaVA-1.5). A class token is dropped where
            the encoder has one.
        dtype: of encoder and language model; the projector is float32 always.

    Raises:
        ValueError: the encoder gives another number of tokens than the prompter expects; a language model whose output
            layer has a bias, which LLaVA cannot hold.
    """
    tower = encoder if isinstance(encoder, PreTrainedModel) else load_vision_model(encoder)
    language = (
        backbone
        if isinstance(backbone, PreTrainedModel)
        else AutoModelForCausalLM.from_pretrained(backbone, dtype=dtype, use_safetensors=True)
    )
    head = language.get_output_embeddings()
    if not isinstance(head, nn.Linear) or head.bias is not None:
        raise ValueError(
            f"{type(language).__name__}: expected a linear output layer without bias, found {head}"
        )
    _enlarge_vocabulary(language, len(prompter.tokenizer))
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_index=prompter.image_token_id,
        image_seq_length=prompter.image_tokens,
        vision_feature_layer=feature_layer,
        vision_feature_select_strategy="default" if has_class_token(tower) else "full",
    )
    with torch.device("meta"):  # the shell only: every weight comes from the parts
        model = LlavaForConditionalGeneration(config)
    if type(model.model.language_model) is not type(language.base_model):
        raise ValueError(
            f"{type(language).__name__}: LLaVA would use {type(model.model.language_model).__name__} inside, found "
            f"{type(language.base_model).__name__}; expected a plain text model"
        )
    model.model.vision_tower = tower
    model.model.language_model = language.base_model
    model.lm_head = language.get_output_embeddings()
    model.is_loaded_in_4bit = getattr(language, "is_loaded_in_4bit", False)  # peft asks the whole model
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        with torch.device("cpu"):  # the same numbers on every machine
            projector = LlavaMultiModalProjector(config)
    model.model.multi_modal_projector = projector.to(next(tower.parameters()).device)
    model.generation_config = GenerationConfig(
        bos_token_id=prompter.bos_id, eos_token_id=list(prompter.eos_ids), pad_token_id=prompter.pad_id
    )
    _cast(model.model.vision_tower, torch.float32)
    _require_image_tokens(model, prompter)
    for part in (model.model.vision_tower, model.model.language_model, model.lm_head):
        _cast(part, dtype)
    model.eval().requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    return model


def add_lora(
    model: LlavaForConditionalGeneration,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    seed: int,
    targets: Sequence[str] = (),
) -> PeftModel:
    """Put LoRA on linear layers of the language model, and of nothing else; the projector stays trainable as it is.

    Args:
        targets: last names of the layers; none named means all of them, whatever the architecture calls them
            (peft's ``all-linear`` would also hit the encoder and the projector).
        seed: initialises the A matrices (B is zero); the global random state is left alone.

    Raises:
        ValueError: a target that is no linear layer of the language model, or a language model without any.
    """
    linear = linear_layers(model)
    unknown = sorted(set(targets) - linear)
    if unknown or not linear:
        raise ValueError(
            f"LoRA target '{', '.join(unknown[:1])}' is no linear layer of the language model: "
            f"{', '.join(sorted(linear)) or 'it has none that are torch.nn.Linear'}"
        )
    targets = sorted(targets or linear)
    pattern = rf"model\.language_model\..*\.({'|'.join(map(re.escape, targets))})"
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=pattern, bias="none")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers for a renamed attribute
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, config)
    set_trainable(wrapped, tuple(PARTS))
    return wrapped


def linear_layers(model: LlavaForConditionalGeneration) -> set[str]:
    """Last names of the language model's linear layers, its output layer apart, as this architecture calls them."""
    modules = model.model.language_model.named_modules()
    return {name.rsplit(".", 1)[-1] for name, module in modules if isinstance(module, nn.Linear)}


def llava(model: Model) -> LlavaForConditionalGeneration:
    """The LLaVA model itself, with LoRA inside its layers where it has been added."""
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


def merge_lora(model: Model) -> LlavaForConditionalGeneration:
    """Add LoRA to the weights and return the plain LLaVA model, ready for ``save_pretrained``; uses ``model`` up."""
    merged: Any = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return merged


def trained_parts(model: Model) -> dict[str, str]:
    """What can be trained of a model, by a piece of the names: beside the projector LoRA where it has been added, else
    the whole language model."""
    return PARTS if isinstance(model, PeftModel) else FULL_PARTS


def set_trainable(model: Model, parts: Sequence[str]) -> None:
    """Make exactly these parts trainable: ``["projector"]`` to align, all of :func:`trained_parts` to finetune.

    Raises:
        ValueError: an unknown part.
    """
    known = trained_parts(model)
    unknown = sorted(set(parts) - set(known))
    if unknown:
        raise ValueError(f"no part '{unknown[0]}' to train; there are: {', '.join(known)}")
    for name, parameter in llava(model).named_parameters():
        parameter.requires_grad_(any(known[part] in name for part in parts))


def parameter_groups(model: Model) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters of each part, for the groups of an optimizer; a part without any is an empty list.

    Raises:
        ValueError: something else is trainable.
    """
    known = trained_parts(model)
    groups: dict[str, list[nn.Parameter]] = {part: [] for part in known}
    for name, parameter in llava(model).named_parameters():
        if parameter.requires_grad:
            part = next((part for part, piece in known.items() if piece in name), None)
            if part is None:
                raise ValueError(f"'{name}' is trainable; expected only {' and '.join(known)}")
            groups[part].append(parameter)
    return groups


def trained_state(model: Model) -> dict[str, Tensor]:
    """Weights of :func:`trained_parts` by name, detached and not copied: what a checkpoint and a run folder keep."""
    pieces = trained_parts(model).values()
    return {
        name: parameter.detach()
        for name, parameter in llava(model).named_parameters()
        if any(piece in name for piece in pieces)
    }


def load_trained_state(model: Model, state: dict[str, Tensor]) -> None:
    """Put weights of :func:`trained_state` back, in place.

    Raises:
        ValueError: names that are missing or unknown, or another shape.
    """
    own = trained_state(model)
    for name in [*own, *state]:
        here, there = (tuple(s[name].shape) if name in s else None for s in (own, state))
        if here != there:
            raise ValueError(
                f"weight '{name}': the model has shape {here}, the saved state {there} (None: absent)"
            )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(state[name])


def _enlarge_vocabulary(language: PreTrainedModel, entries: int) -> None:
    embedding: Any = language.get_input_embeddings()
    old = embedding.weight.shape[0]
    if entries <= old:
        return
    with torch.random.fork_rng():  # the new rows are drawn first and then written over
        language.resize_token_embeddings(entries, mean_resizing=False)
    with torch.no_grad():  # the mean of the old rows: no randomness, and no new token stands out
        layers: Any = language.get_input_embeddings(), language.get_output_embeddings()
        for layer in layers:
            layer.weight[old:] = layer.weight[:old].mean(0)


def _cast(module: nn.Module, dtype: torch.dtype) -> None:
    """Weights to a dtype, and weights only: rotary frequencies, which are buffers, would lose their precision. Weights
    in 4 bits, which lie in integers, stay as they are."""
    for weight in module.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.to(dtype)


def _require_image_tokens(model: LlavaForConditionalGeneration, prompter: Prompter) -> None:
    vision: Any = model.config.vision_config
    image = torch.zeros(1, getattr(vision, "num_channels", 3), vision.image_size, vision.image_size)
    image = image.to(next(model.model.vision_tower.parameters()).device)
    with torch.inference_mode():
        features: Any = model.get_image_features(image)
    found = len(features.pooler_output[0])
    if found != prompter.image_tokens:
        raise ValueError(
            f"the encoder gives {found} tokens for an image; the prompter expects {prompter.image_tokens}"
        )
