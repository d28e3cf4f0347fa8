"""No number of a result is typed: prose takes its figures from the run, from the study file, or from a cited source."""

import re
from pathlib import Path

import nbformat
import pytest

from barnlib.paths import ROOT

# Pages whose prose speaks of results; the log and the changelog tell what was measured once, with its place and time.
PAGES = [ROOT / "book" / f"{name}.md" for name in ("index", "limits", "protocol", "runs")]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SOURCED = (
    r"```.*?```",  # a listing, or an included piece
    r"`[^`]*`",  # code
    r"{{.*?}}",  # a figure of the study file
    r"{cite(?::\w+)?}`[^`]*`",
    r"\$[^$]+\$",  # a formula
    r"\]\([^)]*\)",  # the address of a link
    r"^:::.*$",  # a directive and its options: ::::{grid} 1 1 3 3
    r"^:\w+:.*$",
    r"^\s*\d\. ",  # the number of a list's line
)
NAMES = (
    r"LLaMA-[123]",
    r"LLaVA-1\.5",
    r"\bC[1-6]\b",  # the paper's claims
    r"\bF1\b",
    r"\b95 %",  # the level of every interval, a convention and no result
    r"\b32-bit\b|\b(?:fp|bf)\d\d\b",
    r"(?<![\d.,])(?:0|1|100 %)(?![\d.,]*\d| ?%| of| in| out)",  # the ends of a scale
    r"says 80 % should be right",  # an example of what calibration means
    r"\b30° W\b",  # where the maps begin, by construction
    r"\b(?:19|20)\d\d\b",  # years of publications and earthquakes
)
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def unsourced(text: str) -> list[str]:
    """Numbers of a Markdown text that nothing accounts for, each with the words around it."""
    for pattern in SOURCED:
        text = re.sub(pattern, " ", text, flags=re.DOTALL if pattern.startswith("```") else re.MULTILINE)
    for pattern in NAMES:
        text = re.sub(pattern, "", text)
    return [
        text[max(0, found.start() - 40) : found.end() + 20].replace("\n", " ")
        for found in NUMBER.finditer(text)
    ]


def prose(path: Path) -> str:
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", [*PAGES, *NOTEBOOKS], ids=lambda path: path.stem)
def test_every_number_has_a_source(path):
    assert unsourced(prose(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "LLaMA-3 is right on 61 % of them",
        "ahead by 4.5 points",
        "in 3 of four",
        "| C1 | 76.5 % |",
        "1 of them",
    ],
)
def test_a_typed_result_is_found(text):
    assert len(unsourced(text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "{{ study.evaluation.tolerance_km }} km",
        "LLaMA-1 to LLaMA-3 in C2, with 95 % intervals",
        "`seed=0` and [a link](page1.md)",
        "```bash\nmake 3\n```",
        "::::{grid} 1 1 3 3\n:gutter: 3",
        "{cite}`horawalavithana2026barn` and $a^2$",
    ],
)
def test_what_has_a_source_is_let_through(text):
    assert unsourced(text) == []
