"""barnlib.report.reference: every module has a page, signatures are Python, and no docstring can become markup."""

import ast
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from barnlib.paths import ROOT
from barnlib.report import reference

MODULES = reference.modules(ROOT / "barnlib")
SOURCE = '''"""Adds numbers.

In:  numbers. Out: their sum.
Next: ``barnlib.analyses.metrics`` and scoring.py.
"""

class Sum(Base):
    """A sum."""

    value: float
    _hidden: int = 0

    @property
    def half(self) -> float:
        """Half of it."""

def add(first: float, second: float = 0.5, *, names: dict[str, tuple[int, int]] | None = None, much: int = 1) -> Sum:
    """Add two numbers with `much` care_taken.

        a diagram | of
        two lines

    Args:
        first, second: float64[B], in metres;
            on two lines.

    Returns:
        Their sum, never <b>bold</b>.

    Raises:
        ValueError: says `what` was found.
    """

def _private(): ...
'''


@pytest.fixture
def page(tmp_path: Path) -> str:
    (tmp_path / "sums.py").write_text(SOURCE, encoding="utf-8")
    return reference.section(reference.modules(tmp_path)[0], MODULES)


def test_every_public_module_has_a_page():
    names = {one.name for one in MODULES}
    assert {"parameters", "data.scenes", "model", "analyses.verdicts", "report.reference"} <= names
    assert len(names) == len(MODULES)
    table = reference.index(MODULES)
    assert all(f"[{one.name}](#api-{one.name})" in table for one in MODULES)


def test_a_package_has_a_page_with_its_modules_in_order():
    made = reference.pages(MODULES)
    packages = {path.parent.name for path in (ROOT / "barnlib").rglob("__init__.py")}
    assert set(made) == {f"api/{name}" for name in packages}
    headings = {page: re.findall(r"^# (.*)$", text, re.MULTILINE) for page, text in made.items()}
    assert headings["api/data"] == ["barnlib.data"] and headings["api/barnlib"] == ["barnlib"]
    shown = [re.findall(r"^\(api-(.*)\)=$", text, re.MULTILINE) for text in made.values()]
    assert sorted(name for names in shown for name in names) == sorted(one.name for one in MODULES)
    assert all(names == sorted(names) for names in shown)


def test_the_contents_of_a_page_end_at_its_modules():
    """Sphinx copies them for every page of the book; with all names that took a third of its building."""
    for text in reference.pages(MODULES).values():
        _, matter, body = text.split("---\n", 2)
        assert yaml.safe_load(matter) == {"tocdepth": 2}
        assert {len(level) for level in re.findall(r"^(#+) (?:barnlib|`)", body, re.MULTILINE)} >= {1, 2, 3}


def test_what_is_public_is_shown_in_its_order(page):
    assert re.findall(r"^#+ (.*)$", page, re.MULTILINE) == ["barnlib.sums", "`Sum`", "`Sum.half`", "`add`"]
    assert "class Sum(Base):\n    value: float\n```" in page
    assert "@property\ndef half(self) -> float\n" in page
    assert "_hidden" not in page and "_private" not in page


def test_a_long_signature_has_one_argument_a_line(page):
    lines = re.search(r"def add\(\n(.*?)\n\) -> Sum", page, re.DOTALL)[1].splitlines()
    assert lines[1].strip() == "second: float=0.5,"
    assert lines[3].strip() == "names: dict[str, tuple[int, int]] | None=None,"


def test_sections_of_a_docstring_become_lists(page):
    assert "**Args**\n\n- **first\\, second**: float64\\[B\\]\\, in metres\\; on two lines\\." in page
    assert "**Raises**\n\n- **ValueError**: says `what` was found\\." in page
    assert "**Returns**\n\nTheir sum\\, never \\<b\\>bold\\<\\/b\\>\\." in page
    assert "```text\na diagram | of\ntwo lines\n```" in page


def test_modules_that_are_mentioned_become_links(page):
    assert "[`barnlib.analyses.metrics`](#api-analyses.metrics)" in page
    assert "[`scoring.py`](#api-scoring)" in page


def test_a_table_stays_a_table():
    table = "| what | where |\n| --- | --- |\n| a_sum of *two* | scoring.py |"
    made = reference.text(table, {"scoring": "api-scoring"})
    assert made.split("\n")[1] == "| --- | --- |"
    shown = MarkdownIt("commonmark").enable("table").render(made)
    cells = re.findall(r"<t[hd]>(.*?)</t[hd]>", shown)
    assert cells == ["what", "where", "a_sum of *two*", '<a href="#api-scoring"><code>scoring.py</code></a>']


def test_a_name_that_two_modules_end_in_is_a_link_only_in_full(tmp_path):
    said = "Sums, of same.py, of two/same.py and of ``barnlib.one.same``."
    for place, docstring in (("one/same", "Same."), ("two/same", "Same."), ("sums", said)):
        path = tmp_path / f"{place}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f'"""{docstring}"""\n\ndef f(): ...\n', encoding="utf-8")
    found = {one.name: one for one in reference.modules(tmp_path)}
    page = reference.section(found["sums"], list(found.values()))
    assert (
        "of same\\.py\\, of [`two/same.py`](#api-two.same) and of [`barnlib.one.same`](#api-one.same)" in page
    )


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_every_signature_is_python(module):
    for block in re.findall(r"```python\n(.*?)\n```", reference.section(module, MODULES), re.DOTALL):
        is_class = block.startswith("class")
        ending = "" if is_class and block.rstrip().count("\n") else ": ..."
        ast.parse(block + (":\n    ..." if not is_class else ending))


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`"), max_size=60))
def test_no_docstring_becomes_markup(words):
    """A browser shows the words as they are: Markdown reads nothing into them but spaces."""
    words = " ".join(words.split())
    shown = MarkdownIt("commonmark", {"html": True}).renderInline(reference._inline(words, {}))
    assert "<" not in shown
    unescaped = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", '"').replace("&amp;", "&")
    assert unescaped == words


def test_a_module_without_a_docstring_is_named(tmp_path):
    (tmp_path / "bare.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"bare\.py has no docstring: say what flows in"):
        reference.modules(tmp_path)
