"""Several processes train one run together: what is dealt out to them, and what is brought together again.

In:  the environment that ``torch.distributed.run`` gives to each process that it starts (launch.py has it do so).
Out: :class:`Processes`, through which finetune.py and validate.py deal out their work. :data:`ALONE` is one process:
     it does all of it and asks nobody.

Every process holds the whole model, or its share of one that is too large for that (sharding.py), and takes the same
optimiser steps; it computes a share of each batch, and the gradients are summed before the step. PyTorch's
DistributedDataParallel is not used: it averages, works through the forward of a wrapper where LoRA and the packed loss
call the model inside, and hangs where a process has no share of a small last batch. The process group, its backend
(NCCL on GPUs, gloo without) and its operations are accelerate's.

What is gathered is gathered in the order of the work, not of the processes: sums are those of one process. Only
gradients are summed across processes, so they differ from one process's by the order of addition.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object, reduce
from torch import Tensor, nn

TIMEOUT = timedelta(hours=2)  # of one wait for the others: longer than a preflight, shorter than a night
BUCKET = 2**24  # numbers that are summed at once; one parameter that has more goes alone

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Processes:
    """The processes of a run, as one of them sees them. All must call the same methods in the same order.

    Attributes:
        size: how many there are.
        rank: which of them this is, from 0; number 0, the main one, writes files and shows progress.
        sharded: whether each holds a share of the language model instead of the whole (sharding.py). Then none can
            compute anything without the others.
    """

    size: int = 1
    rank: int = 0
    sharded: bool = False

    @property
    def main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def apart(self) -> "Processes":
        """Among whom work that runs the model is dealt out: all of them, or where they hold shares of one model, this
        one alone, so that each does all of it, in step with the others."""
        return ALONE if self.sharded else self

    def map(self, items: Sequence[Item], work: Callable[[Item], Result]) -> list[Result]:
        """``[work(item) for item in items]``, dealt out: item number i is done by process i modulo ``size``.

        Returns:
            What ``work`` gave for every item, in the order of the items, in every process.
        """
        own = [work(item) for item in items[self.rank :: self.size]]
        if self.size == 1:
            return own
        shares: list[list[Result]] = gather_object([own])
        return [shares[number % self.size][number // self.size] for number in range(len(items))]

    def on_main(self, work: Callable[[], Result]) -> Result:
        """What ``work`` gives in the main process, in every process."""
        if self.size == 1:
            return work()
        result: Result = broadcast_object_list([work() if self.main else None])[0]
        return result

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients over the processes, in place; a parameter that no process used is left without one."""
        if self.size == 1:
            return
        used = gather_object([[parameter.grad is not None for parameter in parameters]])
        gradients = []
        for parameter, by_process in zip(parameters, zip(*used, strict=True), strict=True):
            if any(by_process):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                gradients.append(parameter.grad)
        for bucket in _buckets(gradients):
            total = reduce(torch.cat([gradient.flatten() for gradient in bucket]), "sum")
            for gradient, part in zip(bucket, total.split([g.numel() for g in bucket]), strict=True):
                gradient.copy_(part.view_as(gradient))

    def require_same(self, value: Callable[[], str], what: str) -> None:
        """Refuse to go on where the processes differ in something that they should share.

        Raises:
            RuntimeError: names what differs, and the value of each process.
        """
        if self.size == 1:
            return
        values = gather_object([value()])
        if len(set(values)) > 1:
            raise RuntimeError(
                f"{what} should be the same in all {self.size} processes, found "
                + ", ".join(f"{text[:12]} in process {rank}" for rank, text in enumerate(values))
                + "; they no longer train one model: start the run again, it goes on from its last checkpoint"
            )


ALONE = Processes()


@contextmanager
def joined(expected: int, sharded: bool = False) -> Iterator[Processes]:
    """The processes that this one was started with; CUDA's current device is set to the GPU of this process.

    A process that waits for another one gives up after ``TIMEOUT``. One that raises makes the launcher end the others
    at once, and all end with the launcher, however it ends.

    Args:
        expected: how many there must be. A launcher may start one where several were asked for, and say nothing.
        sharded: whether they share one model out among themselves.

    Raises:
        RuntimeError: another number of processes.
    """
    found = int(os.environ.get("WORLD_SIZE", "1"))
    if found != expected:
        raise RuntimeError(
            f"expected {expected} processes, found {found}; start them with barnlib.launch.launch(module, arguments, "
            f"{expected})"
        )
    threading.Thread(target=_end_with_the_launcher, daemon=True).start()
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=TIMEOUT)
    if state.num_processes != expected:
        raise RuntimeError(f"expected a group of {expected} processes, found one of {state.num_processes}")
    yield Processes(state.num_processes, state.process_index, sharded)
    state.destroy_process_group()  # not after an error: the others no longer answer


def _end_with_the_launcher() -> None:
    """The launcher holds the other end of standard input and never writes: it closes when the launcher is gone."""
    while os.read(0, 1):  # not through sys.stdin, whose lock would be held when the interpreter ends
        pass
    os._exit(1)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in order, as many together as stay within ``BUCKET`` numbers; one dtype and device in each."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        alike = not bucket or (tensor.dtype, tensor.device) == (bucket[0].dtype, bucket[0].device)
        if bucket and (not alike or sum(t.numel() for t in bucket) + tensor.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket
