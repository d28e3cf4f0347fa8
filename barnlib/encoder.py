"""The vision encoder: a small CLIP, trained from scratch on captions and on the phrases of picture parts.

In:  pictures of the training distribution (never a test picture, a held-out attribute pair or a held-out region),
     drawn from a seed of their own, and ``params/encoders/NAME.yaml``.
Out: an ordinary Hugging Face ``CLIPModel`` folder with tokenizer, image processor and ``card.json``, which
     :mod:`barnlib.features` turns into cached features.

Two contrastive losses are added. The first is CLIP's, picture against dense caption (Radford et al. 2021, arXiv
2103.00020, figure 3). The second sets each phrase against the patches that it names, as in GLIP (Li et al. 2022,
arXiv 2112.03857, section 3.1), because what LLaVA reads is the patches.

``python -m barnlib.encoder clip`` makes the encoder of scale nano again, ``--scale small`` that of scale small; it
goes on where an interrupted one stopped. One device is used: the first GPU, in bfloat16 autocast, or else the CPU, in
float32. A batch is never computed in pieces: each picture is told apart from all others of its batch.
"""

import argparse
import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

from barnlib import checkpoints, devices
from barnlib.artefacts import build_once, digest, single_writer, write_json
from barnlib.command_line import one_sentence
from barnlib.components import Scale
from barnlib.data.pictures import generator, picture
from barnlib.data.records import KINDS, Picture
from barnlib.geometry import patch_weights
from barnlib.hub import require_disk
from barnlib.parameters import load_encoder
from barnlib.paths import ROOT, runs_root
from barnlib.recipes import EncoderRecipe
from barnlib.vision import image_processor, normalise

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 180
TEXT_LENGTH = 77
PHRASES = 4  # of each picture, at most, in one step
# <end> must not have id 2: transformers then reads the text at the largest id, as OpenAI's first CLIP did.
SPECIAL = ("<pad>", "<unk>", "<start>", "<end>")


def text_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A word-level tokenizer over the texts' words and numbers, with start and end tokens."""
    normalizer = normalizers.Lowercase()
    split = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    words = sorted({word for text in texts for word, _ in split.pre_tokenize_str(text.lower())})
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer = normalizer, split
    core.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(mark, vocabulary[mark]) for mark in ("<start>", "<end>")]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=TEXT_LENGTH,
    )


