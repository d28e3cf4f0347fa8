"""Runs of the tiny study by two processes, for the tests of what they share out: steps, or the model too."""

import shutil
import time
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load_file

from barnlib import checkpoints, finetune, launch, ledger, parameters
from barnlib.assembly import WEIGHTS
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


def train_two(study: Study, spoil: str = "", sharded: bool = False) -> Path:
    """train_run with two processes, the tests' own module in place of finetune's."""
    started = launch.launch

    def started_here(module, arguments, processes):
        assert module == finetune.MODULE == "barnlib.finetune"
        started("in_processes", ["train", str(parameters.PARAMS), spoil, *arguments], processes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", IMPORTS)
        patch.setattr(finetune, "launch", started_here)
        return finetune.train_run(study, "plain", 0, processes=2, sharded=sharded)


def entry(folder: Path) -> dict:
    """A run's ledger."""
    return ledger.read(folder / "ledger.json")


def history(folder: Path) -> pd.DataFrame:
    """A run's history."""
    return pd.read_csv(folder / finetune.HISTORY)


def require_alike(alone: Path, together: Path) -> None:
    """The run of two processes is that of one, but for the order of sums: losses, looks, steps and weights."""
    one, two = history(alone), history(together)
    assert two.columns.tolist() == one.columns.tolist() and len(two) == len(one)
    for column in ("loss", "gradient_norm", "caption_nats", "vqa_scene_nats", "vqa_scene_score"):
        values = two[column].dropna().tolist()
        assert values == pytest.approx(one[column].dropna().tolist(), **LOSS) and values
    exact = ["stage", "step", "images", "learning_rate"]
    pd.testing.assert_frame_equal(two[exact], one[exact], check_exact=True)
    theirs, ours = load_file(alone / WEIGHTS), load_file(together / WEIGHTS)
    assert ours.keys() == theirs.keys()
    moved = max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
    assert moved < 1e-3 * 0.002 * len(one), "a thousandth of what the steps can move a weight"


def require_resumed(study: Study, whole: Path, said: str, sharded: bool = False) -> None:
    """A run whose main process is killed says so, and goes on to be the whole run, bit for bit."""
    with pytest.raises(RuntimeError, match=f"one of 2 processes failed{said}"):
        train_two(study, spoil="kill", sharded=sharded)
    _, progress = left(study)
    assert (progress["stage"], progress["step"]) == (1, 1)
    folder = train_two(study, sharded=sharded)
    assert (folder / WEIGHTS).read_bytes() == (whole / WEIGHTS).read_bytes()
    resumed, expected = (history(one).drop(columns="seconds") for one in (folder, whole))
    pd.testing.assert_frame_equal(resumed, expected, check_exact=True)


def require_ended(study: Study, alone: Path, folder: Path, sharded: bool = False) -> None:
    """A process that raises ends the run at once, in its own words, and one process can go on with what is left."""
    raised = folder / "raised"
    with pytest.raises(
        RuntimeError, match="one of 2 processes failed: ValueError: this process cannot go on"
    ):
        train_two(study, spoil=f"raise:{raised}", sharded=sharded)
    assert time.time() - float(raised.read_text()) < 20, "the other one waited for it"
    assert left(study)[1]["step"] == 2
    ended, expected = (
        history(one)["loss"].dropna().tolist() for one in (finetune.train_run(study, "plain", 0), alone)
    )
    assert ended == pytest.approx(expected, **LOSS)


def left(study: Study) -> tuple[dict, dict]:
    """The checkpoint that a run left behind."""
    (kept,) = (study.folder / "train" / "plain-seed0" / "checkpoints").iterdir()
    found = checkpoints.latest(kept)
    assert found
    return found
