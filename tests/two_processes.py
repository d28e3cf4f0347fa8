"""Runs of the tiny study by two processes, for the tests of what they share out: steps, or the model too."""

import shutil
from pathlib import Path

import pytest

from barnlib import finetune, launch, ledger, parameters
from barnlib.features import build_features
from barnlib.study import Study
from tests.in_processes import IMPORTS

# float32 sums of some hundred terms in another order differ by about 1e-6; AdamW divides small gradients by their own
# size, which carries that on into the weights and the losses of the steps after
LOSS = {"rel": 1e-4}


def named(study: Study, name: str, at_once: int = 2, method: str = "lora") -> Study:
    """The tiny study, dropout included, in a folder of its own with a copy of its data and features."""
    compute = study.compute.model_copy(update={"images_at_once": at_once})
    finetuning = study.finetune.model_copy(update={"method": method})
    renamed = study.model_copy(update={"name": name, "compute": compute, "finetune": finetuning})
    build_features(study)
    for made in ("data", "features"):
        shutil.copytree(study.folder / made, renamed.folder / made, dirs_exist_ok=True)
    return renamed


def train_two(study: Study, seed: int = 0, spoil: str = "", sharded: bool = False) -> Path:
    """train_run with two processes, the tests' own module in place of finetune's."""
    started = launch.launch

    def started_here(module, arguments, processes):
        assert module == finetune.MODULE == "barnlib.finetune"
        started("in_processes", ["train", str(parameters.PARAMS), spoil, *arguments], processes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", IMPORTS)
        patch.setattr(finetune, "launch", started_here)
        return finetune.train_run(study, "plain", seed, processes=2, sharded=sharded)


def entry(folder: Path) -> dict:
    """A run's ledger."""
    return ledger.read(folder / "ledger.json")