def new_clip(recipe: EncoderRecipe, tokenizer: PreTrainedTokenizerFast) -> CLIPModel:
    """A CLIP of the recipe's shape with random weights; the global torch seed decides them."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": recipe.hidden_size,
        "intermediate_size": 4 * recipe.hidden_size,
        "num_hidden_layers": recipe.text_layers,
        "num_attention_heads": recipe.attention_heads,
        "max_position_embeddings": TEXT_LENGTH,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "image_size": recipe.image_size,
        "patch_size": recipe.patch_size,
        "hidden_size": recipe.hidden_size,
        "intermediate_size": 4 * recipe.hidden_size,
        "num_hidden_layers": recipe.layers,
        "num_attention_heads": recipe.attention_heads,
    }
    return CLIPModel(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=recipe.projection_size)
    )


def contrast(
    left: torch.Tensor, right: torch.Tensor, scale: torch.Tensor, same: torch.Tensor
) -> torch.Tensor:
    """Symmetric InfoNCE of float[N, D] pairs; ``same`` (bool[N, N]) marks equal texts, which are no negatives.

    In float32 always: with the largest scale of 100, bfloat16 would round logits to half a unit.
    """
    with torch.autocast(left.device.type, enabled=False):
        logits = scale * F.normalize(left.float(), dim=-1) @ F.normalize(right.float(), dim=-1).T
    others = same & ~torch.eye(len(left), dtype=torch.bool, device=left.device)
    logits = logits.masked_fill(others, float("-inf"))
    target = torch.arange(len(left), device=left.device)
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2


class ContrastiveTrainer(nn.Module):
    """CLIP with the head of the phrase loss, which is thrown away after training."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        width, projection = clip.visual_projection.in_features, clip.visual_projection.out_features
        self.clip = clip
        self.phrase_head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, projection))
        self.phrase_text_head = nn.Linear(clip.text_projection.in_features, projection)
        self.phrase_scale = nn.Parameter(torch.tensor(2.6593))  # CLIP's own start, ln(1 / 0.07)

    def forward(
        self, pixels: torch.Tensor, captions: dict, phrases: dict, rows: torch.Tensor, weights: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Caption loss and phrase loss.

        Args:
            pixels: float32[B, 3, H, W].
            captions, phrases: tokenizer outputs for B captions and P phrases.
            rows: int64[P], which picture each phrase belongs to.
            weights: float32[P, T], the patches that each phrase names.
        """
        seen = self.clip.vision_model(pixels, output_hidden_states=True)
        image = self.clip.visual_projection(seen.pooler_output)
        caption = self.clip.text_projection(self.clip.text_model(**captions).pooler_output)
        scale = self.clip.logit_scale.exp().clamp(max=100)
        caption_loss = contrast(image, caption, scale, _equal(captions["input_ids"]))

        patches = seen.hidden_states[-2][:, 1:]  # the features that LLaVA reads
        named = torch.einsum("pt,ptd->pd", weights, patches[rows])
        phrase = self.phrase_text_head(self.clip.text_model(**phrases).pooler_output)
        phrase_scale = self.phrase_scale.exp().clamp(max=100)
        phrase_loss = contrast(self.phrase_head(named), phrase, phrase_scale, _equal(phrases["input_ids"]))
        return caption_loss, phrase_loss


@dataclass
class _Position:
    """Where the training of an encoder stands: what its checkpoints hold beside tensors."""

    rng: np.random.Generator
    step: int = 0
    seconds: float = 0.0
    order: list[int] = field(default_factory=list)  # pictures that are left of this pass
    sums: list[float] = field(default_factory=lambda: [0.0, 0.0])  # of both losses, over this pass
    history: list[dict[str, float]] = field(default_factory=list)

    def save(
        self, kept: Path, trainer: nn.Module, optimizer: torch.optim.Optimizer, schedule: OneCycleLR
    ) -> None:
        weights = {f"weight.{name}": tensor for name, tensor in trainer.state_dict().items()}
        groups = [{"lr": group["lr"], "betas": group["betas"]} for group in optimizer.param_groups]
        progress = {
            **{name: value for name, value in vars(self).items() if name != "rng"},
            "random": self.rng.bit_generator.state,
            "schedule": schedule.last_epoch,
            "groups": groups,
        }
        checkpoints.save(kept, self.step, weights | checkpoints.optimizer_state(optimizer), progress)

    def restore(
        self,
        tensors: Mapping[str, torch.Tensor],
        progress: Mapping[str, Any],
        trainer: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: OneCycleLR,
    ) -> None:
        own = {name for name in vars(self) if name != "rng"}
        vars(self).update({name: value for name, value in progress.items() if name in own})
        self.rng.bit_generator.state = progress["random"]
        state = {name: tensor for name, tensor in tensors.items() if name.startswith("optimizer.")}
        trainer.load_state_dict(
            {name.removeprefix("weight."): tensor for name, tensor in tensors.items() if name not in state}
        )
        checkpoints.load_optimizer_state(optimizer, state)
        for group, values in zip(optimizer.param_groups, progress["groups"], strict=True):
            group.update(values)
        schedule.last_epoch = progress["schedule"]


def train_clip(
    recipe: EncoderRecipe, pixels: np.ndarray, pictures: Sequence[Picture], folder: Path, kept: Path
) -> list[dict[str, float]]:
    """Train a CLIP on pictures and save it as a Hugging Face folder; goes on where an interrupted run left `kept`, on
    the CPU bit for bit.

    Args:
        pixels: uint8[N, H, W, 3].
        pictures: the N captions and phrases.
        folder: where ``CLIPModel``, tokenizer and image processor are saved (float16 safetensors).
        kept: folder of the unfinished training's checkpoints, for these very inputs.

    Returns:
        One row per epoch: epoch, caption_loss, phrase_loss (nats), seconds.

    Raises:
        ValueError: a loss is no longer finite.
    """
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    tokenizer = text_tokenizer(
        [t for p in pictures for t in (p.caption, *(phrase.text for phrase in p.phrases))]
    )
    device = devices.one_device()
    trainer = ContrastiveTrainer(new_clip(recipe, tokenizer)).train().to(device)
    grid = recipe.image_size // recipe.patch_size
    weights = [np.stack([patch_weights(phrase.box, grid) for phrase in p.phrases]) for p in pictures]
    per_epoch = len(pictures) // recipe.batch_images
    steps = max(1, int(recipe.epochs * per_epoch))
    optimizer = torch.optim.AdamW(
        trainer.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = OneCycleLR(optimizer, recipe.learning_rate, steps, pct_start=0.05)
    at = _Position(rng)
    if found := checkpoints.latest(kept):
        at.restore(*found, trainer, optimizer, schedule)
    start, saved = time.monotonic() - at.seconds, time.monotonic()
    for step in tqdm(range(at.step, steps), desc="encoder", initial=at.step, total=steps, mininterval=10):
        if len(at.order) < recipe.batch_images:
            at.order = rng.permutation(len(pictures)).tolist()
        batch, at.order = at.order[: recipe.batch_images], at.order[recipe.batch_images :]
        chosen = [rng.permutation(len(pictures[i].phrases))[:PHRASES] for i in batch]
        rows = torch.tensor([row for row, picked in enumerate(chosen) for _ in picked])
        named = np.concatenate([weights[i][picked] for i, picked in zip(batch, chosen, strict=True)])
        texts = [pictures[i].phrases[k].text for i, picked in zip(batch, chosen, strict=True) for k in picked]
        with devices.computing(device):
            losses = trainer(
                normalise(pixels[batch]).to(device),
                _tokens(tokenizer, [pictures[i].caption for i in batch], device),
                _tokens(tokenizer, texts, device),
                rows.to(device),
                torch.from_numpy(named).to(device),
            )
        optimizer.zero_grad()
        sum(losses).backward()
        nn.utils.clip_grad_norm_(trainer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        at.sums = [total + loss.item() for total, loss in zip(at.sums, losses, strict=True)]
        if not np.isfinite(at.sums).all():
            raise ValueError(
                f"encoder: the loss is not finite at step {step}; lower learning_rate in params/encoders"
            )
        at.step, at.seconds = step + 1, time.monotonic() - start
        if at.step % per_epoch == 0 or at.step == steps:
            means = [total / (step % per_epoch + 1) for total in at.sums]
            row = dict(zip(("caption_loss", "phrase_loss"), means, strict=True))
            at.history.append({"epoch": at.step / per_epoch, **row, "seconds": at.seconds})
            log.info("encoder %s", at.history[-1])
            at.sums = [0.0, 0.0]
        if time.monotonic() - saved > CHECKPOINT_SECONDS:
            at.save(kept, trainer, optimizer, schedule)
            saved = time.monotonic()
    trainer.clip.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor(recipe.image_size).save_pretrained(folder)
    return at.history


def draw_pictures(recipe: EncoderRecipe, path: Path) -> tuple[np.ndarray, list[Picture]]:
    """The encoder's own training pictures: uint8[2N, H, W, 3], mapped from the ``.npy`` file `path` that they are
    written to, and their captions and phrases.

    Raises:
        ValueError: a disk without room for them.
    """
    shape = (2 * recipe.pictures, recipe.image_size, recipe.image_size, 3)
    require_disk(path.parent, math.prod(shape), "the file of the encoder's training pictures")
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    pictures = []
    for number in tqdm(range(2 * recipe.pictures), desc="pictures", mininterval=10):
        kind = KINDS[number % 2]
        rng = generator("encoder", recipe.seed, kind, number)
        image, made = picture(kind, rng, recipe.image_size, f"encoder/{number}.png", held_out=False)
        pixels[number] = np.asarray(image)
        pictures.append(made)
    return pixels, pictures


def make_encoder(name: str, scale: str = "nano") -> Path:
    """Make the encoder NAME of a scale from scratch at its place in the repository (or find it there unchanged).

    Raises:
        ValueError: no such encoder, one without a recipe, or a folder that was changed after it was made.
        RuntimeError: another process makes it.
    """
    encoder = load_encoder(name, scale)
    recipe = encoder.recipe
    if recipe is None:
        raise ValueError(
            f"params/encoders/{name}.yaml: no recipe at scale {scale}; expected one to make the encoder from"
        )

    kept = runs_root() / "encoder" / digest(recipe)[:16]

    def build(folder: Path) -> None:
        kept.mkdir(parents=True, exist_ok=True)
        with single_writer(kept):
            pixels, pictures = draw_pictures(recipe, kept / "pixels.npy")
            history = train_clip(recipe, pixels, pictures, folder, kept)
        card = {
            "what": f"{scale} CLIP, trained from scratch for this study; a model in the style of CLIP, not CLIP",
            "data": f"{recipe.pictures} synthetic scenes and {recipe.pictures} synthetic event cards",
            "pictures_digest": digest([p.caption for p in pictures]),
            "recipe": recipe.model_dump(),
            "made_on": devices.described(devices.one_device()),
            "history": history,
        }
        write_json(folder / "card.json", card)

    return build_once(ROOT / encoder.checkpoint, {"recipe": recipe.model_dump()}, build)


def _tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], device: torch.device) -> dict:
    encoded = tokenizer(
        list(texts), padding=True, truncation=True, max_length=TEXT_LENGTH, return_tensors="pt"
    )
    return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}


def _equal(ids: torch.Tensor) -> torch.Tensor:
    """bool[N, N]: which rows of int64[N, L] are the same text."""
    _, inverse = torch.unique(ids, dim=0, return_inverse=True)
    return inverse[:, None] == inverse[None, :]


def main() -> None:
    """Command line: make one encoder where its YAML file says."""
    parser = argparse.ArgumentParser(description="Make a vision encoder from scratch.")
    parser.add_argument("encoder", help="name of a file in params/encoders")
    parser.add_argument("--scale", choices=get_args(Scale), default="nano", help="nano where none is named")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    with one_sentence():
        log.info("%s is in %s", arguments.encoder, make_encoder(arguments.encoder, arguments.scale))


if __name__ == "__main__":
    main()
