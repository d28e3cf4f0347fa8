"""What a run is put together from: tokenizer, model, features and items of one study and one backbone.

In:  a study, the name of a backbone, a seed.
Out: :class:`Parts`, and the composed or the trained model, for finetune.py, predict.py and export.py.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlavaForConditionalGeneration,
    PreTrainedModel,
)

from barnlib import features
from barnlib.artefacts import read_json
from barnlib.components import Backbone, checkpoint_path, existing_checkpoint
from barnlib.controls import encoder_folder
from barnlib.data.records import Item
from barnlib.data.turns import Turn
from barnlib.hub import local_folder
from barnlib.model import Model, add_lora, compose, load_trained_state, merge_lora
from barnlib.parameters import load_backbone, load_encoder
from barnlib.prompts import Prompter, reserve_tokens
from barnlib.quantisation import dequantised, load_quantised, quantised_digest
from barnlib.real_tokenizers import load_tokenizer
from barnlib.study import Study

WEIGHTS = "trained.safetensors"  # projector and LoRA (or the whole language model), in a run's folder
TABLE_ON_DEVICE = (
    4 * 2**30
)  # bytes of features that are kept on the GPU; more of them stay in the machine's memory


@dataclass(frozen=True)
class Parts:
    """What every run of one backbone in one study shares.

    Attributes:
        study, backbone: the parameters.
        prompter: makes the token ids.
        cached: the features of every picture.
    """

    study: Study
    backbone: Backbone
    prompter: Prompter
    cached: features.Features

    @cached_property
    def device(self) -> torch.device:
        """The GPU where there is one, else the CPU."""
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def table(self) -> Tensor:
        """float[N + 1, T, W]: a row for every picture, and last the blank image; on the device unless it is large."""
        table = torch.cat([self.cached.values, self.cached.blank[None]])
        return table.to(self.device) if table.nbytes <= TABLE_ON_DEVICE else table

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each image in ``table``."""
        return {image: row for row, image in enumerate(self.cached.images)}

    @property
    def blank_row(self) -> int:
        """Row of the blank image in ``table``."""
        return len(self.cached.images)

    @cached_property
    def checkpoint(self) -> Path:
        """The backbone's folder."""
        return local_folder(checkpoint_path(self.backbone.checkpoint))

    @cached_property
    def encoder(self) -> Path:
        """The encoder's folder."""
        return encoder_folder(load_encoder(self.study.encoder.name, self.study.scale))

    @property
    def precision(self) -> torch.dtype:
        """What training computes in."""
        return getattr(torch, self.study.compute.precision)

    def computing(self) -> AbstractContextManager:
        """Where training's forward runs in another precision than float32: trained weights stay float32."""
        if self.precision == torch.float32:
            return nullcontext()
        # without its cache, which would let a step within be taken and never be seen, and would keep a copy of weights
        # that are shared out again after use
        return torch.autocast(self.device.type, self.precision, cache_enabled=False)


def assemble(study: Study, backbone: str) -> Parts:
    """Tokenizer and features of a backbone in a study; builds data and features where needed.

    Raises:
        ValueError: a backbone that the study does not name or that has no checkpoint at its scale, and everything
            that data, features and :class:`Prompter` refuse.
    """
    if backbone not in study.backbones:
        raise ValueError(
            f"backbone '{backbone}' is not part of study '{study.name}', which compares {', '.join(study.backbones)}"
        )
    chosen = load_backbone(backbone, study.scale)
    folder = local_folder(existing_checkpoint(chosen))
    tokenizer = load_tokenizer(folder)
    cached = features.load(study)
    reserve_tokens(tokenizer)
    prompter = Prompter(tokenizer, study.prompt.arm, cached.values.shape[1], stop_ids(folder))
    return Parts(study, chosen, prompter, cached)


def stop_ids(checkpoint: Path) -> list[int]:
    """Ids that end an answer as the checkpoint's own generation configuration says; none where it has none."""
    try:
        ids = GenerationConfig.from_pretrained(checkpoint).eos_token_id
    except OSError:
        return []
    if ids is None:
        return []
    return [ids] if isinstance(ids, int) else list(ids)


def model_to_train(parts: Parts, seed: int) -> Model:
    """The composed model with a new projector and new LoRA, both drawn from the seed; without LoRA where the whole
    language model is finetuned. Frozen weights are as :func:`language_to_train` holds them, what is trained is float32.
    It lies in the machine's memory, apart from weights in 4 bits.
    """
    return _composed(parts, language_to_train(parts), seed, parts.precision)


def language_to_train(parts: Parts) -> PreTrainedModel:
    """The bare language model as training holds it: in the study's precision, its linear layers in 4 bits where the
    study says `qlora`; in float32 where all of it is trained.

    Raises:
        ValueError: as :func:`barnlib.quantisation.load_quantised`.
    """
    method = parts.study.finetune.method
    if method == "qlora":
        return load_quantised(parts.checkpoint, parts.precision, parts.device)
    dtype = torch.float32 if method == "full" else parts.precision
    return AutoModelForCausalLM.from_pretrained(parts.checkpoint, dtype=dtype, use_safetensors=True)


def adapted_model(parts: Parts, folder: Path) -> Model:
    """The trained model of a run on the device, in float32, LoRA beside its weights; of a run on 4 bits a weight, these
    are the numbers that training saw.

    Args:
        folder: the run's folder, as finetune.train_run returns it.

    Raises:
        ValueError: quantising gives other 4-bit weights here than those that the run was trained on.
    """
    language: PreTrainedModel | Path = parts.checkpoint
    if parts.study.finetune.method == "qlora":
        quantised = language_to_train(parts)
        _require_quantised_alike(quantised, folder)
        language = dequantised(quantised)
    model = _composed(parts, language, 0, torch.float32).to(parts.device)
    load_trained_state(model, load_file(folder / WEIGHTS, device=str(parts.device)))
    return model


def trained_model(parts: Parts, folder: Path) -> LlavaForConditionalGeneration:
    """The trained model of a run, LoRA merged into its weights, in eval mode: what is evaluated and what is exported.

    Args:
        folder: the run's folder, as finetune.train_run returns it.

    Raises:
        ValueError: as :func:`adapted_model`.
    """
    return merge_lora(adapted_model(parts, folder)).eval()


def turns_by_image(items: Iterable[Item]) -> dict[str, list[Turn]]:
    """Questions and answers on each image, with the turns before them, in the order of the items."""
    turns: dict[str, list[Turn]] = {}
    for item in items:
        turns.setdefault(item.image, []).append(item.turn)
    return turns


def _composed(parts: Parts, language: PreTrainedModel | Path, seed: int, dtype: torch.dtype) -> Any:
    study, lora = parts.study, parts.study.finetune.lora
    full = study.finetune.method == "full"
    model = compose(
        parts.encoder,
        language,
        parts.prompter,
        seed=seed,
        feature_layer=study.encoder.layer,
        dtype=torch.float32 if full else dtype,
    )
    if full:
        return model
    return add_lora(model, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, seed=seed)


def _require_quantised_alike(language: PreTrainedModel, folder: Path) -> None:
    ledger = folder / "ledger.json"
    expected, found = read_json(ledger)["backbone_model"]["quantised"], quantised_digest(language)
    if found != expected:
        raise ValueError(
            f"{ledger}: the run was trained on 4-bit weights with digest {expected[:12]}, and quantising gives "
            f"{found[:12]} here; use the kind of device and the version of bitsandbytes that trained it"
        )
