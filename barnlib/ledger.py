"""The ledger: one JSON per run that proves what was the same and what was not.

In:  what a run saw (digests of data, order, features, prompts, tokenizer, configuration, sources), where it
     ran, and what it took.
Out: `ledger.json` in the run's folder; `compare` turns several of them into a table with a verdict for each
     field. The analysis calls `require_controlled` before it reads a single prediction.

A field that nobody has listed as free to differ is controlled: a new field cannot slip past the comparison.
"""

import ast
import hashlib
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd

from barnlib.artefacts import file_digest, read_json

PACKAGES = ("torch", "transformers", "peft", "tokenizers", "safetensors", "numpy", "pillow", "obspy")
ABSENT = "(absent)"
SAME, INTENDED, UNAVOIDABLE, VIOLATION = "same", "intended", "unavoidable", "violation"


@dataclass(frozen=True)
class Freedom:
    """Fields that may differ between runs, and what alone may make them differ."""

    patterns: str  # of dotted field names, as in a shell, separated by spaces
    follows: frozenset[str]  # runs that agree in these fields must agree in this one
    verdict: str
    reason: str


_BACKBONE, _SEED, _RUN = frozenset({"backbone"}), frozenset({"seed"}), frozenset({"run"})

FREEDOMS = (
    Freedom("run", _RUN, INTENDED, "the name of the run"),
    Freedom("backbone", _BACKBONE, INTENDED, "what the study compares"),
    Freedom("backbone_model.*", _BACKBONE, INTENDED, "the backbone: its weights, its shape, its tokenizer"),
    Freedom("seed", _SEED, INTENDED, "what the study repeats"),
    Freedom("order.*", _SEED, INTENDED, "drawn from the seed alone: the same for every backbone"),
    Freedom(
        "projector.*",
        frozenset({"seed", "backbone_model.hidden_size"}),
        INTENDED,
        "drawn from the seed alone: the same for every backbone of one width",
    ),
    Freedom("prompts.native", _BACKBONE, INTENDED, "the arm 'native': each model's own template"),
    Freedom("prompts.tokens", _BACKBONE, UNAVOIDABLE, "the same text in another tokenizer's ids"),
    Freedom("lora.*", _BACKBONE, UNAVOIDABLE, "adapters have the shape of the layers that they adapt"),
    Freedom(
        "tokens.*", _BACKBONE | _SEED, UNAVOIDABLE, "other tokenizers cut the same text into other pieces"
    ),
    Freedom(
        "code.revision code.dirty", _RUN, UNAVOIDABLE, "code.sources compares the code that decides a run"
    ),
    Freedom(
        "hardware.cpu hardware.cores hardware.threads hardware.memory_gib hardware.processes hardware.sharded",
        _RUN,
        UNAVOIDABLE,
        "which machine was free, and how the steps were shared out; device and precision are compared",
    ),
    Freedom("preflight.* measured.*", _RUN, UNAVOIDABLE, "an outcome of the run, not a condition of it"),
)


class ControlError(ValueError):
    """Two runs differ in something that the study says is the same."""


# --- What a run writes down


def text_digest(parts: Sequence[str]) -> str:
    """SHA-256 (hex) of a sequence of texts; their lengths go in too, so that moving a boundary changes it."""
    digest = hashlib.sha256()
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big"))
        digest.update(encoded)
    return digest.hexdigest()


def sources(start: Path) -> list[Path]:
    """The files of a package that a module reaches by import statements, that module included, sorted.

    Args:
        start: a module's file inside the package, for example `barnlib/finetune.py`.
    """
    start = start.resolve()
    package = start.parent
    while (package.parent / "__init__.py").exists():
        package = package.parent
    found: set[Path] = set()
    queue = [start]
    while queue:
        file = queue.pop()
        if file in found:
            continue
        found.add(file)
        queue += _imported(file.read_text(), package)
    return sorted(found)


@cache  # the Snakefile asks for most modules once for each rule
def _imported(source: str, package: Path) -> tuple[Path, ...]:
    """The package's files that import statements of a module's source name, and those of the packages around them."""
    names: dict[str, None] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in named:
            first, *rest = name.split(".")
            if first == package.name:
                names |= dict.fromkeys("/".join(rest[:depth]) for depth in range(1, len(rest) + 1))
    places = [place for name in names for place in (package / f"{name}.py", package / name / "__init__.py")]
    return tuple(place.resolve() for place in places if place.exists())


def code(start: Path) -> dict[str, Any]:
    """Which code ran: Git's revision where there is one, and always a digest of the sources.

    Returns:
        revision: the commit's hash, or None outside a repository or without Git.
        dirty: whether tracked files differ from that commit, or None.
        sources: digest over names and contents of the files that `start` reaches.
    """
    files = sources(start)
    revision = _git(start.parent, "rev-parse", "HEAD")
    status = _git(start.parent, "status", "--porcelain", "--untracked-files=no") if revision else None
    return {
        "revision": revision,
        "dirty": None if status is None else bool(status),
        "sources": text_digest([text for file in files for text in (file.name, file.read_text())]),
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def checkpoint_digest(checkpoint: Path | str) -> str:
    """Digest over names and contents of a checkpoint's files; a hub id stands for itself."""
    if not isinstance(checkpoint, Path):
        return checkpoint
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file())
    return text_digest([part for f in files for part in (str(f.relative_to(checkpoint)), file_digest(f))])


def hardware(device: str, precision: str) -> dict[str, Any]:
    """Where a run took place, without anything that names the machine.

    Args:
        device: what the model ran on, for example "cpu" or the accelerator's product name.
        precision: what it computed in, for example "float32".
    """
    import torch

    return {
        "device": device,
        "precision": precision,
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def packages(more: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of the packages that can change a number, where they are installed.

    Args:
        more: names of those that can change a number of this run and of no run that does without them.
    """
    versions = {"python": platform.python_version()}
    for name in (*PACKAGES, *more):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = ABSENT
    return versions


class Meter:
    """Time and memory of a run, also of one that is interrupted and goes on in another process.

    Args:
        before: what `read` gave when the run was interrupted.
    """

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self._before = dict(before or {})
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def read(self) -> dict[str, float]:
        """wall_s and cpu_s (of all threads) so far, and peak_memory_mib of the process so far."""
        return {
            "wall_s": round(self._before.get("wall_s", 0.0) + time.perf_counter() - self._wall, 3),
            "cpu_s": round(self._before.get("cpu_s", 0.0) + time.process_time() - self._cpu, 3),
            "peak_memory_mib": max(self._before.get("peak_memory_mib", 0), _peak_memory_mib()),
        }


def _peak_memory_mib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 2**20 if sys.platform == "darwin" else peak / 2**10)


# --- What the study reads


def read(path: Path) -> dict[str, Any]:
    """One run's ledger.

    Raises:
        ValueError: the file is no JSON object, or lacks one of the names by which runs are compared.
    """
    entry = read_json(path)
    missing = [
        name for name in ("run", "backbone", "seed") if not isinstance(entry, dict) or name not in entry
    ]
    if missing:
        raise ValueError(f"{path} lacks {', '.join(missing)}: not a ledger that finetune.train_run wrote")
    return entry


def flatten(entry: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested ledger → {"data.train": …}; lists stay whole, as JSON text."""
    flat: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return flat


def compare(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Every field of some runs' ledgers, side by side, with a verdict.

    A field is a violation if two runs differ in it that should agree: any two runs for a controlled field, two
    runs of one seed for the order of examples, two runs of one backbone for its tokenizer, and so on, as
    `FREEDOMS` says. A run that lacks the field differs in it.

    Returns:
        One row per field: field, one column per run (by its name), verdict ("same", "intended", "unavoidable"
        or "violation"), reason. Violations come first.

    Raises:
        ValueError: no ledger, or two of the same name. (A single run agrees with itself in every field.)
    """
    names = [str(entry["run"]) for entry in entries]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"a comparison needs runs, each of its own name; got {names}")
    flat = [flatten(entry) for entry in entries]
    fields = list(dict.fromkeys(field for run in flat for field in run))
    rows = []
    for field in fields:
        values = [run.get(field, ABSENT) for run in flat]
        verdict, reason = _verdict(field, values, flat)
        rows.append(
            {"field": field, **dict(zip(names, values, strict=True)), "verdict": verdict, "reason": reason}
        )
    rank = {VIOLATION: 0, INTENDED: 1, UNAVOIDABLE: 2, SAME: 3}
    rows.sort(key=lambda row: rank[row["verdict"]])
    return pd.DataFrame(rows, columns=["field", *names, "verdict", "reason"], dtype=object)


def _verdict(field: str, values: Sequence[Any], runs: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    if all(value == values[0] for value in values):
        return SAME, ""
    freedom = next((f for f in FREEDOMS if any(fnmatchcase(field, p) for p in f.patterns.split())), None)
    if freedom is None:
        return VIOLATION, "must be the same in every run"
    seen: dict[tuple[Any, ...], Any] = {}
    for value, run in zip(values, runs, strict=True):
        key = tuple(run.get(name, ABSENT) for name in sorted(freedom.follows))
        if seen.setdefault(key, value) != value:
            return VIOLATION, f"may differ with the {' and the '.join(sorted(freedom.follows))} only"
    return freedom.verdict, freedom.reason


def require_controlled(entries: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`compare`, or an error that names every violation.

    Raises:
        ControlError: two runs differ in something that the study says is the same.
    """
    table = compare(entries)
    broken = table[table["verdict"] == VIOLATION]
    if len(broken):
        names = [str(entry["run"]) for entry in entries]
        lines = [
            f"  {row['field']} ({row['reason']}): " + ", ".join(f"{name} has {row[name]!r}" for name in names)
            for _, row in broken.iterrows()
        ]
        raise ControlError(
            f"{len(broken)} field(s) differ between runs that should agree:\n"
            + "\n".join(lines)
            + "\nTrain the runs again from the same study file, data and code."
        )
    return table
