"""What the tests start in several processes at once: `python -m in_processes TASK ARGUMENTS`, by barnlib.launch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import record
from transformers.modeling_layers import GradientCheckpointingLayer

from barnlib import sharding
from barnlib.model import llava
from barnlib.processes import joined

CODE = {"revision": None, "dirty": None, "sources": "the same while these tests run"}
REPORT = {"items": 24}  # of the preflight
IMPORTS = os.pathsep.join(str(folder) for folder in Path(__file__).parents[:2])  # PYTHONPATH of the processes


def collectives(folder: str) -> None:
    """What each process sees of every operation, to FOLDER/RANK.json."""
    with joined(2) as group:
        first, second, third = (nn.Parameter(torch.zeros(2, 2)) for _ in range(3))
        first.grad = torch.full((2, 2), 1.0 + group.rank)
        if group.main:
            second.grad = torch.eye(2)  # the other process had no share of this step
        group.add_gradients([first, second, third])
        seen = {
            "map": group.map(range(5), lambda number: [number, group.rank]),
            "few": group.map(["one"], str.upper),
            "main": group.on_main(lambda: f"from {group.rank}"),
            "gradients": [None if p.grad is None else p.grad.tolist() for p in (first, second, third)],
            "threads": os.environ["OMP_NUM_THREADS"],
        }
        group.require_same(lambda: "alike", "the value")
        try:
            group.require_same(lambda: f"mine {group.rank}", "the value")
        except RuntimeError as error:
            seen["differs"] = str(error)
        (Path(folder) / f"{group.rank}.json").write_text(json.dumps(seen))


class Odd(GradientCheckpointingLayer):
    """A layer of one weight."""

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight


def held(model: nn.Module) -> dict[str, list[int]]:
    """For each weight that is shared, how much of it is here, and how much there is."""
    weights = {name: w for name, w in model.named_parameters() if not sharding.is_whole(w)}
    return {name: [w.to_local().numel(), w.numel()] for name, w in weights.items()}


def shares(folder: str, backbone: str, encoder: str) -> None:
    """What each process sees of models that both share, to FOLDER/KIND-RANK.safetensors and .json."""
    from tests.shared_model import KINDS, models, work

    with joined(2, sharded=True) as group:
        for kind in KINDS:
            prompter, model, bare = models(kind, Path(backbone), Path(encoder))
            for one in (llava(model), bare):
                sharding.shard(one, torch.device("cpu"), group)
            numbers, tensors = work(kind, prompter, model, bare, group)
            file = Path(folder) / f"{kind}-{group.rank}"
            file.with_suffix(".json").write_text(json.dumps(numbers | {"held": held(llava(model))}))
            save_file(tensors, file.with_suffix(".safetensors"))
        weight = nn.Parameter(torch.arange(15.0).view(5, 3))  # five rows are not shared evenly
        odd = Odd(weight)
        sharding.shard(nn.Sequential(odd), torch.device("cpu"), group)
        part = sharding.share(torch.arange(15.0).view(5, 3) * 2, odd.weight)
        seen = {
            "own": odd.weight.to_local().tolist(),
            "part": part.to_local().tolist(),
            "whole": {n: t.tolist() for n, t in sharding.gathered({"part": part}, group).items()},
            "scalar": sharding.share(torch.tensor(7.0), odd.weight).item(),
        }
        (Path(folder) / f"odd-{group.rank}.json").write_text(json.dumps(seen))


def wait(folder: str) -> None:
    """Say who waits, and wait for longer than any test."""
    with joined(2) as group:
        (Path(folder) / f"{group.rank}.pid").write_text(str(os.getpid()))
        time.sleep(600)


def ends(how: str, folder: str) -> None:
    """Number 1 fails or goes; number 0 waits for longer than any test.

    Args:
        how: "raise" as a program does, "leave" with an exit status and no error, "done" both end well.
    """
    rank = os.environ["RANK"]
    print(f"\rprocess {rank} is here", flush=True)
    if how == "done":
        return
    if rank == "0":
        wait_alone(folder)
    while not (Path(folder) / "0.pid").is_file():
        time.sleep(0.05)
    if how == "raise":
        raise LookupError("the café is closed")
    print("last words", flush=True)
    os._exit(7)


def wait_alone(folder: str) -> None:
    """Say who waits, and wait for longer than any test, in no group."""
    name = Path(folder) / f"{os.environ['RANK']}.pid"
    name.with_suffix(".new").write_text(str(os.getpid()))
    name.with_suffix(".new").rename(name)
    time.sleep(600)


def train(params: str, spoil: str, *arguments: str) -> None:
    """finetune's own main function with the tests' studies, no preflight, and a checkpoint after every step.

    Args:
        spoil: "", or what happens: "kill" ends the main process after its fourth checkpoint, "raise" fails in the
            other one at its third pack and writes the time to the file that follows after a colon.
        arguments: those of finetune's own.
    """
    from barnlib import checkpoints, finetune, ledger, loop, parameters

    parameters.PARAMS = Path(params)
    ledger.code = lambda start: dict(CODE)
    finetune._preflight = lambda *arguments: dict(REPORT)
    ticks = iter(range(0, 10**12, 10**6))
    loop.monotonic = lambda: next(ticks)
    how, _, file = spoil.partition(":")
    if how == "kill":
        checkpoints.save = killing(checkpoints.save)
    if how == "raise" and os.environ["RANK"] == "1":
        loop.packed_loss = raising(loop.packed_loss, Path(file))
    sys.argv = [finetune.MODULE, *arguments]
    finetune.main()


def killing(save):
    count = []

    def wrapped(*arguments):
        save(*arguments)
        count.append(1)
        if len(count) == 4:
            os.kill(os.getpid(), signal.SIGKILL)

    return wrapped


def raising(loss, file: Path):
    count = []

    def wrapped(*arguments):
        count.append(1)
        if len(count) == 3:
            file.write_text(str(time.time()))
            raise ValueError("this process cannot go on")
        return loss(*arguments)

    return wrapped


def alive(process: int) -> bool:
    """Whether a process runs; one that has ended and whose parent has not asked yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def soon(condition, seconds: float) -> bool:
    """Whether a condition comes true within so many seconds."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def main() -> None:
    task, *arguments = sys.argv[1:]
    tasks = {"collectives": collectives, "shares": shares, "wait": wait, "ends": ends, "train": train}
    tasks[task](*arguments)


if __name__ == "__main__":
    record(main)()
