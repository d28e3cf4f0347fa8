"""The first code cell of every notebook: on Colab it fetches the repository and what is missing, elsewhere nothing.

In:  the repository's public address, ``Repository`` under ``[project.urls]`` in ``pyproject.toml``; none as long as
     there is none.
Out: the same cell in every notebook, after its title. ``python -m barnlib.first_cell`` writes it: after a change of the
     address, or into a new notebook.
Next: on Colab the cell runs ``barnlib/colab.py`` of the clone. The book hides the cell, and the Snakefile leaves it out
     of what makes a notebook stale.
"""

import argparse
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat

from barnlib.command_line import one_sentence
from barnlib.paths import ROOT

TAG = "colab"
TAGS = [TAG, "remove-cell"]  # the second is Jupyter Book's, for a cell that a page does not show
SOURCE = """\
# Colab opens a notebook alone: there this cell fetches its repository and installs what is missing.
# Anywhere else it does nothing.
import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

REPOSITORY = "{repository}"  # the address that `git clone` takes
if "google.colab" in sys.modules and importlib.util.find_spec("barnlib") is None:
    if not REPOSITORY:
        raise ValueError("write the address of this notebook's repository into REPOSITORY, and run again")
    if not Path("barn").exists():
        subprocess.run(["git", "clone", "--depth", "1", REPOSITORY, "barn"], check=True)
    runpy.run_path("barn/barnlib/colab.py")["install"]("barn")"""


def repository(root: Path) -> str | None:
    """Public address of the repository as ``pyproject.toml`` names it, or None."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project.get("urls", {}).get("Repository")


def source(address: str | None) -> str:
    """The cell's code.

    Raises:
        ValueError: the address holds something that is no part of one, so that it cannot be written into code.
    """
    if set(address or "") & set("\"'\\ \n"):
        raise ValueError(
            f"Repository in pyproject.toml: expected an address without quotes or spaces, found {address!r}"
        )
    return SOURCE.format(repository=address or "")


def is_first(cell: Any) -> bool:
    """Whether a cell is this one: it computes nothing of the study."""
    return TAG in cell.metadata.get("tags", [])


def write(path: Path, address: str | None) -> bool:
    """Put the cell after the title of a notebook, in the place of the one that was there; whether the file changed."""
    notebook = nbformat.read(path, as_version=4)
    cell = nbformat.v4.new_code_cell(source(address), id=TAG, metadata={"tags": list(TAGS)})
    rest = [one for one in notebook.cells if not is_first(one)]
    if notebook.cells == [rest[0], cell, *rest[1:]]:
        return False
    notebook.cells = [rest[0], cell, *rest[1:]]
    nbformat.write(notebook, path)
    return True


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: the notebooks of this repository; prints those that changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.parse_args(arguments)  # it takes none
    with one_sentence():
        address = repository(ROOT)
        for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
            if write(path, address):
                print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
