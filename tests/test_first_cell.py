"""barnlib.first_cell: the same cell in every notebook, which does nothing but on Colab."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from barnlib import first_cell
from barnlib.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = "https://github.com/someone/barn"


def run(address: str | None) -> None:
    """Run the cell in this process."""
    exec(first_cell.source(address), {})


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a kernel, empty."""
    folder = tmp_path / "content"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def on_colab(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As in Colab's kernel: its own module is loaded and barnlib is not to be found."""
    found = importlib.util.find_spec
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "barnlib" else found(name))
    return elsewhere


def no_process(*words: object, **options: object) -> None:
    pytest.fail(f"a process was started: {words}")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_the_cell_once_after_its_title(path):
    cells = nbformat.read(path, as_version=4).cells
    found = [number for number, cell in enumerate(cells) if first_cell.is_first(cell)]
    assert found == [1], "write it with `python -m barnlib.first_cell`"
    assert cells[1].cell_type == "code" and cells[1].metadata.tags == first_cell.TAGS
    assert cells[1].source == first_cell.source(first_cell.repository(ROOT)), (
        "the address in pyproject.toml is another one: write the cells with `python -m barnlib.first_cell`"
    )


@pytest.mark.parametrize("address", [None, ADDRESS])
def test_nothing_happens_outside_of_colab(address, elsewhere, monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_process)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    before = list(sys.path)
    run(address)
    assert sys.path == before and not list(elsewhere.iterdir())


def test_nothing_happens_on_colab_where_barnlib_is_installed(elsewhere, monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_process)
    monkeypatch.setitem(sys.modules, "google.colab", SimpleNamespace())
    run(ADDRESS)
    assert not list(elsewhere.iterdir())


def test_colab_asks_for_the_address_where_none_is_known(on_colab, monkeypatch):
    monkeypatch.setattr(subprocess, "run", no_process)
    with pytest.raises(ValueError, match="into REPOSITORY, and run again"):
        run(None)


def test_colab_clones_the_repository_and_installs_it(on_colab, tmp_path, monkeypatch):
    """git is real and pip is not; the second run stands for one after pip has failed: it clones nothing again."""
    origin = tmp_path / "origin"
    (origin / "barnlib").mkdir(parents=True)
    (origin / "barnlib" / "colab.py").write_text(
        "def install(folder):\n    open('installed', 'a').write(folder)\n"
    )
    git = ["git", "-C", str(origin), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "all"]):
        subprocess.run([*git, *words], check=True, timeout=60)
    run(origin.as_uri())
    assert (on_colab / "barn" / "barnlib" / "colab.py").exists()
    assert (on_colab / "installed").read_text() == "barn"
    monkeypatch.setattr(subprocess, "run", no_process)
    run(origin.as_uri())
    assert (on_colab / "installed").read_text() == "barnbarn"


def test_an_address_that_does_not_exist_is_named(on_colab, tmp_path):
    address = (tmp_path / "nowhere").as_uri()
    with pytest.raises(subprocess.CalledProcessError, match=address):
        run(address)


def test_the_cell_is_written_once_and_replaced(tmp_path):
    path = tmp_path / "page.ipynb"
    title, code = nbformat.v4.new_markdown_cell("# Page"), nbformat.v4.new_code_cell("1 + 1")
    nbformat.write(nbformat.v4.new_notebook(cells=[title, code]), path)
    assert first_cell.write(path, None)
    assert not first_cell.write(path, None)
    assert first_cell.write(path, ADDRESS)
    cells = nbformat.read(path, as_version=4).cells
    assert [cell.source for cell in cells] == ["# Page", first_cell.source(ADDRESS), "1 + 1"]
    assert f'REPOSITORY = "{ADDRESS}"' in cells[1].source


def test_the_address_comes_from_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'x'\n", encoding="utf-8")
    assert first_cell.repository(tmp_path) is None
    (tmp_path / "pyproject.toml").write_text(f"[project.urls]\nRepository = '{ADDRESS}'\n", encoding="utf-8")
    assert first_cell.repository(tmp_path) == ADDRESS


def test_an_address_that_would_end_the_string_is_refused():
    with pytest.raises(ValueError, match="without quotes or spaces, found"):
        first_cell.source('x"; import os #')


def test_the_command_says_what_it_does_and_changes_nothing_then(capsys, monkeypatch):
    monkeypatch.setattr(first_cell, "write", lambda *given: pytest.fail(f"written: {given}"))
    with pytest.raises(SystemExit) as ended:
        first_cell.main(["--help"])
    assert ended.value.code == 0 and "The first code cell of every notebook" in capsys.readouterr().out
