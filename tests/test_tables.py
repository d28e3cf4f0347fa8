"""barnlib.report.tables: the script is with the tables of a book, and with nothing else.

How it sorts and filters is seen in a browser in test_book_in_browser.py, how it makes room for a last column here.
"""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from in_browser import DESK, PHONE, opened
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


def output_page(folder: Path, table: pd.DataFrame) -> Path:
    """A page as wide as the book's column with a table as a notebook's output, with the book's style and the script."""
    style = (ROOT / "book" / "_static" / "barn.css").read_text(encoding="utf-8")
    page = folder / "page.html"
    page.write_text(
        f"<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'><style>{style}</style>"
        "<article class=bd-article style='max-width: 655px'>"
        f"<div class=cell_output><div class=text_html>{table.to_html()}</div></div></article>"
        f"<script>{tables.SCRIPT.read_text(encoding='utf-8')}</script>",
        encoding="utf-8",
    )
    return page


SHAPE = """const table = document.querySelector("table"), around = table.closest(".text_html");
return {inside: around.scrollWidth <= around.clientWidth + 1, text: table.tHead.textContent.replace(/\\s+/g, " "),
        words: Math.min(...[...document.querySelectorAll("td.words")].map((cell) => cell.offsetWidth)),
        numbers: document.querySelectorAll("tbody td:not(.words)").length}"""


def test_the_last_column_of_a_wide_output_is_seen_on_a_desk_and_scrolled_to_on_a_phone(browser, tmp_path):
    long = "correlation of right answers within question types and difficulties"
    wide = pd.DataFrame(
        [[long, 0.25, long, 0.5, 1]] * 3,
        columns=["pair", "share_of_all_the_runs", "note", "low_of_runs", "n"],
    )
    page = output_page(tmp_path, wide)
    opened(browser, page, size=DESK)
    seen = browser.execute_script(SHAPE)
    assert seen["inside"] and seen["words"] >= 120 and seen["numbers"] == 9
    assert "share_of_all_the_runs" in seen["text"], "a name that breaks is still the same name"
    opened(browser, page, size=PHONE)
    assert not browser.execute_script(SHAPE)["inside"]


def test_a_narrow_output_is_as_wide_as_its_words(browser, tmp_path):
    opened(browser, output_page(tmp_path, FRAME), size=DESK)
    width = browser.execute_script("return document.querySelector('table').offsetWidth")
    assert width < 300
