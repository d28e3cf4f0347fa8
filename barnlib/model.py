"""The vision-language model: composition, LoRA, and the loss of a packed batch.

In:  an encoder, a causal language model and a :class:`~barnlib.prompts.Prompter`; then a
     :class:`~barnlib.packing.PackedBatch` and the table of cached features.
Out: a model; losses and log-probabilities in nats; greedy answers; hidden states. Preflight, finetuning, prediction and
     export build on it.

Shapes: B images in a batch, L positions, N branches (turns, in the order of the groups given to ``pack``), T image
tokens, W encoder width, D hidden width and V vocabulary of the backbone.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
)
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaMultiModalProjector

from barnlib.key_values import roomy_cache
from barnlib.packing import IGNORED, PADDING, PREFIX, PackedBatch
from barnlib.prompts import Prompter

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PARTS = {"projector": "multi_modal_projector.", "lora": ".lora_"}  # trained parts, by a piece of their names

Model = LlavaForConditionalGeneration | PeftModel


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


def compose(
    encoder: PreTrainedModel | Path | str,
    backbone: PreTrainedModel | Path | str,
    prompter: Prompter,
    *,
    seed: int,
    feature_layer: int = -2,
    feature_select: str = "default",
) -> LlavaForConditionalGeneration:
    """Compose a LLaVA model from a vision encoder and any causal language model: float32, eval mode, all frozen but the
    projector.

    Args:
        encoder: a vision model, its folder or hub id (of a whole CLIP, its vision part is taken).
        backbone: a causal language model, its folder or hub id. A loaded model is taken over, not copied. Where the
            tokenizer has more entries than the embedding, new rows are added, each the mean of the old ones.
        prompter: number of image tokens; image token, padding and stop ids.
        seed: initialises the projector (as ``nn.Linear`` does); the global random state is left alone.
        feature_layer: which of the encoder's hidden states is used (-2 in LLaVA-1.5).
        feature_select: "default" drops the class token, "full" keeps all tokens (encoders without one).

    Raises:
        ValueError: the encoder gives another number of tokens than the prompter expects; a language model whose output
            layer has a bias, which LLaVA cannot hold.
    """
    tower = encoder if isinstance(encoder, PreTrainedModel) else _load_encoder(encoder)
    language = backbone if isinstance(backbone, PreTrainedModel) else _load(AutoModelForCausalLM, backbone)
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
        vision_feature_select_strategy=feature_select,
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
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model.model.multi_modal_projector = LlavaMultiModalProjector(config)
    model.generation_config = GenerationConfig(
        bos_token_id=prompter.bos_id, eos_token_id=list(prompter.eos_ids), pad_token_id=prompter.pad_id
    )
    model.float().eval().requires_grad_(False)
    model.model.multi_modal_projector.requires_grad_(True)
    _require_image_tokens(model, prompter)
    return model


def add_lora(
    model: LlavaForConditionalGeneration,
    *,
    rank: int,
    alpha: int,
    dropout: float,
    seed: int,
    targets: Sequence[str] = LORA_TARGETS,
) -> PeftModel:
    """Put LoRA on linear layers of the language model, and of nothing else; the projector stays trainable as it is.

    Args:
        targets: last names of the layers (``all-linear`` would also hit the encoder and the projector).
        seed: initialises the A matrices (B is zero); the global random state is left alone.

    Raises:
        ValueError: a target that is no linear layer of the language model.
    """
    linear = {
        name.rsplit(".", 1)[-1]
        for name, m in model.model.language_model.named_modules()
        if isinstance(m, nn.Linear)
    }
    unknown = sorted(set(targets) - linear)
    if unknown:
        raise ValueError(
            f"LoRA target '{unknown[0]}' is no linear layer of the language model: {', '.join(sorted(linear))}"
        )
    pattern = rf"model\.language_model\..*\.({'|'.join(map(re.escape, targets))})"
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=pattern, bias="none")
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 asks transformers for a renamed attribute
        torch.manual_seed(seed)
        wrapped = get_peft_model(model, config)
    set_trainable(wrapped, tuple(PARTS))
    return wrapped


def llava(model: Model) -> LlavaForConditionalGeneration:
    """The LLaVA model itself, with LoRA inside its layers where it has been added."""
    inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
    return inner


def merge_lora(model: Model) -> LlavaForConditionalGeneration:
    """Add LoRA to the weights and return the plain LLaVA model, ready for ``save_pretrained``; uses ``model`` up."""
    merged: Any = model.merge_and_unload() if isinstance(model, PeftModel) else model
    return merged


def set_trainable(model: Model, parts: Sequence[str]) -> None:
    """Make exactly these parts trainable: ``["projector"]`` to align, ``["projector", "lora"]`` to finetune.

    Raises:
        ValueError: an unknown part.
    """
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f"no part '{unknown[0]}' to train; there are: {', '.join(PARTS)}")
    for name, parameter in llava(model).named_parameters():
        parameter.requires_grad_(any(PARTS[part] in name for part in parts))


def parameter_groups(model: Model) -> dict[str, list[nn.Parameter]]:
    """Trainable parameters of each part, for the groups of an optimizer; a part without any is an empty list.

    Raises:
        ValueError: something else is trainable.
    """
    groups: dict[str, list[nn.Parameter]] = {part: [] for part in PARTS}
    for name, parameter in llava(model).named_parameters():
        if parameter.requires_grad:
            part = next((part for part, piece in PARTS.items() if piece in name), None)
            if part is None:
                raise ValueError(f"'{name}' is trainable; expected only {' and '.join(PARTS)}")
            groups[part].append(parameter)
    return groups


def trained_state(model: Model) -> dict[str, Tensor]:
    """Weights of projector and LoRA by name, detached and not copied: what a checkpoint and a run folder keep."""
    return {
        name: parameter.detach()
        for name, parameter in llava(model).named_parameters()
        if any(piece in name for piece in PARTS.values())
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
    with _evaluating(model):
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
    with _evaluating(model):
        likelihood, output = _likelihood(model, packed, features, output_hidden_states=True)
        answer = packed.labels != IGNORED
        number = packed.numbers()[answer]
        before_answer = F.pad(~answer[:, :-1] & answer[:, 1:], (0, 1))
        is_image = packed.input_ids == packed.image_token_id
        found: dict[str, list[Tensor]] = {"last_prompt_token": [], "image_mean": [], "answer_mean": []}
        for layer in output.hidden_states:  # float32[B, L, D]
            found["last_prompt_token"].append(layer[before_answer])
            image = layer[is_image].view(len(layer), packed.image_tokens, -1).mean(1)
            found["image_mean"].append(image.repeat_interleave(packed.counts, 0))
            total = layer.new_zeros(len(likelihood.branch_nats), layer.shape[-1]).index_add_(
                0, number, layer[answer]
            )
            found["answer_mean"].append(total / likelihood.branch_tokens[:, None])
        return likelihood, {name: torch.stack(layers) for name, layers in found.items()}


def greedy(model: Model, packed: PackedBatch, features: Tensor, max_new_tokens: int) -> Answers:
    """Greedy answers of all branches, decoded together with one key-value cache.

    In every step each unfinished branch of a row adds one key to the row's cache; the mask keeps branches apart. Rows
    in which every branch has ended are dropped. The ids are those of ``generate``, sample by sample; it stops where
    ``generate`` does, at the ids of ``generation_config.eos_token_id``.

    Args:
        packed: packed without answers.

    Raises:
        ValueError: a batch with answers; features that do not fit; positions beyond the backbone's context.
    """
    if bool((packed.labels != IGNORED).any()):
        raise ValueError(
            "the batch holds answers; expected one packed without, because they would be read, not written"
        )
    with _evaluating(model):
        return _decode(llava(model), packed, features, max_new_tokens)


def _decode(
    model: LlavaForConditionalGeneration, packed: PackedBatch, features: Tensor, max_new_tokens: int
) -> Answers:
    inputs = _inputs(model, packed, features, packed.longest + max_new_tokens)
    cache = roomy_cache()
    logits = model(**inputs, past_key_values=cache, logits_to_keep=packed.ends()).logits  # [N, V]
    stops = torch.tensor(stop_ids(model), device=logits.device)
    count = len(logits)
    row = torch.arange(len(packed.counts), device=logits.device).repeat_interleave(packed.counts)
    branch = packed.branch[packed.ends()]
    position = packed.position_ids[packed.ends()] + 1
    keys = packed.branch  # int64[B, S], to which branch each key in the cache belongs
    ids = torch.full((count, max_new_tokens), -1, device=logits.device)
    logprobs = torch.zeros(count, max_new_tokens, device=logits.device)
    running = torch.arange(count, device=logits.device)  # branches not ended yet, in order
    for step in range(max_new_tokens):
        token = logits.argmax(-1)
        ids[running, step] = token
        logprobs[running, step] = logits.float().log_softmax(-1).gather(1, token[:, None])[:, 0]
        going = ~torch.isin(token, stops)
        running, token = running[going], token[going]
        if len(running) == 0 or step == max_new_tokens - 1:
            break
        alive, row[running] = torch.unique_consecutive(row[running], return_inverse=True)
        if len(alive) < len(keys):
            cache.batch_select_indices(alive)
            keys = keys[alive]
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
    per_row = torch.bincount(row, minlength=len(keys))
    slot = torch.arange(len(row), device=row.device) - (per_row.cumsum(0) - per_row)[row]
    shape = len(keys), int(per_row.max())
    new, ids, positions = (torch.full(shape, fill, device=row.device) for fill in (PADDING, 0, 0))
    new[row, slot], ids[row, slot], positions[row, slot] = branch, token, position
    keys = torch.cat([keys, new], 1)
    seen = (keys[:, None] == PREFIX) | (
        keys[:, None] == new[:, :, None]
    )  # a padding slot sees padding: never empty
    output = model(
        input_ids=ids,
        position_ids=positions,
        attention_mask=_mask(seen[:, None], model),
        past_key_values=cache,
        logits_to_keep=new != PADDING,
    )
    return output.logits, keys


def _likelihood(model: Model, packed: PackedBatch, features: Tensor, **extra: Any) -> tuple[Likelihood, Any]:
    target = F.pad(packed.labels[:, 1:], (0, 1), value=IGNORED)  # what each position has to predict
    keep = target != IGNORED
    if not bool(keep.any()):
        raise ValueError("no position of the batch is supervised; expected groups packed with answers")
    inner = llava(model)
    output = inner(
        **_inputs(inner, packed, features, packed.longest), logits_to_keep=keep, use_cache=False, **extra
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


def _inputs(
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
        "attention_mask": _mask(packed.attention_mask, model),
        "mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=projected)},
    }


def _mask(seen: Tensor, model: LlavaForConditionalGeneration) -> Tensor:
    """A boolean mask in the form that the backbone's attention takes: SDPA (a little faster so) as it is, eager
    attention as numbers to add, because it would add True and False as 1 and 0."""
    if _inner(model).language_model.config._attn_implementation == "sdpa":
        return seen
    dtype = model.lm_head.weight.dtype
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(
        ~seen, torch.finfo(dtype).min
    )


def _inner(model: LlavaForConditionalGeneration) -> Any:
    """Encoder, projector and language model; torch gives attributes of a module no type."""
    return model.model


def _text_config(model: LlavaForConditionalGeneration) -> Any:
    return model.config.text_config


def stop_ids(model: Model) -> list[int]:
    """Ids at which ``generate`` and :func:`greedy` stop."""
    ids: Any = llava(model).generation_config.eos_token_id
    return [ids] if isinstance(ids, int) else list(ids)


@contextmanager
def _evaluating(model: Model) -> Iterator[None]:
    """Eval mode without gradient, and the mode from before afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


