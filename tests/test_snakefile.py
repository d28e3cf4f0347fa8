"""The graph: which jobs there are, and which run again after a change. papermill and the book are stand-ins."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import pytest
import yaml

from barnlib import first_cell
from barnlib.data.dataset_card import make_card
from barnlib.parameters import load_study
from barnlib.paths import ROOT
from tests.own_records import write_photographs

pytestmark = pytest.mark.slow
SEEDS = (0, 3)
RUNS = len(load_study("smoke").backbones) * len(SEEDS)
MADE_BEFORE = {"data", "encoder", "backbones", "tokens", "recorded"}  # notebooks that need no trained run
NAMES = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} - {"train", "evaluate"}
ANALYSES = Counter(NAMES - MADE_BEFORE - {"ledger"})
LAST = ANALYSES + Counter(book=1)
EVALUATED = LAST + Counter(evaluate=RUNS)
TRAINED = EVALUATED + Counter(train=RUNS, ledger=1)

PAPERMILL = """
import shutil, sys
from pathlib import Path

notebook, log, *rest = [
    word for word in sys.argv[1:] if word not in ("python3", "WARNING") and not word.startswith("--")
]
given = dict(zip(rest[1::3], rest[2::3]))
name = Path(notebook).stem
shutil.copy(notebook, log)
if name in FAILING:
    sys.exit(1)
runs = Path("runs") / given["study"]
folder = {"data": "data", "encoder": "features"}.get(name)
if "seed" in given:
    folder = f"{name}/{given['backbone']}-seed{given['seed']}"
if folder:
    (runs / folder).mkdir(parents=True, exist_ok=True)
    (runs / folder / "manifest.json").write_text("{}")
for file in MADE.get(name, ()):
    (runs / file).parent.mkdir(parents=True, exist_ok=True)
    (runs / file).write_text("{}")
"""
MADE = {"verdicts": ("verdicts.csv", "verdicts.json"), "explorer": ("explorer/items.js",)}
BOOK = """
import sys
from pathlib import Path

page = Path("runs") / sys.argv[1] / "book/_build/html/index.html"
page.parent.mkdir(parents=True, exist_ok=True)
page.write_text("book")
"""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Counter]:
    """A copy of the project, its notebooks taking no time, with a complete study; and what was planned for it."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("barnlib", "notebooks", "params", "book"):
        ignore = shutil.ignore_patterns("__pycache__", "_build")
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "Snakefile", folder)
    stand_in(folder)
    (folder / "barnlib" / "report" / "book.py").write_text(BOOK)
    edit(folder / "params" / "studies" / "smoke.yaml", "seeds", value=list(SEEDS))
    plan = planned(folder)
    done = snakemake(folder, "--rerun-incomplete")
    assert done.returncode == 0, done.stderr
    return folder, plan


@pytest.fixture
def project(complete: tuple[Path, Counter], tmp_path: Path) -> Path:
    """The complete project, to change."""
    return shutil.copytree(complete[0], tmp_path / "project")


def stand_in(project: Path, failing: str = "") -> None:
    (project / "barnlib" / "papermill_command.py").write_text(
        f"FAILING, MADE = {failing.split()}, {MADE}\n{PAPERMILL}"
    )


