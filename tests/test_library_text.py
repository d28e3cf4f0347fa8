"""Docstrings and functions of installed packages: what is read, what is left out, what is kept for measuring."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from barnlib import library_text
from barnlib.library_text import LONGEST, PACKAGES, SHORTEST, code, package_versions, prose

SOURCE = '''"""A module whose first words are long enough to be taken as a text of documentation, so that it
counts as prose in the corpus and is not thrown away as too short.

Examples
--------
>>> not_taken()
"""


class Shape:
    def area(self, width, height):
        """Area in square metres."""
        if width < 0 or height < 0:
            raise ValueError("a side must not be negative, and this one is: give a number of metres")
        return width * height

    def short(self):
        return 1
'''


@pytest.fixture
def parts(tmp_path: Path):
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    return library_text._parts(path)


def test_docstring_ends_before_its_examples(parts):
    texts, _ = parts
    assert len(texts) == 1
    assert texts[0].startswith("A module whose first words")
    assert texts[0].endswith("thrown away as too short.")


def test_function_comes_without_docstring_and_indent(parts):
    _, functions = parts
    assert len(functions) == 1
    assert functions[0].startswith("def area(self, width, height):\n    if width < 0")
    assert "square metres" not in functions[0]


def test_texts_with_special_tokens_are_left_out(tmp_path: Path):
    path = tmp_path / "marked.py"
    path.write_text(SOURCE.replace("as prose in", "<s> in <|end_of_text|>").replace("metres", "<image>"))
    assert library_text._parts(path) == ((), ())


def test_streams_repeat_and_keep_their_files_apart():
    first, again = (list(islice(prose(np.random.default_rng(3), held_out=True), 5)) for _ in range(2))
    assert first == again
    assert first != list(islice(prose(np.random.default_rng(4), held_out=True), 5))
    sides = {library_text._is_held_out(path) for path in library_text._files()}
    assert sides == {False, True}
    kept = np.mean([library_text._is_held_out(path) for path in library_text._files()])
    assert 0.02 < kept < 0.1
    assert all(
        SHORTEST <= len(text) <= LONGEST for text in islice(code(np.random.default_rng(3), held_out=True), 20)
    )


def test_held_out_side_does_not_depend_on_the_place_of_installation():
    assert library_text._is_held_out(Path("/a/pandas/core/frame.py")) == library_text._is_held_out(
        Path("/b/c/pandas/core/frame.py")
    )


def test_versions_name_every_package():
    assert set(package_versions()) == set(PACKAGES)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(library_text, "PACKAGES", {"no-such-package": "no_such_package"})
    with pytest.raises(ValueError, match="sources of no-such-package, which is not installed: pip install"):
        library_text._files.__wrapped__()
