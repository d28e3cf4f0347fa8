"""Executed notebooks on their way into the book: judged, cleaned, and searched for what they glued.

In:  an executed notebook, as papermill wrote it.
Out: what is wrong with it (nothing, or the book is not built), the copy that the book shows, and the outputs that
     it glued for other pages.
"""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

from barnlib.report.vega import MIME_TYPES, figure

# Anything in an HTML output that a browser would fetch from elsewhere; links that a reader may follow are no request.
FETCHED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*\bsrc\s*=\s*["']?(https?:)?//"""
    r"""|<link\b[^>]*\bhref\s*=\s*["']?(https?:)?//|\bimport\s*\(?\s*["']https?://"""
    r"""|url\(\s*["']?https?://""",
    re.IGNORECASE,
)
BESIDE = re.compile(r"\]\(([\w-]+)\.ipynb")  # a Markdown link to a notebook in the same folder
SHOWN_AS_TAGGED = {"parameters", "show-input", "remove-cell"}
PREFIX = "application/papermill.record/"  # of the MIME types of an output that was glued without being shown


def problems(path: Path) -> tuple[Any, list[str]]:
    """An executed notebook, and what speaks against showing it: an exception, a cell that did not run, a request."""
    try:
        notebook = nbformat.read(path, as_version=4)
    except (nbformat.reader.NotJSONError, nbformat.ValidationError, UnicodeDecodeError) as error:
        return None, [f"is no notebook ({str(error).splitlines()[0][:100]})"]
    found = []
    cells = [
        (n, cell)
        for n, cell in enumerate(notebook.cells, 1)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    for number, cell in cells:
        errors = [output for output in cell.outputs if output.output_type == "error"]
        found += [f"cell {number} failed: {error.ename}: {_first_line(error.evalue)}" for error in errors]
        if cell.execution_count is None and not errors:
            found.append(f"cell {number} was not executed")
        if any(FETCHED.search(html) for html in _html(cell.outputs)):
            found.append(f"the output of cell {number} loads something from the network")
    if notebook.metadata.get("papermill", {}).get("exception") and not found:
        found.append("papermill reports an exception")
    return notebook, found


def for_book(notebook: Any, title: str | None = None) -> Any:
    """The copy that the book shows.

    The defaults that papermill overrode are left out, since they would contradict the cell after them. The record of
    who executed it and where is left out as well, because pages and downloads would carry paths of a machine. Code is
    folded, but for parameters and for cells tagged ``show-input``; a cell tagged ``remove-cell`` is not shown.

    Args:
        title: of a run: added to the first heading, to tell its page from another's. Links to notebooks beside the
            source then lead from ``runs/`` to ``notebooks/``.
    """
    shown = copy.deepcopy(notebook)
    if any("injected-parameters" in _tags(cell) for cell in shown.cells):
        shown.cells = [cell for cell in shown.cells if "parameters" not in _tags(cell)]
    for cell in shown.cells:
        for machine in ("papermill", "execution"):
            cell.metadata.pop(machine, None)
        if cell.cell_type == "code" and "injected-parameters" in _tags(cell):
            cell.source = cell.source.removeprefix("# Parameters\n")
        elif cell.cell_type == "code" and not SHOWN_AS_TAGGED & set(_tags(cell)):
            cell.metadata["tags"] = [*_tags(cell), "hide-input"]
    for machine in ("papermill", "widgets"):
        shown.metadata.pop(machine, None)
    if title:
        _retitle(shown, title)
        for cell in shown.cells:
            if cell.cell_type == "markdown":
                cell.source = BESIDE.sub(r"](../notebooks/\1.ipynb", cell.source)
    return shown


def glued(notebooks: Mapping[str, Any]) -> dict[str, str]:
    """What notebooks glued, by name, as MyST text: Markdown as it is, a chart as a figure, HTML raw."""
    found: dict[str, str] = {}
    for notebook in notebooks.values():
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                name = output.get("metadata", {}).get("scrapbook", {}).get("name")
                if name:
                    data = {kind.removeprefix(PREFIX): value for kind, value in output["data"].items()}
                    found[name] = _as_myst(data)
    return found


def _as_myst(data: Mapping[str, Any]) -> str:
    for kind in MIME_TYPES:
        if kind in data:
            return f"```{{raw}} html\n{figure(data[kind])}\n```\n"
    if "text/markdown" in data:
        return f"{data['text/markdown']}\n"
    if "text/html" in data:
        return f"```{{raw}} html\n{data['text/html']}\n```\n"
    return f"{data.get('text/plain', '')}\n"


def _retitle(notebook: Any, title: str) -> None:
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.lstrip().startswith("# "):
            heading, _, rest = cell.source.lstrip().partition("\n")
            cell.source = f"{heading}: {title}\n{rest}"
            return


def _tags(cell: Any) -> list[str]:
    return cell.metadata.get("tags", [])


def _html(outputs: list[Any]) -> list[str]:
    return [
        str(value)
        for output in outputs
        for kind, value in output.get("data", {}).items()
        if kind.endswith("text/html")
    ]


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["without a message"])[0][:200]