def _load(auto: Any, source: Path | str) -> PreTrainedModel:
    return auto.from_pretrained(source, dtype=torch.float32, use_safetensors=True)


def _load_encoder(source: Path | str) -> PreTrainedModel:
    whole = _load(AutoModel, source)
    return getattr(whole, "vision_model", whole)  # of a CLIP or SigLIP, the half that sees


def _enlarge_vocabulary(language: PreTrainedModel, entries: int) -> None:
    embedding: Any = language.get_input_embeddings()
    old = embedding.weight.shape[0]
    if entries <= old:
        return
    language.resize_token_embeddings(entries, mean_resizing=False)
    with torch.no_grad():  # the mean of the old rows: no randomness, and no new token stands out
        layers: Any = language.get_input_embeddings(), language.get_output_embeddings()
        for layer in layers:
            layer.weight[old:] = layer.weight[:old].mean(0)


def _require_image_tokens(model: LlavaForConditionalGeneration, prompter: Prompter) -> None:
    vision: Any = model.config.vision_config
    image = torch.zeros(1, getattr(vision, "num_channels", 3), vision.image_size, vision.image_size)
    with torch.inference_mode():
        features: Any = model.get_image_features(image)
    found = len(features.pooler_output[0])
    if found != prompter.image_tokens:
        raise ValueError(
            f"the encoder gives {found} tokens for an image; the prompter expects {prompter.image_tokens}"
        )
