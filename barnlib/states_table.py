"""The hidden states of a study's runs as evaluation wrote them, read without torch and one layer at a time.

In:  ``runs/STUDY/evaluate/BACKBONE-seedN`` with ``hidden.safetensors`` and ``hidden.json``, which states.py wrote.
Out: :class:`States`, one for each run; representation_tables.py and its neighbours start from there.

**Items** (`hidden.json`). One question of each picture, so items of one task are independent of each other:

- split ``test``: the first ``evaluation.hidden_items`` pictures, for each of the three tasks;
- split ``train``: the first ``evaluation.probe_items`` pictures, for each task: what probes are fitted on;
- split ``validation``: the first ``evaluation.hidden_items`` pictures, for ``seismic_coordinates`` only: to tune what
  regresses coordinates on.

**States** (`hidden.safetensors`): float16[layers + 1, items, hidden] (float32 where float16 cannot hold a value), named
``SPLIT.VIEW.POSITION``. Entry 0 is the embedding, entry i the output of layer i, the last one after the final norm.

- views: ``clean``, the item as it is; ``before``, the same with LoRA switched off and the same trained projector, so
  that the image tokens are the same and only the language model is as it was before finetuning (NaN where all its
  weights were trained, without LoRA); ``noise``, ``blur`` and ``occlusion``, the picture disturbed; ``swapped``, the
  picture of the task's next item; ``paraphrase``, another wording of the question, NaN for an item whose question has
  only one. Splits ``train`` and ``validation`` have the view ``clean`` only.
- positions: ``last_prompt_token``, which predicts the first answer token, in every view; and in the views ``clean`` and
  ``before`` also ``image_mean``, over the image tokens (not in ``train`` and ``validation``), and
  ``answer_mean``, over the tokens of the *reference* answer, EOS included. The reference is read at ``answer_mean``:
  a probe for what the answer says learns nothing there about what the model knows; use ``last_prompt_token``.

**Per item**, of the view ``clean`` and split ``test``: ``test.clean.image_attention`` float32[layers, items], attention
from the last prompt token to all image tokens, mean over heads; ``test.clean.image_share`` float32[items], the share
that even attention would give them; ``test.clean.answer_depth`` int16[items], the first entry from which on the most
probable first answer token stays the final one (logit lens). Where a backbone does not allow one of them, it is left
out, and ``absent`` in hidden.json says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors import safe_open

from barnlib.artefacts import read_json
from barnlib.runs import run_folders, run_name
from barnlib.study import Study

Array = NDArray[np.float32]

STATES = "hidden.safetensors"
ITEMS = "hidden.json"
SPLITS = ("test", "train", "validation")
POSITIONS = ("last_prompt_token", "image_mean", "answer_mean")
VIEWS: dict[str, tuple[str, ...]] = {
    "clean": POSITIONS,
    "before": POSITIONS,
    **dict.fromkeys(("swapped", "noise", "blur", "occlusion", "paraphrase"), ("last_prompt_token",)),
}
POSITION = "last_prompt_token"  # read by default: the last one before anything of the answer is known
PROBED = ("last_prompt_token", "answer_mean")  # positions of the splits that probes are fitted on
MEASURES = ("image_attention", "image_share", "answer_depth")
ITEM_COLUMNS = (
    "item",
    "image",
    "task",
    "question_type",
    "question",
    "paraphrase",
    "answer",
    "choices",
    "facts",
)


def tensor_name(split: str, view: str, position: str) -> str:
    """Name of a tensor in the file."""
    return f"{split}.{view}.{position}"


@dataclass(frozen=True)
class States:
    """Hidden states of one run; a file is opened for each array and nothing is kept.

    Attributes:
        backbone, seed: the run.
        folder: where its evaluation lies.
    """

    backbone: str
    seed: int
    folder: Path

    @cached_property
    def _described(self) -> dict[str, Any]:
        return read_json(self.folder / ITEMS)

    @property
    def layers(self) -> int:
        """Layers of the language model; there is one entry more."""
        return int(self._described["layers"])

    @property
    def absent(self) -> dict[str, str]:
        """Measures that this backbone does not allow, and why."""
        return dict(self._described["absent"])

    def items(self, split: str = "test", task: str | None = None) -> pd.DataFrame:
        """The items of a split, of one task or of all: the columns `ITEM_COLUMNS`, and as index their row in the file.

        Raises:
            ValueError: no such split.
        """
        known = self._described["items"]
        if split not in known:
            raise ValueError(
                f"{self.folder / ITEMS}: no hidden states of split '{split}'; it has {', '.join(known)}"
            )
        table = pd.DataFrame(known[split], columns=list(ITEM_COLUMNS))
        return table if task is None else table[table["task"] == task]

    def layer(
        self, entry: int, view: str, position: str, *, split: str = "test", task: str | None = None
    ) -> Array:
        """One entry (0 to `layers`) of the hidden states: float32[items, hidden], rows as in :meth:`items`.

        Raises:
            ValueError: no such view, position or entry.
        """
        rows = self.items(split, task).index.to_numpy()
        name = tensor_name(split, view, position)
        with self._open() as file:
            self._require(name, file)
            stored = file.get_slice(name)
            entries = stored.get_shape()[0]
            if not 0 <= entry < entries:
                raise ValueError(
                    f"{self.folder / STATES}: '{name}' has entries 0 to {entries - 1}, not {entry}"
                )
            return np.asarray(stored[entry : entry + 1][0][rows], dtype=np.float32)

    def array(self, view: str, position: str, *, split: str = "test", task: str | None = None) -> Array:
        """All entries: float32[layers + 1, items, hidden]. Raises as :meth:`layer`."""
        rows = self.items(split, task).index.to_numpy()
        name = tensor_name(split, view, position)
        with self._open() as file:
            self._require(name, file)
            return np.asarray(file.get_tensor(name)[:, rows], dtype=np.float32)

    def measure(self, name: str, task: str | None = None) -> Array | None:
        """One of `MEASURES` of the clean test items, its last axis the items; None where the backbone has none."""
        rows = self.items("test", task).index.to_numpy()
        full = tensor_name("test", "clean", name)
        with self._open() as file:
            if full not in file.keys():  # noqa: SIM118, an open file is no dictionary
                return None
            return np.asarray(file.get_tensor(full)[..., rows], dtype=np.float32)

    def _open(self) -> Any:
        return safe_open(self.folder / STATES, framework="numpy")

    def _require(self, name: str, file: Any) -> None:
        if name not in file.keys():  # noqa: SIM118
            raise ValueError(
                f"{self.folder / STATES}: no '{name}'; there are {', '.join(sorted(file.keys()))}"
            )


def read_states(study: Study) -> list[States]:
    """The hidden states of every run of a study: backbones in the study's order, seeds within.

    Raises:
        ValueError: as `run_folders`; or runs that do not hold the same items in the same order.
    """
    folders = {folder.name: folder for folder in run_folders(study, "evaluate")}
    found = [
        States(backbone, seed, folders[run_name(backbone, seed)])
        for backbone in study.backbones
        for seed in study.seeds
    ]
    require_same_items(found)
    return found


def require_same_items(runs: Sequence[States]) -> None:
    """Refuse runs that do not hold the same test items in the same order: they could not be compared.

    Raises:
        ValueError: names the two runs.
    """
    for other in runs[1:]:
        first = runs[0].items()[["item", "task"]]
        if not first.equals(other.items()[["item", "task"]]):
            raise ValueError(
                f"{other.folder} and {runs[0].folder} hold hidden states of different items; evaluate both with the "
                "same study file"
            )
