"""Real English and real Python for the backbones made here, read from packages that this project installs anyway.

In:  the source files of `PACKAGES` (BSD and LGPL), as installed; nothing is imported or run.
Out: streams of docstrings (prose) and of functions without their docstrings (code). Next: corpus.py mixes
     them with scenes, seismic text and records.

One file in twenty, chosen by the digest of its name, is never trained on: held-out losses are measured there.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import inspect
import re
import textwrap
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

PACKAGES = {
    "pandas": "pandas",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "obspy": "obspy",
}
"""Distribution -> module."""
SHORTEST, LONGEST = 120, 1_500
"""Characters of one function, and at least of one docstring."""
LARGEST_FILE = 300_000
WORDS = 1_500
_WORD = re.compile(r"\b[A-Za-z]{3,9}\b")
_EXAMPLES = re.compile(r"^(Examples?|References|See Also|Notes)\n-{3,}", re.MULTILINE)
_CONSOLE = re.compile(r"^\s*(>>>|\.\.\. |\.\. ).*\n?", re.MULTILINE)
_MARK = re.compile(r"<(?:s|/s|unk|pad|image|\|\w*\|)>")
"""Texts with a tokenizer's special token in them are left out."""


def package_versions() -> dict[str, str]:
    """Distribution -> installed version: with the seed, what decides prose and code."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def prose(rng: np.random.Generator, *, held_out: bool) -> Iterator[str]:
    """Docstrings without end, file by file in random order; after the last file the order is drawn anew.

    Sections of examples, references, notes and links are left out, and lines of console sessions and
    directives.
    """
    for path in _files_forever(rng, held_out):
        yield from _parts(path)[0]


def code(rng: np.random.Generator, *, held_out: bool) -> Iterator[str]:
    """Functions of `SHORTEST` to `LONGEST` characters without their docstrings, without end, as `prose`."""
    for path in _files_forever(rng, held_out):
        yield from _parts(path)[1]


@lru_cache(maxsize=1)
def common_words() -> tuple[str, ...]:
    """The `WORDS` most frequent words of three to nine letters in the prose that is trained on."""
    files = [path for path in _files() if not _is_held_out(path)]
    counts = Counter(word for path in files for text in _parts(path)[0] for word in _WORD.findall(text))
    return tuple(sorted(sorted(counts), key=counts.__getitem__, reverse=True)[:WORDS])


@lru_cache(maxsize=1)
def _files() -> tuple[Path, ...]:
    """Every source file of the packages, tests and generated data apart, sorted by name.

    Raises:
        ValueError: a package is not installed.
    """
    found: list[Path] = []
    for distribution, module in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ValueError(
                f"the text corpus reads the sources of {distribution}, which is not installed: "
                f"pip install {distribution}"
            )
        folder = Path(spec.origin).parent
        inside = sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix())
        found += [
            path
            for path in inside
            if not {"tests", "test", "externals", "datasets"} & set(path.relative_to(folder).parts)
            and path.stat().st_size <= LARGEST_FILE
        ]
    return tuple(found)


def _is_held_out(path: Path) -> bool:
    """By the name from the package on, so that it does not depend on where packages are installed."""
    parts = path.parts
    name = "/".join(parts[max(i for i, part in enumerate(parts) if part in PACKAGES.values()) :])
    return hashlib.sha256(name.encode()).digest()[0] % 20 == 0


def _files_forever(rng: np.random.Generator, held_out: bool) -> Iterator[Path]:
    files = [path for path in _files() if _is_held_out(path) == held_out]
    while True:
        for index in rng.permutation(len(files)):
            yield files[int(index)]


@lru_cache(maxsize=4096)
def _parts(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Docstrings and functions of one file."""
    source = path.read_text(encoding="utf-8", errors="replace")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # of the packages' own escape sequences
        tree = ast.parse(source)
    lines = source.splitlines(keepends=True)
    texts, functions = [], []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            continue
        raw = ast.get_docstring(node, clean=False)
        text = _plain(raw) if raw else ""
        if len(text) >= SHORTEST and not _MARK.search(text):
            texts.append(text)
        if isinstance(node, ast.FunctionDef):
            body = _without_docstring(node, lines, has_docstring=raw is not None)
            if SHORTEST <= len(body) <= LONGEST and not _MARK.search(body):
                functions.append(body)
    return tuple(texts), tuple(functions)


def _plain(docstring: str) -> str:
    text = inspect.cleandoc(docstring)
    section = _EXAMPLES.search(text)
    return _CONSOLE.sub("", text[: section.start()] if section else text).strip()


def _without_docstring(node: ast.FunctionDef, lines: list[str], *, has_docstring: bool) -> str:
    first, last = node.lineno - 1, node.end_lineno or node.lineno
    if has_docstring:
        expression = node.body[0]
        kept = lines[first : expression.lineno - 1] + lines[expression.end_lineno or expression.lineno : last]
    else:
        kept = lines[first:last]
    return textwrap.dedent("".join(kept)).strip()
