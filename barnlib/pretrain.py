"""Backbones from scratch: a small Llama in the style of a generation, trained on its own text.

In:  a backbone's ``Recipe`` (``params/backbones/NAME.yaml``), corpus.py and tokenization.py.
Out: an ordinary Hugging Face folder (configuration, float16 safetensors, tokenizer) with ``card.json``, which
     the study takes as its input, as it would take a real checkpoint.

``python -m barnlib.pretrain llama3`` makes the one of scale nano again, ``--scale small`` that of scale small. Training
goes on where an interrupted one stopped; text that was not complete is packed anew. One device is used: the first GPU,
in bfloat16 autocast, or else one thread of the CPU, in float32.

The text is packed into windows first: documents of the kinds `corpus.WHOLE` stand whole in one window, the
rest of it is filled with prose and structured text, which go on in the next window. Within a window attention
is causal and crosses documents; each starts with BOS and ends with EOS. Every position is supervised.
"""

import argparse
import hashlib
import logging
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
import transformers
from torch.nn import functional as F
from tqdm import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from barnlib import checkpoints, devices
from barnlib.artefacts import build_once, digest, file_digest, read_json, single_writer, write_json
from barnlib.command_line import one_sentence
from barnlib.components import Scale
from barnlib.corpus import KINDS, WHOLE, documents, sample_text
from barnlib.hub import require_disk
from barnlib.library_text import package_versions
from barnlib.parameters import load_backbone
from barnlib.paths import ROOT, runs_root
from barnlib.recipes import Recipe
from barnlib.text_probe import nats_per_byte, text_accuracy
from barnlib.tokenization import train_tokenizer

log = logging.getLogger(__name__)

VERSION = 2  # of what this module makes; a change makes existing folders anew
TOKENIZER_SEED, TOKENIZER_CHARACTERS = 20, 4_000_000
TOKENIZER_ENTRIES = 4096  # that so many characters are for; a larger vocabulary learns from as many more
ID_LIMIT = 2**16  # ids are kept in 16 bits
FORWARD_TOKENS = 16_384  # of one forward pass; the gradients of a larger batch are summed over several
WARMUP_STEPS, FINAL_RATE = 100, 0.1
BETAS, WEIGHT_DECAY, MAX_GRAD_NORM = (0.9, 0.95), 0.1, 1.0
CHECKPOINT_SECONDS = 180
CORPUS_NOTE = (
    "Texts of barnlib/corpus.py from the recipe's seed. Prose and code are docstrings and functions of the "
    "packages named here (BSD-3-Clause; ObsPy LGPL-3.0). Structured text is half code, half JSON records. "
    "It tells no scene and no earthquake that a study may draw (barnlib/data/reserve.py)."
)


def make_backbone(recipe: Recipe, folder: Path, characters: int | None = None) -> Path:
    """Make the backbone in `folder`, or find it there unchanged; returns the folder.

    On the CPU one thread, and the same recipe and package versions give the same weights on the same machine; on a GPU
    sums may be taken in another order.

    Args:
        recipe: everything that decides the backbone.
        folder: where the Hugging Face folder shall be.
        characters: how much text the tokenizer learns from; None takes `tokenizer_characters`.

    Raises:
        ValueError: the corpus cannot fill the vocabulary, the vocabulary is too large for windows, the disk has no room
            for them, or the folder was changed after it was made.
        RuntimeError: another process makes the same backbone.
    """
    characters = characters or tokenizer_characters(recipe)
    inputs = {"version": VERSION, "recipe": recipe.model_dump(), "characters": characters}
    work = runs_root() / "pretrain" / digest(inputs)[:16]
    work.mkdir(parents=True, exist_ok=True)

    def build(partial: Path) -> None:
        with single_writer(work):
            _build(recipe, partial, work, characters)

    return build_once(folder, inputs, build)


def _build(recipe: Recipe, folder: Path, work: Path, characters: int) -> None:
    torch.set_num_threads(1)
    if not (work / "counts.json").is_file():
        tokenizer = train_tokenizer(
            recipe.tokenizer, sample_text(corpus_shares(recipe), TOKENIZER_SEED, characters)
        )
        tokenizer.save_pretrained(work)
        write_json(work / "counts.json", pack_windows(recipe, tokenizer, work / "windows.npy")[1])
    tokenizer = PreTrainedTokenizerFast.from_pretrained(work)
    windows, counts = np.load(work / "windows.npy", mmap_mode="r"), read_json(work / "counts.json")
    log.info("%s: %s tokens in %d windows: %s", work, f"{windows.size:,}", len(windows), counts)
    device = devices.one_device()
    model: Any = new_llama(recipe, tokenizer)
    model.to(device)
    curve = train(model, windows, recipe, tokenizer.pad_token_id, work)
    model.half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    card = describe_backbone(folder, recipe, curve)
    card["corpus"] |= {"tokens": counts, "windows_sha256": hashlib.sha256(windows).hexdigest()}
    card["made_on"] = devices.described(device)
    card["tokenizer_text"] = {"seed": TOKENIZER_SEED, "characters": characters}
    write_json(folder / "card.json", card)


