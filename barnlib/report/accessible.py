"""Sphinx extension: what the theme's markup needs to be understood by a screen reader.

In:  the book's pages as Sphinx writes them. Out: the same pages; a bibliography is a list of list items, where docutils
     writes a list of entries whose role (``doc-biblioentry``) no list may hold.
"""

from typing import Any

from docutils import nodes


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("html-page-context", _mend)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mended(body: str) -> str:
    """The HTML of a page with the roles of a bibliography put right."""
    return body.replace('role="doc-biblioentry"', 'role="listitem"')


def _mend(app: Any, pagename: str, templatename: str, context: dict, doctree: nodes.document | None) -> None:
    if "body" in context:
        context["body"] = mended(context["body"])
