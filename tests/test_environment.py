"""pyproject.toml and environment.yml hold the same versions, and every import has a dependency that is pinned."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, version

import nbformat
import pytest
import yaml

from barnlib.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RUNTIME = PROJECT["dependencies"]
EVERYTHING = RUNTIME + PROJECT["optional-dependencies"]["test"]
QLORA = PROJECT["optional-dependencies"]["qlora"]  # `make test` adds it to the environment
LAB = PROJECT["optional-dependencies"]["lab"]  # in an environment of its own


def name_of(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>!~\[ ;]", requirement, maxsplit=1)[0]).lower()


def imported(source: str) -> set[str]:
    """Top-level names that Python source imports, the standard library and barnlib left out."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            names.add(node.module.split(".")[0])
    own = {"barnlib", "tests"} | {path.stem for path in (ROOT / "tests").glob("*.py")}
    return names - set(sys.stdlib_module_names) - own


def undeclared(names: set[str], declared: list[str]) -> dict[str, list[str]]:
    """Imports that no declared distribution provides -> what provides them here."""
    providers = packages_distributions()
    allowed = {name_of(requirement) for requirement in declared}
    return {
        name: providers.get(name, [])
        for name in sorted(names)
        if not allowed & {name_of(provider) for provider in providers.get(name, [])}
    }


def test_every_version_is_pinned_once():
    both = EVERYTHING + QLORA + LAB
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[\w.]+", requirement) for requirement in both), both
    assert len({name_of(requirement) for requirement in both}) == len(both)


def test_the_study_does_not_start_more_slowly_for_jupyterlab():
    """jupyterlab brings rfc3987-syntax, which jsonschema, and so nbformat and Altair, take over a second to import."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys, nbformat, altair; sys.exit('rfc3987_syntax' in sys.modules)"],
        check=False,
    )
    assert done.returncode == 0


def test_conda_gets_the_same_versions():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in conda["dependencies"] if isinstance(entry, dict)]
    assert [line for line in pip if not line.startswith("--")] == EVERYTHING
    assert "--editable ." in pip
    (python,) = [entry for entry in conda["dependencies"] if str(entry).startswith("python=")]
    assert python == "python=3.11" and PROJECT["requires-python"] == ">=3.11"


def test_binder_reads_it():
    """What repo2docker's CondaBuildPack takes from it: its place, Python's version, and that pip needs the sources.

    Only where it finds a local requirement does it copy the repository before it installs anything.
    """
    assert not any((ROOT / folder).exists() for folder in ("binder", ".binder")), (
        "they would be taken instead"
    )
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert set(conda) == {"name", "channels", "dependencies"} and conda["name"] == PROJECT["name"]
    *packages, last = conda["dependencies"]
    versions = [re.match(r"python\s*=+\s*([\d.]*)", line) for line in packages]
    assert [found[1] for found in versions if found] == ["3.11"] and "pip" in packages
    assert [line.split(None, 1)[1] for line in last["pip"] if line.startswith(("-e", "--editable"))] == ["."]


@pytest.mark.parametrize("requirement", EVERYTHING)
def test_the_pinned_version_is_installed(requirement):
    name, pinned = requirement.split("==")
    assert version(name).split("+")[0] == pinned


def test_barnlib_and_notebooks_import_only_what_is_declared():
    names = set().union(*(imported(path.read_text()) for path in (ROOT / "barnlib").rglob("*.py")))
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        names |= imported("\n".join(cells))
    assert undeclared(names, RUNTIME + QLORA) == {}


def test_tests_import_only_what_is_declared():
    names = set().union(*(imported(path.read_text()) for path in (ROOT / "tests").rglob("*.py")))
    assert undeclared(names, EVERYTHING) == {}
