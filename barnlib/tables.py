"""Sphinx extension: tables that a reader can sort and filter.

In:  the book's pages as Sphinx writes them.
Out: ``tables.js`` on pages with a table. Without a script the tables are as they were.
"""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes

SCRIPT = "tables.js"


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", _copy)
    app.connect("html-page-context", _add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _copy(app: Any) -> None:
    if app.builder.format == "html":
        folder = Path(app.outdir, "_static")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(__file__).with_suffix(".js"), folder / SCRIPT)


def _add(app: Any, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    if "<table" in context.get("body", ""):
        app.add_js_file(SCRIPT, loading_method="defer")
