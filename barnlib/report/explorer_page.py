"""Sphinx extension: the explorer's files behind the page of the book that shows it, and behind no other.

In:  ``_explorer/`` beside the book's configuration, where ``barnlib.report.book`` has put what explorer.py wrote.
Out: ``_static/explorer/`` of the built book; the page with ``<div class="explorer">`` loads its scripts and style.
"""

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes

FOLDER = "_explorer"
PLACE = '<div class="explorer">'


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", _copy)
    app.connect("html-page-context", _add)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _copy(app: Any) -> None:
    source = Path(app.confdir, FOLDER)
    if app.builder.format == "html" and source.is_dir():
        shutil.copytree(source, Path(app.outdir, "_static", "explorer"), dirs_exist_ok=True)


def _add(app: Any, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    if PLACE in context.get("body", "") and Path(app.confdir, FOLDER).is_dir():
        app.add_css_file("explorer/explorer.css")
        app.add_js_file("explorer/items.js", loading_method="defer")
        app.add_js_file("explorer/explorer.js", loading_method="defer")
