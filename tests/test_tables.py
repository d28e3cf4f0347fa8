"""barnlib.report.tables: the script is with the tables of a book, and with nothing else.

What it does with a table is seen in a browser: test_book_in_browser.py.
"""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from small_sphinx import Sphinx
from sphinx import application

from barnlib.paths import ROOT
from barnlib.report import tables

FRAME = pd.DataFrame({"backbone": ["a", "b"], "accuracy": [0.5, 0.25]})
PAGES = {
    "index": "Front\n=====\n\nWords only.\n\n.. toctree::\n\n   listed\n   quoted\n   frame\n",
    "listed": "Listed\n======\n\n.. list-table::\n\n   * - one\n     - two\n",
    "quoted": "Quoted\n======\n\nA page on ``<table>``:\n\n.. code-block:: html\n\n   <table></table>\n",
    "frame": "Frame\n=====\n\n.. raw:: html\n\n" + re.sub("^", "   ", FRAME.to_html(), flags=re.MULTILINE),
}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A book of four pages as Sphinx itself builds it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    for name, text in PAGES.items():
        (source / f"{name}.rst").write_text(text, encoding="utf-8")
    overrides = {"extensions": ["barnlib.report.tables"], "html_theme": "basic"}
    app = application.Sphinx(
        source, None, out, source / ".doctrees", "html", overrides, status=None, warning=None
    )
    app.build()
    assert app.statuscode == 0
    return out


def scripts(page: Path) -> list[str]:
    """The elements of a page that load the script."""
    return re.findall(r"<script[^>]*\btables\.js[^>]*>", page.read_text(encoding="utf-8"))


def test_pages_of_a_built_book_load_it_where_there_is_a_table(built: Path):
    loaded = {name: scripts(built / f"{name}.html") for name in PAGES}
    assert {name: len(found) for name, found in loaded.items()} == {
        "index": 0,
        "listed": 1,
        "quoted": 0,
        "frame": 1,
    }
    assert all("defer" in element for found in loaded.values() for element in found)
    assert (built / "_static" / "tables.js").read_text(encoding="utf-8") == tables.SCRIPT.read_text(
        encoding="utf-8"
    )


def test_a_table_without_the_script_is_what_it_was(built: Path):
    assert FRAME.to_html() in (built / "frame.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("body", "loaded"),
    [
        (FRAME.to_html(), ["tables.js"]),
        (FRAME.style.to_html(), ["tables.js"]),
        ("<p>A table of contents: &lt;table&gt;</p>", []),
        ("<figure>tables.js</figure>", []),
    ],
)
def test_it_goes_by_the_element(tmp_path, body: str, loaded: list[str]):
    app = Sphinx(tmp_path)
    assert tables.setup(app) == {"parallel_read_safe": True, "parallel_write_safe": True}
    assert app.page(body=body) == loaded
    assert app.page() == []


def test_a_book_on_paper_has_no_script(tmp_path):
    app = Sphinx(tmp_path, "latex")
    tables.setup(app)
    assert not app.build().exists()


def test_the_book_uses_it():
    config = yaml.safe_load((ROOT / "book" / "_config.yml").read_text(encoding="utf-8"))
    assert tables.__name__ in config["sphinx"]["extra_extensions"]
