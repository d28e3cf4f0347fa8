"""Training one run: the projector is aligned, then projector and LoRA are finetuned on the three tasks together.

In:  a study, a backbone, a seed; data, features and checkpoint are built or found.
Out: `runs/STUDY/train/BACKBONE-seedN`: `trained.safetensors` (projector and LoRA), `history.csv` (one row for each
     optimiser step), `ledger.json`. predict.py and export.py load them; curves and ledger go into the book.

What is drawn at random follows from the seed alone: the order of examples, the projector, LoRA, and dropout anew for
each pack, so that no random state has to be kept. All questions on one image stand in one packed sequence. The loss is
the negative log-likelihood of the answers, EOS included, in nats per byte of answer text (EOS counts as a byte): the
number of bytes is the same for every backbone, the number of tokens is not. Divided by tokens, the same answer would
weigh less in a batch of a tokenizer that cuts the others into more pieces, and clipping would begin at another
likelihood.

Several processes, one for each GPU, share the packs of an optimiser step out among themselves (processes.py): the same
steps on the same pictures, whatever their number, and the same numbers but for rounding.
"""

import logging
import math
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import save_file
from torch import Tensor
from torch.distributed.elastic.multiprocessing.errors import record
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from barnlib import checkpoints, preflight
from barnlib.artefacts import is_sealed, seal, single_writer
from barnlib.assembly import WEIGHTS, Parts, Turns, assemble, turns_by_image, untrained_model
from barnlib.budget import require_room
from barnlib.data.build import data_folder
from barnlib.data.pictures import generator
from barnlib.data.records import read_items, read_pictures
from barnlib.history import history_table
from barnlib.launch import launch
from barnlib.ledger import Meter
from barnlib.likelihood import packed_loss
from barnlib.model import (
    FULL_PARTS,
    PARTS,
    Model,
    llava,
    load_trained_state,
    parameter_groups,
    set_trainable,
    trained_parts,
    trained_state,
)
from barnlib.order import evaluation_steps, example_order, rate_factor
from barnlib.packing import pack
from barnlib.parameters import Study, digest
from barnlib.processes import ALONE, Processes, joined
from barnlib.record import resolved, write_ledger
from barnlib.runs import run_name
from barnlib.validate import CAPTION_QUESTION, Validator

log = logging.getLogger(__name__)

HISTORY = "history.csv"
MODULE = "barnlib.finetune"  # what is started where several processes train


@dataclass(frozen=True)
class Stage:
    """One of the two stages of training.

    Attributes:
        name: "align" or "finetune", as in the study file.
        batches: images of each optimiser step.
        turns: questions and answers of each image.
        rates: peak learning rate of each part that is trained.
        look: validation; gives columns of the history.
        looks: after which steps it looks.
    """

    name: str
    batches: Sequence[Sequence[str]]
    turns: Mapping[str, Turns]
    rates: Mapping[str, float]
    weight_decay: float
    warmup: float
    max_grad_norm: float
    look: Callable[[Model], dict[str, float]]
    looks: Sequence[int]


@dataclass
class Progress:
    """Where a run is: what a checkpoint keeps beside the weights."""

    stage: int = 0
    step: int = 0  # optimiser steps done in this stage
    rows: list[dict[str, Any]] = field(default_factory=list)
    tokens: dict[str, int] = field(default_factory=dict)
    preflight: dict[str, Any] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


def train_run(study: Study, backbone: str, seed: int, processes: int = 1) -> Path:
    """Train one run, go on with an interrupted one, or find it complete; returns its folder.

    Args:
        processes: how many train it together. One trains here; more are started beside this process, one for each GPU.

    Raises:
        ValueError: what the study, its data or the backbone's preflight have wrong; nothing is trained then.
        FloatingPointError: the loss is no longer finite; says what to change.
        RuntimeError: another process writes this run; with several processes also what one of them raised.
    """
    if processes == 1:
        return train_share(study, backbone, seed, ALONE)
    launch(MODULE, [study.model_dump_json(), backbone, str(seed), str(processes)], processes)
    return study.folder / "train" / run_name(backbone, seed)


