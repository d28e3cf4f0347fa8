"""The notebooks: what they hold in git, what they refuse, and that they run as a user would run them."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from small_study import write_runs

from barnlib.artefacts import single_writer
from barnlib.features import build_features
from barnlib.first_cell import is_first
from barnlib.parameters import backbone_names, load_study
from barnlib.paths import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ANALYSES = (
    "results",
    "instances",
    "confidence",
    "representations",
    "coordinates",
    "descriptions",
    "bottleneck",
)
PER_RUN = {"train", "evaluate"}
PARAMETERS = {
    "train": ["study", "backbone", "seed", "processes", "sharded"],
    "evaluate": ["study", "backbone", "seed"],
}
LONGEST_CELL = 20
PAPERMILL = Path(sys.executable).with_name("papermill")


def cells(path: Path, kind: str) -> list:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == kind]


def tagged(path: Path, tag: str) -> list:
    return [cell for cell in cells(path, "code") if tag in cell.metadata.get("tags", [])]


def test_the_story_is_complete():
    names = {path.stem for path in NOTEBOOKS}
    made = {"data", "encoder", "backbones", "tokens", "recorded", "train", "evaluate", "ledger"}
    assert names == {*made, *ANALYSES, "verdicts", "explorer"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
class TestInGit:
    def test_no_outputs_and_nothing_of_a_machine(self, path):
        notebook = nbformat.read(path, as_version=4)
        nbformat.validate(notebook)
        assert all(not cell.outputs and cell.execution_count is None for cell in cells(path, "code"))
        assert notebook.metadata == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        assert all(set(cell.metadata) <= {"tags"} for cell in notebook.cells)

    def test_parameters_are_tagged_and_described(self, path):
        (cell,) = tagged(path, "parameters")
        names = [target.id for node in ast.parse(cell.source).body for target in node.targets]
        assert names == PARAMETERS.get(path.stem, ["study"])
        assert all(re.search(r"  # \w+", line) for line in cell.source.splitlines())

    def test_parameters_come_first_and_are_checked(self, path):
        code = [cell for cell in cells(path, "code") if not is_first(cell)]
        assert "parameters" in code[0].metadata.get("tags", [])
        (call,) = re.findall(r"choose\((.*)\)", "\n".join(cell.source for cell in code[1:]))
        names = re.findall(r"^(\w+) =", code[0].source, flags=re.MULTILINE)
        assert call == ", ".join(f"{name}={name}" for name in names)

    def test_it_opens_with_a_question_and_says_what_it_reads_and_writes(self, path):
        first = cells(path, "markdown")[0].source
        assert first.startswith("# ") and "*Question: " in first
        assert "**Reads**" in first and "**Writes**" in first

    def test_cells_are_short_and_define_nothing(self, path):
        for cell in cells(path, "code"):
            assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source
            kinds = {type(node) for node in ast.walk(ast.parse(cell.source))}
            assert not kinds & {ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.While}, cell.source

    def test_no_installation_and_no_absolute_path(self, path):
        source = "\n".join(cell.source for cell in cells(path, "code"))
        assert not re.search(r"^\s*[!%]|pip install|[\"']/\w+|[\"']~", source, flags=re.MULTILINE)


def execute(notebook: str, out: Path, runs: Path, **given: object) -> subprocess.CompletedProcess:
    """papermill as a user would type it, from a folder that has nothing to do with the project."""
    words = [word for name, value in given.items() for word in ("-p", name, str(value))]
    out.parent.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        [PAPERMILL, ROOT / "notebooks" / f"{notebook}.ipynb", out, "--no-progress-bar", *words],
        cwd=out.parent,
        env={**ENVIRONMENT, "BARNLIB_RUNS": str(runs)},
        capture_output=True,
        text=True,
        timeout=900,
    )


ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PATH": f"{PAPERMILL.parent}:/usr/bin:/bin", "HOME": str(Path.home())}
REFUSED = [
    (
        {"backbonee": "llama3"},
        "unknown parameter 'backbonee': this notebook has study, backbone, seed, processes, sharded",
    ),
    ({"study": "nanno"}, "no study 'nanno'"),
    ({"backbone": "llama9"}, f"no backbone 'llama9' in .*there are {', '.join(backbone_names())}"),
    ({"seed": "1e-4"}, "parameter 'seed': expected a whole number from 0, found 0.0001"),
    ({"processes": 0}, "parameter 'processes': expected a whole number from 1, found 0"),
    ({"sharded": "yes"}, "parameter 'sharded': expected True or False, found 'yes'"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_wrong_parameters_are_refused_before_anything_is_made(tmp_path, given, message):
    done = execute("train", tmp_path / "out.ipynb", tmp_path / "runs", **given)
    assert done.returncode != 0 and re.search(message, done.stderr), done.stderr[-2000:]
    assert not (tmp_path / "runs").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the notebooks below write; what one has made the next one finds."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["data", "encoder", "backbones", "tokens", "recorded", "train", "evaluate"])
def test_it_runs_at_smoke_scale(name, runs, tmp_path):
    given = {"backbone": "llama3", "seed": 1} if name in PER_RUN else {}
    done = execute(name, tmp_path / "here" / f"{name}.ipynb", runs, study="smoke", **given)
    assert done.returncode == 0, done.stderr[-3000:]
    executed = nbformat.read(tmp_path / "here" / f"{name}.ipynb", as_version=4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
    if name in PER_RUN:
        assert (runs / "smoke" / name / "llama3-seed1").is_dir()


@pytest.mark.slow
def test_two_processes_train_and_what_one_of_them_raises_fails_the_notebook(runs, tmp_path):
    given = {"study": "smoke", "backbone": "llama1", "seed": 2, "processes": 2}
    folder = runs / "smoke" / "train" / "llama1-seed2"
    with single_writer(folder):
        done = execute("train", tmp_path / "train.ipynb", runs, **given)
    assert done.returncode != 0
    assert (
        "one of 2 processes failed: RuntimeError" in done.stderr
        and "is being written by another" in done.stderr
    )
    done = execute("train", tmp_path / "train.ipynb", runs, **given)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads((folder / "ledger.json").read_text())["hardware"]["processes"] == 2


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of the smoke study that no model made, with markup among the answers."""
    folder = tmp_path_factory.mktemp("complete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARNLIB_RUNS", str(folder))
        write_runs(load_study("smoke"))
        build_features(load_study("smoke"))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["ledger", *ANALYSES, "verdicts", "explorer"],
)
def test_it_runs_on_complete_runs(name, complete, tmp_path):
    done = execute(name, tmp_path / f"{name}.ipynb", complete, study="smoke")
    assert done.returncode == 0, done.stderr[-3000:]
    outputs = [
        output
        for cell in nbformat.read(tmp_path / f"{name}.ipynb", as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    pages = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert not re.search(r"<script|<img[^>]*onerror", pages), "an answer became markup"
    if name in ("coordinates", "bottleneck"):
        assert len(json.loads((complete / "smoke" / "evidence" / f"{name}.json").read_text())) >= 4
    if name == "results":
        assert "&lt;script&gt;" in pages
        glued = {output.get("metadata", {}).get("scrapbook", {}).get("name") for output in outputs}
        assert glued >= {"answer", "front_chart"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["ledger", *ANALYSES, "explorer"],
)
def test_missing_runs_are_named(name, tmp_path):
    done = execute(name, tmp_path / f"{name}.ipynb", tmp_path / "runs", study="smoke")
    study = load_study("smoke")
    assert done.returncode != 0 and "make study STUDY=smoke" in done.stderr
    assert f"{study.backbones[0]}-seed{study.seeds[0]}" in done.stderr
