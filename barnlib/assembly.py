"""What a run is put together from: tokenizer, model, features and items of one study and one backbone.

In:  a study, the name of a backbone, a seed.
Out: :class:`Parts`, and the composed or the trained model, for finetune.py, predict.py and export.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoTokenizer, GenerationConfig, LlavaForConditionalGeneration

from barnlib import features
from barnlib.controls import encoder_folder
from barnlib.data.records import Item
from barnlib.model import add_lora, compose, load_trained_state, merge_lora
from barnlib.parameters import Backbone, Study, checkpoint_path, load_backbone, load_encoder
from barnlib.prompts import Prompter, reserve_tokens

WEIGHTS = "trained.safetensors"  # projector and LoRA, in a run's folder
Turns = list[tuple[str, str]]  # questions on one image and their answers


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
        """float32[N + 1, T, W] on the device: a row for every picture, and last the blank image."""
        return torch.cat([self.cached.values, self.cached.blank[None]]).to(self.device)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each image in ``table``."""
        return {image: row for row, image in enumerate(self.cached.images)}

    @property
    def blank_row(self) -> int:
        """Row of the blank image in ``table``."""
        return len(self.cached.images)

    @property
    def checkpoint(self) -> Path | str:
        """The backbone's folder or hub id."""
        return checkpoint_path(self.backbone.checkpoint)

    @property
    def encoder(self) -> Path | str:
        """The encoder's folder or hub id."""
        return encoder_folder(load_encoder(self.study.encoder.name, self.study.scale))


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
    checkpoint = checkpoint_path(chosen.checkpoint)
    if isinstance(checkpoint, str) and (checkpoint.startswith(("/", ".")) or checkpoint.count("/") != 1):
        made = f"; `python -m barnlib.pretrain {backbone}` makes it" if chosen.recipe else ""
        raise ValueError(
            f"params/backbones/{backbone}.yaml: key '{study.scale}.checkpoint': no folder '{checkpoint}'{made}; "
            "expected a folder relative to the repository, an absolute folder, or the id of a model on the hub"
        )
    cached = features.load(study)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    reserve_tokens(tokenizer)
    prompter = Prompter(tokenizer, study.prompt.arm, cached.values.shape[1], stop_ids(checkpoint))
    return Parts(study, chosen, prompter, cached)


def stop_ids(checkpoint: Path | str) -> list[int]:
    """Ids that end an answer as the checkpoint's own generation configuration says; none where it has none."""
    try:
        ids = GenerationConfig.from_pretrained(checkpoint).eos_token_id
    except OSError:
        return []
    if ids is None:
        return []
    return [ids] if isinstance(ids, int) else list(ids)


def untrained_model(parts: Parts, seed: int) -> PeftModel:
    """The composed model with a new projector and new LoRA, both drawn from the seed, on the device."""
    study, lora = parts.study, parts.study.finetune.lora
    model = compose(
        parts.encoder, parts.checkpoint, parts.prompter, seed=seed, feature_layer=study.encoder.layer
    )
    adapted = add_lora(model, rank=lora.rank, alpha=lora.alpha, dropout=lora.dropout, seed=seed)
    return adapted.to(parts.device)


def trained_model(parts: Parts, folder: Path) -> LlavaForConditionalGeneration:
    """The trained model of a run, LoRA merged into its weights, in eval mode: what is evaluated and what is exported.

    Args:
        folder: the run's folder, as finetune.train_run returns it.
    """
    model = untrained_model(parts, seed=0)
    load_trained_state(model, load_file(folder / WEIGHTS, device=str(parts.device)))
    return merge_lora(model).eval()


def turns_by_image(items: Iterable[Item]) -> dict[str, Turns]:
    """Questions and answers of each image, in the order of the items."""
    turns: dict[str, Turns] = {}
    for item in items:
        turns.setdefault(item.image, []).append((item.question, item.answer))
    return turns
