"""How fast this project finetunes at a given shape, beside plain transformers on the same samples.

In:  configurations of a language model and of a CLIP encoder (config.json alone: weights are drawn at random).
Out: one line of JSON for the way that was asked for: samples and tokens a second, MFU with the FLOP count it rests on,
     peak memory.

``packed`` is the way of finetune.py: cached features, all questions on an image in one sequence, logits where something
is supervised. ``plain`` is the `Trainer` of transformers on `LlavaForConditionalGeneration`: one sequence for each
question, pixels through the encoder, all logits. Both train LoRA and projector with AdamW on the same questions.

FLOPs of one sample are counted once for both, as the plain way must spend them on its language model (Kaplan et al.
2020, arXiv 2001.08361, table 1): 4 for each frozen weight and token (forward, and gradients of activations), 6 for each
trained one, and 12 x layers x width x length^2 for attention. Recomputation, padding and the encoder are not counted.

``python -m barnlib.benchmark CONFIG_FOLDER --way packed --images 64 --questions 8 --peak-tflops PEAK``
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    CLIPVisionConfig,
    CLIPVisionModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from barnlib.command_line import one_sentence
from barnlib.data.turns import Turn
from barnlib.ledger import Meter
from barnlib.likelihood import packed_loss
from barnlib.model import Model, add_lora, compose, llava, parameter_groups, set_trainable
from barnlib.packing import IGNORED, pack
from barnlib.paths import ROOT, runs_root
from barnlib.prompts import Prompter
from barnlib.real_tokenizers import load_tokenizer

TOKENIZER = ROOT / "params" / "checkpoints" / "nano" / "llama1"  # its ids exist in every larger vocabulary
WARMUP = 1  # steps before the clock starts


@dataclass(frozen=True)
class Shape:
    """What is measured: batch of images, questions on each, LoRA rank, precision."""

    images: int  # of one optimiser step
    questions: int  # on each image
    steps: int  # timed
    rank: int = 128
    precision: str = "bfloat16"
    gradient_checkpointing: bool = False


@dataclass(frozen=True)
class Speed:
    """One way's result; ``mfu`` is None where no peak was given."""

    way: str
    device: str
    samples_per_s: float  # questions with their answers
    tokens_per_s: float  # of samples laid out one by one, image included: the same count for both ways
    flops_per_sample: float
    mfu: float | None
    peak_memory_gib: float
    seconds: float
    shape: dict[str, Any]


def questions(count: int, image: int) -> list[tuple[str, str]]:
    """Questions and short answers on one image, all different, as long as those of VQA-Scene."""
    return [
        (f"How many small circles are to the left of square {image} {n}?", str(n % 10)) for n in range(count)
    ]


def build(
    config: Path, vision: CLIPVisionConfig, shape: Shape, device: torch.device
) -> tuple[Model, Prompter]:
    """A composed model of random weights with LoRA, ready to be trained, and its prompter.

    Raises:
        ValueError: no configuration there; a vocabulary smaller than the benchmark's tokenizer.
    """
    tokenizer = load_tokenizer(TOKENIZER)
    language_config = AutoConfig.from_pretrained(_configured(config))
    if language_config.vocab_size < len(tokenizer):
        raise ValueError(
            f"{config}: a vocabulary of {language_config.vocab_size}; expected at least {len(tokenizer)}, the ids "
            "that the benchmark's questions use"
        )
    dtype = getattr(torch, shape.precision)
    sees: Any = vision
    torch.manual_seed(0)
    with device:
        tower = CLIPVisionModel(vision)
        language = AutoModelForCausalLM.from_config(language_config, dtype=dtype)
    prompter = Prompter(tokenizer, "uniform", (sees.image_size // sees.patch_size) ** 2)
    composed: Any = compose(tower, language, prompter, seed=0, dtype=dtype)
    composed.to(device)
    model: Any = add_lora(composed, rank=shape.rank, alpha=2 * shape.rank, dropout=0.05, seed=0)
    model.to(device)
    set_trainable(model, ["projector", "lora"])
    if shape.gradient_checkpointing:
        llava(model).activation_checkpointing_enable({"use_reentrant": False})
    return model.train(), prompter


def _configured(folder: Path) -> Path:
    """The same folder; refused without a configuration, which transformers would look for on the hub."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: no folder with a config.json; expected one of a model of transformers")
    return folder


def sample_flops(model: Model, length: int) -> float:
    """FLOPs that one sample of ``length`` tokens needs in training, as the module's docstring counts them."""
    inner = llava(model)
    trained = sum(p.numel() for group in parameter_groups(model).values() for p in group)
    language: Any = inner.model.language_model
    embedding: Any = inner.get_input_embeddings()
    frozen = sum(p.numel() for name, p in language.named_parameters() if "lora_" not in name)
    frozen += (
        inner.lm_head.weight.numel() - embedding.weight.numel()
    )  # looking up an embedding multiplies nothing
    config: Any = inner.config.text_config
    attention = 12 * config.num_hidden_layers * config.hidden_size * length**2
    return length * (4.0 * frozen + 6.0 * trained) + attention


def packed_speed(model: Model, prompter: Prompter, shape: Shape, peak_tflops: float | None) -> Speed:
    """Measure the way of finetune.py."""
    config: Any = llava(model).config
    device = llava(model).lm_head.weight.device
    features = torch.randn(
        shape.images, prompter.image_tokens, config.vision_config.hidden_size, device=device
    )
    parameters = [p for group in parameter_groups(model).values() for p in group]
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, fused=True)

    def step(number: int) -> None:
        groups = [
            (row, [Turn(*pair) for pair in questions(shape.questions, row)]) for row in range(shape.images)
        ]
        packed = pack(prompter, groups).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=shape.precision == "bfloat16"):
            likelihood = packed_loss(model, packed, features)
        optimizer.zero_grad()
        (likelihood.nats / likelihood.tokens).backward()
        optimizer.step()

    return _speed("packed", model, prompter, shape, peak_tflops, _timed(step, shape.steps, device))