def snakemake(project: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {key: value for key, value in os.environ.items() if key != "BARNLIB_RUNS"}
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "study=smoke", *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def planned(project: Path) -> Counter:
    """Rule -> how many of its jobs a dry run would start."""
    done = snakemake(project, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = Counter(re.findall(r"^(?:local)?rule (\w+):", done.stdout + done.stderr, flags=re.MULTILINE))
    return counts - Counter(all=counts["all"])


def edit(path: Path, *keys: str, value: object) -> None:
    content = yaml.safe_load(path.read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(yaml.safe_dump(content))


def test_the_whole_study_is_planned_once(complete: tuple[Path, Counter]) -> None:
    folder, plan = complete
    assert plan == TRAINED + Counter(NAMES & MADE_BEFORE)
    assert planned(folder) == Counter(), "nothing has changed"
    done = snakemake(folder, "processes=4", "sharded=1", "--dry-run")
    assert done.returncode == 0 and "Nothing to be done" in done.stdout + done.stderr, "a run stays as it is"
    again = ("--dry-run", "--printshellcmds", "--forcerun", "train")
    for words, passed in (((), "1 -p sharded False "), (("processes=4", "sharded=1"), "4 -p sharded True ")):
        done = snakemake(folder, *words, *again)
        assert (done.stdout + done.stderr).count(f"-p processes {passed}") == RUNS


def test_a_change_reruns_what_depends_on_it(project: Path) -> None:
    of_backbone = Counter(train=len(SEEDS), evaluate=len(SEEDS), ledger=1)
    shown = Counter(NAMES & {"backbones", "tokens"})  # notebooks that show the backbones themselves
    file = project / "params" / "backbones" / "llama2.yaml"
    original = file.read_text()
    nano = project / "params" / "checkpoints" / "nano"
    shutil.copytree(nano / "llama2", nano / "another")
    (nano / "another" / "manifest.json").unlink()
    edit(file, "nano", "checkpoint", value="params/checkpoints/nano/another")
    assert planned(project) == LAST + of_backbone + shown
    file.write_text(original)
    assert planned(project) == Counter(), "the time of a file plays no part"

    edit(file, "title", value="Another name")
    assert planned(project) == LAST + shown, "whatever shows the name"
    file.write_text(original)

    notebook = project / "notebooks" / "train.ipynb"
    read = nbformat.read(notebook, as_version=4)
    read.metadata["kernelspec"] = {"name": "other", "display_name": "Other", "language": "python"}
    nbformat.write(read, notebook)
    assert planned(project) == Counter(), "a notebook's metadata retrain nothing"
    for path in (project / "notebooks").glob("*.ipynb"):
        assert first_cell.write(path, "https://github.com/someone/barn")
    assert planned(project) == Counter(), "the cell for Colab computes nothing"

    study_file = project / "params" / "studies" / "smoke.yaml"
    edit(study_file, "evaluation", "bootstrap", value=123)
    assert planned(project) == LAST - Counter(explorer=1)
    edit(study_file, "evaluation", "hidden_items", value=3)
    assert planned(project) == EVALUATED
    edit(study_file, "evaluation", "tolerance_km", value=500.0)
    assert planned(project) == TRAINED, "the validation curves are scored with it"
    edit(study_file, "evaluation", "tolerance_km", value=1000.0)
    edit(study_file, "finetune", "learning_rate", value=1.0e-4)
    assert planned(project) == TRAINED


def test_code_reruns_what_imports_it(project: Path) -> None:
    module = project / "barnlib" / "analyses" / "metrics.py"
    module.write_text(module.read_text() + "\n# changed\n")
    plan = planned(project)
    assert plan["results"] == plan["book"] == 1
    assert not {"data", "encoder", "train", "evaluate", "ledger"} & set(plan), "none of these imports it"


def test_an_executed_notebook_survives_its_failure(project: Path) -> None:
    for path in (project / "runs" / "smoke").glob("logs/results.ipynb"):
        path.unlink()
    notebook = project / "notebooks" / "results.ipynb"
    read = nbformat.read(notebook, as_version=4)
    read.cells.append(nbformat.v4.new_code_cell("1 / 0"))
    nbformat.write(read, notebook)
    stand_in(project, failing="results")
    done = snakemake(project)
    assert done.returncode != 0
    assert (project / "runs" / "smoke" / "logs" / "results.ipynb").exists()
    assert not (project / "runs" / "smoke" / "notebooks" / "results.ipynb").exists()


def test_a_wrong_study_is_refused(project: Path) -> None:
    done = snakemake(project, "--config", "study=smokee")
    assert done.returncode != 0 and "did you mean 'smoke'" in done.stdout + done.stderr


def test_changed_records_rerun_the_data_and_what_follows(project: Path, tmp_path: Path) -> None:
    records = write_photographs(tmp_path / "barns")
    study_file = project / "params" / "studies" / "smoke.yaml"
    edit(study_file, "data", "scenes", value={"records": str(records)})
    done = snakemake(project)
    assert done.returncode == 0, done.stderr
    assert planned(project) == Counter()
    (records / "card.json").touch()
    assert planned(project) == Counter(), "the time of a file plays no part"
    description = yaml.safe_load((records / "dataset.yaml").read_text())
    (records / "dataset.yaml").write_text(yaml.safe_dump(description | {"licence": "another"}))
    make_card(records)
    plan = planned(project)
    assert plan["data"] == plan["encoder"] == plan["book"] == 1 and plan["train"] == plan["evaluate"] == RUNS


def test_a_study_without_its_checkpoints_names_the_command(project: Path) -> None:
    shutil.rmtree(project / "params" / "checkpoints" / "small", ignore_errors=True)
    done = snakemake(project, "--config", "study=small")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert "no folder 'params/checkpoints/small/encoder'; `make checkpoints SCALE=small` makes it" in said
    assert not (project / "runs" / "small" / "data").exists(), "nothing was drawn"


def test_what_does_not_fit_the_models_is_refused_first(project: Path) -> None:
    shutil.rmtree(project / "runs")
    study, backbone = (project / "params" / name for name in ("studies/smoke.yaml", "backbones/llama2.yaml"))
    for file, keys, value, message in (
        (
            study,
            ("encoder", "layer"),
            99,
            "smoke.yaml: key 'encoder.layer': expected -6 to 5 for the encoder 'clip'",
        ),
        (
            study,
            ("data", "image_size"),
            97,
            "smoke.yaml: key 'data.image_size': the encoder 'clip' takes 96 pixels",
        ),
        (
            backbone,
            ("nano", "recipe", "layers"),
            3,
            "llama2.yaml: key 'nano.recipe.layers': expected 4, of which",
        ),
    ):
        original = file.read_text()
        edit(file, *keys, value=value)
        done = snakemake(project)
        said = done.stdout + done.stderr
        assert done.returncode != 0 and message in said and "Traceback" not in said
        file.write_text(original)
    assert not (project / "runs").exists(), "nothing was drawn"