def train_share(study: Study, backbone: str, seed: int, processes: Processes) -> Path:
    """What :func:`train_run` does in each of the processes."""
    parts = assemble(study, backbone)
    folder = study.folder / "train" / run_name(backbone, seed)
    decided = resolved(parts, seed, Path(__file__))
    with single_writer(folder) if processes.main else nullcontext():
        if not processes.on_main(lambda: is_sealed(folder, decided)):
            require_room(parts.checkpoint, study, folder, parts.device)
            _train(parts, seed, folder, decided, processes)
    return folder


def plan(parts: Parts, seed: int, processes: Processes = ALONE) -> tuple[Stage, Stage]:
    """Both stages, with the order of examples of this seed."""
    study, data = parts.study, data_folder(parts.study)
    items, pictures = read_items(data / "train.json"), read_pictures(data / "train.pictures.json")
    validator = Validator(
        parts,
        read_items(data / "validation.json"),
        read_pictures(data / "validation.pictures.json"),
        processes,
    )
    align, finetune = study.align, study.finetune
    first, second = (
        example_order(pictures, stage.epochs, stage.batch_images, generator("order", name, seed))
        for name, stage in (("align", align), ("finetune", finetune))
    )
    return (
        Stage(
            name="align",
            batches=first,
            turns={picture.image: [(CAPTION_QUESTION, picture.caption)] for picture in pictures},
            rates={"projector": align.learning_rate},
            weight_decay=0.0,
            warmup=align.warmup,
            max_grad_norm=align.max_grad_norm,
            look=validator.captions,
            looks=evaluation_steps(len(first), 1),
        ),
        Stage(
            name="finetune",
            batches=second,
            turns=turns_by_image(items),
            rates={
                part: finetune.projector_learning_rate if part == "projector" else finetune.learning_rate
                for part in (PARTS if finetune.method == "lora" else FULL_PARTS)
            },
            weight_decay=finetune.weight_decay,
            warmup=finetune.warmup,
            max_grad_norm=finetune.max_grad_norm,
            look=validator.tasks,
            looks=evaluation_steps(len(second), study.monitor.evaluations),
        ),
    )


def _train(parts: Parts, seed: int, folder: Path, decided: dict[str, Any], processes: Processes) -> None:
    kept = folder / "checkpoints" / digest(decided)
    saved = checkpoints.latest(kept)
    progress = Progress(**saved[1]) if saved else Progress()
    meter = Meter(progress.measured)
    stages = plan(parts, seed, processes)
    for stage in stages:
        require_lengths(parts, stage)
    model = untrained_model(parts, seed, parts.precision)
    if parts.study.compute.gradient_checkpointing:
        llava(model).activation_checkpointing_enable({"use_reentrant": False})
    initial = checkpoints.tensor_digest({k: v for k, v in trained_state(model).items() if "projector" in k})
    if saved:
        log.info("%s goes on at step %d of stage %s", folder.name, progress.step, stages[progress.stage].name)
        weights = {
            name.removeprefix("weight."): t for name, t in saved[0].items() if name.startswith("weight.")
        }
        load_trained_state(model, weights)
    else:
        with parts.computing():
            progress.preflight = processes.on_main(lambda: _preflight(parts, model, stages[1]))
    run = _Run(parts, model, seed, stages, progress, meter, kept, processes)
    run.train(saved[0] if saved else {})
    if not processes.main:
        return
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: t.cpu().contiguous() for name, t in trained_state(model).items()}, partial / WEIGHTS)
    history = history_table(progress.rows)
    history.to_csv(partial / HISTORY, index=False)
    orders = {stage.name: stage.batches for stage in stages}
    write_ledger(
        partial / "ledger.json",
        parts,
        seed,
        model,
        decided,
        orders,
        initial,
        vars(progress),
        history,
        meter,
        processes.size,
    )
    seal(partial, decided)
    shutil.rmtree(folder, ignore_errors=True)  # with the checkpoints, which nobody needs any more
    partial.rename(folder)