def describe_backbone(folder: Path, recipe: Recipe, curve: list[dict]) -> dict[str, Any]:
    """The card of a saved backbone: what it is, what it read, how it was trained, what it can do with text alone.

    Measured on the saved float16 weights, computed with in float32.
    """
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval().to(devices.one_device())
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    return {
        "what": "a small Llama made from scratch in the style of a LLaMA generation; none of Meta's models",
        "recipe": recipe.model_dump(),
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "weights_sha256": file_digest(folder / "model.safetensors"),
        "corpus": {
            "about": CORPUS_NOTE,
            "packages": package_versions(),
            "held_out_regions": "named in sentences about where regions lie, never in captions",
        },
        "optimiser": {
            "name": "AdamW",
            "betas": BETAS,
            "weight_decay": WEIGHT_DECAY,
            "max_grad_norm": MAX_GRAD_NORM,
            "warmup_steps": WARMUP_STEPS,
            "final_rate": FINAL_RATE,
        },
        "loss_curve_nats_per_token": curve,
        "nats_per_byte": {
            "train": nats_per_byte(model, tokenizer, recipe.seed, held_out=False),
            "held_out": nats_per_byte(model, tokenizer, recipe.seed, held_out=True),
        },
        "text_accuracy": text_accuracy(model, tokenizer, recipe.seed),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def corpus_shares(recipe: Recipe) -> dict[str, float]:
    """Share of each kind of text in tokens.

    Raises:
        ValueError: the shares do not add up to 1.
    """
    shares = {kind: float(getattr(recipe.corpus, kind)) for kind in KINDS}
    if abs(sum(shares.values()) - 1) > 1e-6:
        raise ValueError(f"the shares of the corpus add up to {sum(shares.values()):g}, not 1: {shares}")
    return shares


def tokenizer_characters(recipe: Recipe) -> int:
    """How much text a tokenizer of the recipe's vocabulary learns from."""
    return TOKENIZER_CHARACTERS * max(1, recipe.tokenizer.vocabulary // TOKENIZER_ENTRIES)


def new_llama(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of the recipe's shape in float32, its weights from the recipe's seed, embeddings not tied."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden_size,
        intermediate_size=recipe.intermediate_size,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.attention_heads,
        num_key_value_heads=recipe.key_value_heads,
        max_position_embeddings=recipe.context,
        rope_parameters={"rope_type": "default", "rope_theta": recipe.rope_base},
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        model = LlamaForCausalLM(config)
    model.generation_config.do_sample = False
    return model


def pack_windows(
    recipe: Recipe, tokenizer: PreTrainedTokenizerFast, path: Path
) -> tuple[np.ndarray, dict[str, int]]:
    """The whole training text as windows, written to a file one after another: memory holds none of it.

    The next document is of the kind that is furthest behind its share; where it must stay whole and the
    window has no room for it, the kind of running text that is further behind fills the window.

    Args:
        path: the ``.npy`` file to write.

    Returns:
        uint16[windows, sequence_tokens], mapped from the file, and the number of tokens of each kind.

    Raises:
        ValueError: more entries of the vocabulary than 16 bits count, or a disk without room.
    """
    if len(tokenizer) > ID_LIMIT:
        raise ValueError(
            f"windows hold ids of 16 bits: expected a vocabulary of at most {ID_LIMIT} entries, found {len(tokenizer)}"
        )
    length, shares = recipe.sequence_tokens, corpus_shares(recipe)
    total = recipe.corpus.tokens // length
    require_disk(path.parent, 2 * total * length, f"the training text of {total * length:,} tokens")
    streams = {kind: _encoded(kind, recipe.seed, tokenizer, length) for kind in KINDS if shares[kind] > 0}
    waiting = {kind: next(stream) for kind, stream in streams.items()}
    used = dict.fromkeys(streams, 0)
    running = [kind for kind in streams if kind not in WHOLE]
    windows = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint16, shape=(total, length))
    for window in tqdm(windows, desc="text", mininterval=10):
        window[:], filled = tokenizer.pad_token_id, 0
        while filled < length:
            done = sum(used.values()) + 1
            behind = {kind: shares[kind] - used[kind] / done for kind in streams}
            kind = max(behind, key=behind.__getitem__)
            room = length - filled
            if kind in WHOLE and len(waiting[kind]) > room:
                if not running:
                    break
                kind = max(running, key=behind.__getitem__)
            piece, rest = waiting[kind][:room], waiting[kind][room:]
            window[filled : filled + len(piece)] = piece
            filled += len(piece)
            used[kind] += len(piece)
            waiting[kind] = rest or next(streams[kind])
    return windows, used


def _encoded(kind: str, seed: int, tokenizer: PreTrainedTokenizerFast, length: int) -> Iterator[list[int]]:
    """Ids of one document after another, BOS and EOS around each; whole ones end after `length` ids."""
    for document in documents(kind, seed):
        ids = tokenizer(document.text, add_special_tokens=False).input_ids
        ids = [tokenizer.bos_token_id, *ids, tokenizer.eos_token_id]
        yield ids[:length] if kind in WHOLE else ids


def train(
    model: LlamaForCausalLM, windows: np.ndarray, recipe: Recipe, pad_id: int, work: Path
) -> list[dict]:
    """Train in place on the model's device, one pass over the windows; goes on where an interrupted run left its state
    in `work`, on the CPU bit for bit.

    AdamW, linear warm-up, cosine decay to `FINAL_RATE` of the learning rate, gradient clipping. A batch of more than
    `FORWARD_TOKENS` is computed in pieces, which changes its gradient by rounding only.

    Returns:
        the loss curve: one entry for each hundredth of the run with step, tokens, loss (nats per token).
    """
    rows = max(1, recipe.batch_tokens // recipe.sequence_tokens)
    device, piece = model.device, max(1, FORWARD_TOKENS // recipe.sequence_tokens)
    steps = len(windows) // rows
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=BETAS, weight_decay=WEIGHT_DECAY, fused=True
    )
    first, curve = 0, list[dict]()
    if kept := checkpoints.latest(work / "checkpoints"):
        first, curve = _restore(model, optimizer, *kept)
    every, saved, losses = max(1, steps // 100), time.monotonic(), []
    model.train()
    for step in tqdm(range(first, steps), desc="pretrain", initial=first, total=steps, mininterval=30):
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * rate(step, steps)
        batch = torch.from_numpy(windows[step * rows : (step + 1) * rows].astype(np.int64)).to(device)
        optimizer.zero_grad(set_to_none=True)
        losses.append(accumulate(model, batch, pad_id, piece))
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        optimizer.step()
        if (step + 1) % every == 0:
            tokens = (step + 1) * rows * recipe.sequence_tokens
            curve.append({"step": step + 1, "tokens": tokens, "loss": round(float(np.mean(losses)), 4)})
            log.info("step %d of %d: loss %.3f", step + 1, steps, curve[-1]["loss"])
            losses = []
        due = (step + 1) % every == 0 and time.monotonic() - saved > CHECKPOINT_SECONDS
        if due or step + 1 == steps:
            _save(model, optimizer, step + 1, curve, work)
            saved = time.monotonic()
    model.eval()
    return curve


def accumulate(model: LlamaForCausalLM, batch: torch.Tensor, pad_id: int, piece: int) -> float:
    """Add the gradient of a batch's mean loss to the weights, `piece` windows at a time.

    Each piece's mean weighs as many targets as it holds, so that the sum is the mean over the whole batch; a batch that
    is one piece is weighed by exactly 1.

    Args:
        batch: int64[rows, sequence_tokens]; `pad_id` is no target.

    Returns:
        the mean loss, nats per target.
    """
    targets, total = (batch[:, 1:] != pad_id).sum(), 0.0
    for ids in batch.split(piece):
        with devices.computing(batch.device):
            hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
            logits = model.lm_head(hidden).flatten(0, 1)
            loss = F.cross_entropy(logits, ids[:, 1:].flatten(), ignore_index=pad_id)
        part = loss * ((ids[:, 1:] != pad_id).sum() / targets)
        part.backward()
        total += part.item()
    return total


def _save(
    model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, step: int, curve: list[dict], work: Path
) -> None:
    tensors = {f"weight.{name}": weight for name, weight in model.named_parameters()}
    state = checkpoints.optimizer_state(optimizer)
    checkpoints.save(work / "checkpoints", step, tensors | state, {"step": step, "curve": curve})


def _restore(
    model: LlamaForCausalLM,
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
    progress: Mapping[str, Any],
) -> tuple[int, list[dict]]:
    """Put back what `_save` wrote; returns the steps done and the curve so far."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            weight.copy_(tensors[f"weight.{name}"])
    checkpoints.load_optimizer_state(
        optimizer, {k: t for k, t in tensors.items() if k.startswith("optimizer.")}
    )
    log.info("going on after step %d", progress["step"])
    return progress["step"], progress["curve"]


def rate(step: int, steps: int) -> float:
    """Factor on the learning rate: up in `WARMUP_STEPS` or a tenth of the run, cosine to `FINAL_RATE`."""
    warmup = min(WARMUP_STEPS, max(1, steps // 10))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * progress))


def main() -> None:
    """Command line: make one backbone, by default where its YAML file says."""
    parser = argparse.ArgumentParser(description="Make a language backbone from scratch.")
    parser.add_argument("backbone", help="name of a file in params/backbones")
    parser.add_argument("--scale", choices=get_args(Scale), default="nano", help="nano where none is named")
    parser.add_argument("--folder", type=Path, help="write here and not where the backbone's file says")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    with one_sentence():
        backbone = load_backbone(arguments.backbone, arguments.scale)
        if backbone.recipe is None:
            parser.error(
                f"backbone '{backbone.name}' has no recipe at scale {arguments.scale}: it is loaded, not made"
            )
        folder = make_backbone(backbone.recipe, arguments.folder or ROOT / backbone.checkpoint)
    log.info("%s is in %s", backbone.name, folder)


if __name__ == "__main__":
    main()
