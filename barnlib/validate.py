"""A look at the validation split while a model is trained: loss and greedy accuracy per task on a fixed small subset.

In:  a model between two optimiser steps, the first pictures of each kind of the validation split that have a caption,
     and the first that are asked about.
Out: columns of history.csv: `TASK_nats`, `TASK_score`, `TASK_accuracy`. Tuning reads these and never the test split.
"""

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np

from barnlib.assembly import Parts
from barnlib.data.records import Item, Picture, first_of_each_kind
from barnlib.data.turns import Turn
from barnlib.decoding import greedy
from barnlib.history import CAPTION
from barnlib.likelihood import reference_logprobs
from barnlib.model import Model
from barnlib.packing import Group, pack
from barnlib.processes import ALONE, Processes
from barnlib.tasks.registry import score

CAPTION_QUESTION = "Describe the picture."


class Validator:
    """Looks at the same items every time.

    Args:
        parts: prompter and features.
        items: the validation split.
        pictures: the validation split.
        processes: who share the batches out among themselves; each then knows the whole result.
    """

    def __init__(
        self,
        parts: Parts,
        items: Sequence[Item],
        pictures: Sequence[Picture],
        processes: Processes = ALONE,
    ) -> None:
        self._parts, self._processes = parts, processes
        count, asked_about = parts.study.monitor.images, {item.image for item in items}
        self._captioned = first_of_each_kind([picture for picture in pictures if picture.caption], count)
        looked_at = first_of_each_kind(
            [picture for picture in pictures if picture.image in asked_about], count
        )
        images = {picture.image for picture in looked_at}
        tasks = parts.study.tasks
        self._items = {task: [i for i in items if i.task == task and i.image in images] for task in tasks}

    def captions(self, model: Model) -> dict[str, float]:
        """Mean nats of a dense caption, for the alignment stage."""
        turns = [(picture.image, Turn(CAPTION_QUESTION, picture.caption)) for picture in self._captioned]
        return {f"{CAPTION}_nats": self._nats(model, turns)}

    def tasks(self, model: Model) -> dict[str, float]:
        """For each task: mean nats per answer (teacher-forced), mean score and share of right greedy answers."""
        found: dict[str, float] = {}
        for task, items in self._items.items():
            if not items:
                continue
            scores = [
                score(
                    task,
                    answer,
                    item.facts,
                    item.answer,
                    tolerance_km=self._parts.study.evaluation.tolerance_km,
                )
                for item, answer in zip(items, self._answers(model, task, items), strict=True)
            ]
            found[f"{task}_nats"] = self._nats(model, [(item.image, item.turn) for item in items])
            found[f"{task}_score"] = float(np.mean([one.score for one in scores]))
            found[f"{task}_accuracy"] = float(np.mean([one.correct for one in scores]))
        return found

    def _nats(self, model: Model, turns: Sequence[tuple[str, Turn]]) -> float:
        def nats(batch: list[Group]) -> float:
            packed = pack(self._parts.prompter, batch)
            return float(reference_logprobs(model, packed.to(self._parts.device), self._parts.table).nats)

        return sum(self._processes.map(self._batches(turns), nats)) / len(turns)

    def _answers(self, model: Model, task: str, items: Sequence[Item]) -> Iterable[str]:
        limit = self._parts.study.evaluation.max_new_tokens[task]

        def answers(batch: list[Group]) -> list[str]:
            packed = pack(self._parts.prompter, batch)
            found = greedy(model, packed.to(self._parts.device), self._parts.table, limit)
            return [self._parts.prompter.decode(ids) for ids in found.ids]

        batches = self._batches([(item.image, item.turn.asked) for item in items])
        return chain.from_iterable(self._processes.map(batches, answers))

    def _batches(self, turns: Sequence[tuple[str, Turn]]) -> list[list[Group]]:
        """Turns grouped by image (they stand together already), a batch of images at a time."""
        groups: dict[str, list[Turn]] = {}
        for image, turn in turns:
            groups.setdefault(image, []).append(turn)
        packed: list[Group] = [(self._parts.rows[image], group) for image, group in groups.items()]
        size = self._parts.study.evaluation.batch_images
        return [packed[start : start + size] for start in range(0, len(packed), size)]