def require_lengths(parts: Parts, stage: Stage) -> None:
    """Refuse a stage that holds a prompt and answer of more than ``compute.max_tokens``: nothing is ever cut.

    Raises:
        ValueError: the longest one, and what to change.
    """
    limit, prefix = parts.study.compute.max_tokens, len(parts.prompter.prefix_ids)
    for image, turns in stage.turns.items():
        segments = parts.prompter.segments(turns)
        for (question, _), (asked, answered) in zip(turns, segments, strict=True):
            if prefix + len(asked) + len(answered) > limit:
                raise ValueError(
                    f"{parts.backbone.name}, stage {stage.name}: question {question!r} on '{image}' takes "
                    f"{prefix + len(asked) + len(answered)} tokens with its image and answer; raise "
                    f"'compute.max_tokens' in params/studies/{parts.study.name}.yaml (now {limit}) or take the item "
                    "out of the data"
                )


def _preflight(parts: Parts, model: Model, stage: Stage) -> dict[str, Any]:
    items = read_items(data_folder(parts.study) / "train.json")
    # in the precision of the composed model's own weights, so that check 4 finds nothing but a wrong composition
    dtype = llava(model).lm_head.weight.dtype
    bare = AutoModelForCausalLM.from_pretrained(parts.checkpoint, dtype=dtype, use_safetensors=True)
    set_trainable(model, list(trained_parts(model)))
    return preflight.check(
        parts.prompter,
        model,
        bare.eval().to(device=parts.device),
        items,
        parts.rows,
        [(parts.rows[image], turns) for image, turns in stage.turns.items()],
        parts.table,
        max_new_tokens=max(parts.study.evaluation.max_new_tokens.values()),
        learning_rate=parts.study.finetune.learning_rate,
    )


