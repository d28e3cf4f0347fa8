"""The optimiser steps of a run: over stages and batches, validation and checkpoints on its way.

In:  the parts of a run, its model, its stages, and where it stands.
Out: the trained model, and :class:`Progress` with a row of the history for each step; finetune.py writes them down.

One step is one batch of pictures, in packs of ``compute.images_at_once`` whose gradients add up. Packs are dealt out to
the processes of the run. What dropout draws follows from the seed and the place of the pack: it is the same whichever
process computes it, and a run that goes on has no random state to restore.
"""

import math
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor
from tqdm import tqdm

from barnlib import checkpoints, sharding
from barnlib.assembly import Parts
from barnlib.data.pictures import generator
from barnlib.data.turns import Turn
from barnlib.ledger import Meter
from barnlib.likelihood import packed_loss
from barnlib.model import Model, parameter_groups, set_trainable, trained_state
from barnlib.order import rate_factor
from barnlib.packing import pack
from barnlib.processes import Processes


@dataclass(frozen=True)
class Stage:
    """One of the two stages of training.

    Attributes:
        name: "align" or "finetune", as in the study file.
        batches: images of each optimiser step.
        turns: questions and answers on each image.
        rates: peak learning rate of each part that is trained.
        look: validation; gives columns of the history.
        looks: after which steps it looks.
    """

    name: str
    batches: Sequence[Sequence[str]]
    turns: Mapping[str, Sequence[Turn]]
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


class Loop:
    """The loop over stages and steps.

    Args:
        seed: of dropout.
        stages: in the order in which they are trained.
        progress: where to begin; moves along, and is complete at the end.
        meter: time and memory of the run.
        kept: folder of its checkpoints.
        processes: who share each step; all of them hold the same weights and the same progress.
    """

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
        sharding.sum_gradients(self.model)
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
        state = {name: t for name, t in trained_state(self.model).items() if sharding.is_whole(t)}
        self.processes.require_same(
            lambda: checkpoints.tensor_digest(state),
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
            checkpoints.load_optimizer_state(optimizer, sharding.optimizer_shares(state, optimizer))
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
            if self._due():
                self._save(optimizer)
        self.model.eval()

    def _step(self, stage: Stage, optimizer: torch.optim.AdamW, images: Sequence[str]) -> dict[str, float]:
        groups = [(self.parts.rows[image], stage.turns[image]) for image in images]
        answers = [str(turn.answer) for _, turns in groups for turn in turns]
        size = sum(len(answer.encode()) + 1 for answer in answers)  # bytes; 1 for EOS
        optimizer.zero_grad()
        # fewer images in a pack only where a full batch would leave a process without one
        share = math.ceil(len(stage.batches[0]) / self.processes.size)
        at_once = min(self.parts.study.compute.images_at_once, share)

        packs = math.ceil(len(groups) / at_once)
        if self.processes.sharded:  # none can go without the others
            packs += -packs % self.processes.size

        def backward(start: int) -> tuple[float, int]:
            """Add the gradients of one pack; its part of the loss, and its tokens. Beyond the last one the first is
            computed again, and counts for nothing."""
            counts = start < len(groups)
            start *= counts
            place = (stage.name, self.seed, self.progress.step, start)
            torch.manual_seed(int(generator("dropout", *place).integers(2**63)))  # whoever computes the pack
            packed = pack(self.parts.prompter, groups[start : start + at_once]).to(self.parts.device)
            with self.parts.computing():
                likelihood = packed_loss(self.model, packed, self.parts.table)
            loss = likelihood.nats / size * counts
            loss.backward()
            return loss.item(), likelihood.tokens * counts

        done = self.processes.map(range(0, packs * at_once, at_once), backward)
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.processes.add_gradients([p for p in parameters if sharding.is_whole(p)])
        norm = sharding.clip_gradients(parameters, stage.max_grad_norm)
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

    def _due(self) -> bool:
        """Whether it is time for a checkpoint, by the main process's clock."""
        minutes = self.parts.study.monitor.checkpoint_minutes
        return self.processes.on_main(lambda: (monotonic() - self.saved_at) / 60 > minutes)

    def _save(self, optimizer: torch.optim.Optimizer) -> None:
        """The main process writes a checkpoint; where weights are shared out, the others give it their shares."""
        self.progress.measured = self.meter.read()
        weights = {f"weight.{name}": tensor for name, tensor in trained_state(self.model).items()}
        tensors = sharding.gathered(weights | checkpoints.optimizer_state(optimizer), self.processes)
        if self.processes.main:
            checkpoints.save(self.kept, self._done(), tensors, vars(self.progress))
        self.saved_at = monotonic()
