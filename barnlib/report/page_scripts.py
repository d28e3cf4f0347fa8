"""Scripts of the book's pages: written once into the built book, loaded by those pages alone that need them.

In:  a Sphinx application, a script, and the HTML by which a page shows that it needs it.
Out: ``_static/NAME.js`` of the built book. Next: ``barnlib.report.vega`` and ``barnlib.report.tables`` name theirs.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def add_script(app: Any, name: str, source: Callable[[], str], *, where: str) -> dict[str, bool]:
    """Write a script when an HTML book is built, and load it, deferred, on the pages that hold a text.

    Args:
        app: Sphinx's application.
        name: file name of the script under ``_static``.
        source: makes the script's text.
        where: HTML that a page has if it needs the script.

    Returns:
        What ``setup`` of a Sphinx extension returns: it may be read and written in parallel.
    """

    def write(app: Any) -> None:
        if app.builder.format == "html":
            folder = Path(app.outdir, "_static")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(source(), encoding="utf-8")

    def load(app: Any, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
        if where in context.get("body", ""):
            app.add_js_file(name, loading_method="defer")

    app.connect("builder-inited", write)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