class _Run:
    """The loop over stages and steps, and the checkpoints on its way."""

    def __init__(
        self,
        parts: Parts,
        model: Model,
        seed: int,
        stages: Sequence[Stage],
        progress: Progress,
        meter: Meter,
        kept: Path,
        processes: Processes,
    ) -> None:
        self.parts, self.model, self.seed, self.stages = parts, model, seed, stages
        self.progress, self.meter, self.kept, self.processes = progress, meter, kept, processes
        self.saved_at = monotonic()

    def train(self, tensors: Mapping[str, Tensor]) -> None:
        """Run from where ``progress`` stands to the end.

        Args:
            tensors: those of the checkpoint that ``progress`` came from; empty at the start.
        """
        progress = self.progress
        total = sum(len(stage.batches) for stage in self.stages)
        every = 0.5 if sys.stderr.isatty() else 10.0  # seconds between two lines of progress
        name = self.parts.backbone.name
        hidden = not self.processes.main
        with tqdm(
            total=total, initial=self._done(), desc=name, mininterval=every, unit="step", disable=hidden
        ) as bar:
            while progress.stage < len(self.stages):
                stage = self.stages[progress.stage]
                # While the projector is aligned LoRA is still zero: leaving it out gives the same numbers sooner.
                with self._without_adapter(stage):
                    self._stage(stage, tensors if progress.step else {}, bar)
                progress.stage, progress.step = progress.stage + 1, 0

    def _without_adapter(self, stage: Stage) -> AbstractContextManager:
        if isinstance(self.model, PeftModel) and "lora" not in stage.rates:
            return self.model.disable_adapter()
        return nullcontext()

    def _look(self, stage: Stage) -> dict[str, float]:
        self.processes.require_same(
            lambda: checkpoints.tensor_digest(trained_state(self.model)),
            f"weights after step {self._done()}",
        )
        with self.parts.computing():
            return stage.look(self.model)

    def _stage(self, stage: Stage, tensors: Mapping[str, Tensor], bar: tqdm) -> None:
        progress, steps = self.progress, len(stage.batches)
        set_trainable(self.model, list(stage.rates))
        groups = parameter_groups(self.model)
        optimizer = torch.optim.AdamW(
            [{"params": groups[part], "name": part} for part in stage.rates if groups[part]],
            weight_decay=stage.weight_decay,
            fused=True,
        )
        if progress.step:
            state = {name: t for name, t in tensors.items() if name.startswith("optimizer.")}
            checkpoints.load_optimizer_state(optimizer, state)
        else:
            self._note(stage, self._look(stage))
        self.model.train()
        for step in range(progress.step, steps):
            factor = rate_factor(step, steps, stage.warmup)
            for group in optimizer.param_groups:
                group["lr"] = stage.rates[group["name"]] * factor
            row = self._step(stage, optimizer, stage.batches[step])
            progress.step = step + 1
            if progress.step in stage.looks:
                row |= self._look(stage)
            self._note(stage, row)
            bar.set_postfix_str(f"{stage.name}, loss {row['loss']:.3f}", refresh=False)
            bar.update()
            minutes = (monotonic() - self.saved_at) / 60
            if self.processes.main and minutes > self.parts.study.monitor.checkpoint_minutes:
                self._save(optimizer)
        self.model.eval()

    def _step(self, stage: Stage, optimizer: torch.optim.AdamW, images: Sequence[str]) -> dict[str, float]:
        groups = [(self.parts.rows[image], stage.turns[image]) for image in images]
        size = sum(len(answer.encode()) + 1 for _, turns in groups for _, answer in turns)  # bytes; 1 for EOS
        optimizer.zero_grad()
        # fewer images in a pack only where a full batch would leave a process without one
        share = math.ceil(len(stage.batches[0]) / self.processes.size)
        at_once = min(self.parts.study.compute.images_at_once, share)

        def backward(start: int) -> tuple[float, int]:
            """Add the gradients of one pack; its part of the loss, and its tokens."""
            place = (stage.name, self.seed, self.progress.step, start)
            torch.manual_seed(int(generator("dropout", *place).integers(2**63)))  # whoever computes the pack
            packed = pack(self.parts.prompter, groups[start : start + at_once]).to(self.parts.device)
            with self.parts.computing():
                likelihood = packed_loss(self.model, packed, self.parts.table)
            loss = likelihood.nats / size
            loss.backward()
            return loss.item(), likelihood.tokens

        done = self.processes.map(range(0, len(groups), at_once), backward)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.processes.add_gradients(parameters)
        norm = torch.nn.utils.clip_grad_norm_(parameters, stage.max_grad_norm)
        row = {"loss": sum(loss for loss, _ in done), "gradient_norm": norm.item()}
        self._require_finite(stage, row)
        optimizer.step()
        counted = self.progress.tokens
        counted[stage.name] = counted.get(stage.name, 0) + sum(tokens for _, tokens in done)
        return row | {"learning_rate": optimizer.param_groups[-1]["lr"]}

    def _require_finite(self, stage: Stage, row: Mapping[str, float]) -> None:
        wrong = [name for name, value in row.items() if not math.isfinite(value)]
        if wrong:
            study = self.parts.study.name
            raise FloatingPointError(
                f"{self.parts.backbone.name}, stage {stage.name}, step {self.progress.step + 1}: {wrong[0]} is "
                f"{row[wrong[0]]}, no finite number; lower '{stage.name}.learning_rate' or "
                f"'{stage.name}.max_grad_norm', or raise '{stage.name}.warmup', in params/studies/{study}.yaml "
                f"(peak learning rates now: {dict(stage.rates)})"
            )

    def _note(self, stage: Stage, row: Mapping[str, float]) -> None:
        images = sum(
            len(batch)
            for number, past in enumerate(self.stages[: self.progress.stage + 1])
            for batch in (
                past.batches[: self.progress.step] if number == self.progress.stage else past.batches
            )
        )
        where = {
            "stage": stage.name,
            "step": self._done(),
            "images": images,
            "seconds": self.meter.read()["wall_s"],
        }
        self.progress.rows.append(where | dict(row))

    def _done(self) -> int:
        """Optimiser steps done, over the stages."""
        return sum(len(stage.batches) for stage in self.stages[: self.progress.stage]) + self.progress.step

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        self.progress.measured = self.meter.read()
        weights = {f"weight.{name}": tensor for name, tensor in trained_state(self.model).items()}
        tensors = weights | checkpoints.optimizer_state(optimizer)
        checkpoints.save(self.kept, self._done(), tensors, vars(self.progress))
        self.saved_at = monotonic()


def main() -> None:
    """What :func:`train_run` starts several times. Arguments: STUDY (as JSON) BACKBONE SEED PROCESSES."""
    study, backbone, seed, processes = sys.argv[1:]
    with joined(int(processes)) as group:
        train_share(Study.model_validate_json(study), backbone, int(seed), group)


if __name__ == "__main__":
    record(main)()
