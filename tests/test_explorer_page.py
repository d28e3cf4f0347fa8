"""barnlib.report.explorer_page: the explorer's files come with the book, and one page loads them."""

from pathlib import Path

import pytest
from small_sphinx import Sphinx

from barnlib.report.explorer import placed
from barnlib.report.explorer_page import FOLDER, setup


@pytest.fixture
def app(tmp_path: Path) -> Sphinx:
    """A book with an explorer of two files."""
    folder = tmp_path / FOLDER / "images"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(b"png")
    (folder.parent / "items.js").write_text("items", encoding="utf-8")
    made = Sphinx(tmp_path)
    assert setup(made)["parallel_write_safe"]
    return made


def test_files_are_copied_for_html_again_and_again(app):
    for _ in range(2):
        copied = app.build() / "explorer"
        assert sorted(path.name for path in copied.rglob("*.*")) == ["a.png", "items.js"]


@pytest.mark.parametrize(("format", "explorer"), [("latex", True), ("html", False)])
def test_other_builders_and_books_without_an_explorer_get_nothing(tmp_path, format, explorer):
    if explorer:
        (tmp_path / FOLDER).mkdir()
    app = Sphinx(tmp_path, format)
    setup(app)
    assert not app.build().exists()


def test_the_page_that_shows_it_loads_the_items_before_the_program(app, tmp_path):
    files = ["explorer/explorer.css", "explorer/items.js", "explorer/explorer.js"]
    assert app.page(body=f"<p>Browse.</p>{placed(tmp_path / 'explorer').data}") == files
    assert app.page(body="<p>Words about the explorer.</p>") == []


def test_a_page_without_the_files_loads_none(tmp_path):
    app = Sphinx(tmp_path)
    setup(app)
    assert app.page(body=placed(tmp_path / "explorer").data) == []
