"""Starting several processes from a notebook, one for each GPU, and hearing of it when one of them fails.

In:  a module of this project that joins its processes (processes.py), its arguments, and how many to start.
Out: what they write to the terminal goes to this process's standard error, as it comes; an error of one of them is
     raised here, in its own words.

``torch.distributed.run`` starts the processes. Not ``accelerate launch``, which on CPUs starts one process where two
were asked for and says nothing (accelerate 1.15), and not ``notebook_launcher``, which forks a kernel that may have
used CUDA.
"""

import codecs
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

import torch

TAIL = 2000  # characters of output that are quoted where a process ended without an error of its own


def launch(module: str, arguments: Sequence[str], processes: int) -> None:
    """Run ``python -m module arguments`` in several processes at once, to their end.

    All of them end when one fails, when this call is interrupted, and when this process dies.

    Args:
        module: its main function is wrapped in torch's ``record``, and joins its processes.
        processes: how many; on a machine with GPUs at most one for each.

    Raises:
        ValueError: more processes than GPUs.
        RuntimeError: a process failed; carries the message of the first one that did.
    """
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise ValueError(f"{processes} processes need as many GPUs, found {gpus}; expected at most {gpus}")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc_per_node", str(processes), "-m", module, *arguments]
    threads = str(max(1, (os.cpu_count() or 1) // processes))
    with TemporaryDirectory() as folder:
        report = Path(folder) / "error.json"
        environment = {"OMP_NUM_THREADS": threads, **os.environ, "TORCHELASTIC_ERROR_FILE": str(report)}
        with subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,  # open as long as this process lives; joined() watches it
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as agent:
            try:
                assert agent.stdout is not None
                tail = _pass_on(agent.stdout)
            except BaseException:  # an interrupted notebook too
                agent.terminate()
                raise
        if agent.returncode:
            said = _message(report) or f"exit status {agent.returncode}; the last of its output:\n{tail}"
            raise RuntimeError(f"one of {processes} processes failed: {said}")


def _pass_on(stream: IO[bytes]) -> str:
    """Write a stream to standard error as it comes, carriage returns of a progress bar included; returns its end."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    tail = ""
    while chunk := os.read(stream.fileno(), 2**16):
        text = decoder.decode(chunk)
        sys.stderr.write(text)
        sys.stderr.flush()
        tail = (tail + text)[-TAIL:]
    return tail


def _message(report: Path) -> str:
    """What the first process that failed raised, as ``TYPE: message``; empty where it could not say."""
    if not report.is_file():
        return ""
    said = json.loads(report.read_text(encoding="utf-8"))["message"]
    return str(said["message"] if isinstance(said, dict) else said)