def plain_speed(
    model: Model, prompter: Prompter, shape: Shape, peak_tflops: float | None, folder: Path
) -> Speed:
    """Measure the `Trainer` of transformers on the same questions.

    Args:
        folder: where Trainer may write; nothing is kept.
    """
    config: Any = llava(model).config
    device = llava(model).lm_head.weight.device
    size = config.vision_config.image_size
    samples = [
        (prompter.prompt_ids(question), prompter.answer_ids(answer))
        for image in range(shape.images)
        for question, answer in questions(shape.questions, image)
    ]
    clock = _Clock(device)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=WARMUP + shape.steps,
        per_device_train_batch_size=len(samples),
        learning_rate=1e-5,
        bf16=shape.precision == "bfloat16",
        use_cpu=device.type == "cpu",
        report_to="none",
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        remove_unused_columns=False,
    )
    pixels = torch.randn(3, size, size)
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=_Samples(samples * (WARMUP + shape.steps), pixels),
        data_collator=lambda batch: _collate(batch, prompter.pad_id),
        callbacks=[clock],
    )
    trainer.train()
    return _speed("plain", model, prompter, shape, peak_tflops, clock.seconds)


class _Samples(Dataset):
    """Samples one by one, each with an image of its own."""

    def __init__(self, samples: Sequence[tuple[list[int], list[int]]], pixels: torch.Tensor) -> None:
        self.samples, self.pixels = samples, pixels

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, number: int) -> tuple[list[int], list[int], torch.Tensor]:
        return (*self.samples[number], self.pixels)


class _Clock(TrainerCallback):
    """Seconds from the end of the warm-up to the end of training."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds, self._start = device, 0.0, 0.0

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARMUP:
            _wait(self.device)
            self._start = time.perf_counter()
        elif state.global_step == state.max_steps:
            _wait(self.device)
            self.seconds = time.perf_counter() - self._start


def _collate(
    batch: Sequence[tuple[list[int], list[int], torch.Tensor]], pad_id: int
) -> dict[str, torch.Tensor]:
    width = max(len(prompt) + len(answer) for prompt, answer, _ in batch)

    def padded(rows: list[list[int]], fill: int) -> torch.Tensor:
        return torch.tensor([row + [fill] * (width - len(row)) for row in rows])

    return {
        "input_ids": padded([prompt + answer for prompt, answer, _ in batch], pad_id),
        "attention_mask": padded([[1] * len(prompt + answer) for prompt, answer, _ in batch], 0),
        "labels": padded([[IGNORED] * len(prompt) + answer for prompt, answer, _ in batch], IGNORED),
        "pixel_values": torch.stack([pixels for *_, pixels in batch]),
    }


def _timed(step: Callable[[int], None], steps: int, device: torch.device) -> float:
    for number in range(WARMUP):
        step(number)
    _wait(device)
    start = time.perf_counter()
    for number in range(steps):
        step(number)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _speed(
    way: str, model: Model, prompter: Prompter, shape: Shape, peak_tflops: float | None, seconds: float
) -> Speed:
    device = llava(model).lm_head.weight.device
    turns = [turn for image in range(shape.images) for turn in questions(shape.questions, image)]
    lengths = [len(prompter.prompt_ids(q)) + len(prompter.answer_ids(a)) for q, a in turns]
    rate = shape.steps * len(turns) / seconds
    flops = sum(sample_flops(model, length) for length in lengths) / len(lengths)
    cuda = device.type == "cuda"
    memory = (
        torch.cuda.max_memory_allocated(device) / 2**30 if cuda else Meter().read()["peak_memory_mib"] / 2**10
    )
    return Speed(
        way=way,
        device=torch.cuda.get_device_name(device) if cuda else "cpu",
        samples_per_s=rate,
        tokens_per_s=rate * sum(lengths) / len(lengths),
        flops_per_sample=flops,
        mfu=None if peak_tflops is None else rate * flops / (peak_tflops * 1e12),
        peak_memory_gib=memory,
        seconds=seconds,
        shape=asdict(shape),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line; each way in a process of its own gives a peak memory of its own."""
    with one_sentence():
        print(json.dumps(asdict(measure(_given(arguments)))))


def _given(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, help="folder with the language model's config.json")
    parser.add_argument(
        "--vision", type=Path, help="folder with a CLIP config.json; ViT-L/14 at 336 pixels without it"
    )
    parser.add_argument("--way", choices=("packed", "plain"), default="packed")
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--questions", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="bfloat16")
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--peak-tflops", type=float, help="of the device at this precision, for MFU")
    parser.add_argument(
        "--folder", type=Path, default=runs_root() / "benchmark", help="where Trainer may write"
    )
    return parser.parse_args(arguments)


def measure(given: argparse.Namespace) -> Speed:
    """What the command line asks for.

    Raises:
        ValueError: a folder without a configuration, and as :func:`build`.
    """
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
    )
    if given.vision is not None:
        vision = CLIPVisionConfig.from_pretrained(_configured(given.vision))
    shape = Shape(
        given.images, given.questions, given.steps, given.rank, given.precision, given.gradient_checkpointing
    )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, prompter = build(given.config, vision, shape, device)
    if given.way == "packed":
        return packed_speed(model, prompter, shape, given.peak_tflops)
    return plain_speed(model, prompter, shape, given.peak_tflops, given.folder)


if __name__ == "__main__":
    main()
