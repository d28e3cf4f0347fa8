"""What the book's extensions use of Sphinx's application: events, folders, and the files that a page loads."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace


class Sphinx:
    """A book in a folder, built into its folder ``built``.

    ``events`` has the handler of each event; ``page`` says which files a page loads.
    """

    def __init__(self, folder: Path, format: str = "html") -> None:
        self.confdir, self.outdir = str(folder), str(folder / "built")
        self.builder, self.events = SimpleNamespace(format=format), dict[str, Callable]()
        self.loaded: list[str] = []

    def connect(self, event: str, handler: Callable) -> None:
        self.events[event] = handler

    def add_css_file(self, name: str) -> None:
        self.loaded.append(name)

    def add_js_file(self, name: str, *, loading_method: str) -> None:
        assert loading_method == "defer", "a page's elements come before its scripts"
        self.loaded.append(name)

    def build(self) -> Path:
        """The folder of files that pages load, when a builder has started."""
        self.events["builder-inited"](self)
        return Path(self.outdir, "_static")

    def page(self, **context: str) -> list[str]:
        """Files that a page loads, in order."""
        self.loaded.clear()
        self.events["html-page-context"](self, "page", "page.html", context, None)
        return list(self.loaded)
