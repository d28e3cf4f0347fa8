"""What the tests start in several processes at once: `python -m in_processes TASK ARGUMENTS`, by barnlib.launch."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.distributed.elastic.multiprocessing.errors import record

from barnlib.processes import joined

CODE = {"revision": None, "dirty": None, "sources": "the same while these tests run"}
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


def train(params: str, spoil: str, study: str, backbone: str, seed: str, processes: str) -> None:
    """finetune's own main function with the tests' studies, no preflight, and a checkpoint after every step.

    Args:
        spoil: "", or what happens: "kill" ends the main process after its fourth checkpoint, "raise" fails in the
            other one at its third pack and writes the time to the file that follows after a colon.
    """
    from barnlib import checkpoints, finetune, ledger, loop, parameters

    parameters.PARAMS = Path(params)
    ledger.code = lambda start: dict(CODE)
    finetune._preflight = lambda *arguments: {"items": 24}
    ticks = iter(range(0, 10**12, 10**6))
    loop.monotonic = lambda: next(ticks)
    how, _, file = spoil.partition(":")
    if how == "kill":
        checkpoints.save = killing(checkpoints.save)
    if how == "raise" and os.environ["RANK"] == "1":
        loop.packed_loss = raising(loop.packed_loss, Path(file))
    sys.argv = [finetune.MODULE, study, backbone, seed, processes]
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
    {"collectives": collectives, "wait": wait, "ends": ends, "train": train}[task](*arguments)


if __name__ == "__main__":
    record(main)()
