"""Sphinx extension: tables that a reader can sort and filter.

In:  the book's pages as Sphinx writes them.
Out: ``tables.js`` on pages with a table. Without a script the tables are as they were.
"""

from pathlib import Path
from typing import Any

from barnlib.report.page_scripts import add_script

SCRIPT = Path(__file__).with_suffix(".js")


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    return add_script(app, SCRIPT.name, lambda: SCRIPT.read_text(encoding="utf-8"), where="<table")
