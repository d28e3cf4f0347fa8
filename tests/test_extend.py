"""The worked examples of the page on extending, followed to the letter at tiny size."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import yaml

from barnlib import parameters, predict
from barnlib import study as study_module
from barnlib.artefacts import read_json
from barnlib.data.build import build_data, load_items
from barnlib.data.dataset_card import make_card
from barnlib.data.records import SPLITS
from barnlib.parameters import load_study
from barnlib.paths import ROOT
from barnlib.study import TASKS_OF_THE_PAPER, Study
from tests import test_notebooks
from tests.own_records import draw_photograph, write_earthquakes

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(
    r"```{code-block} yaml\n:caption: params/(backbones|encoders)/(\w+)\.yaml\n(.*?)```", re.DOTALL
)


def examples() -> dict[str, tuple[str, dict]]:
    """Kind -> name and content of the file that the page shows."""
    return {kind: (name, yaml.safe_load(content)) for kind, name, content in EXAMPLE.findall(PAGE)}


@pytest.mark.slow
def test_a_backbone_and_an_encoder_are_added_by_yaml_alone(
    tiny_params: Path,
    tiny_grouped_llama: Path,
    tiny_clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_preflight: None,
):
    params = tmp_path / "params"
    for path in tiny_params.rglob("*.yaml"):
        target = params / path.relative_to(tiny_params)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    study = yaml.safe_load((params / "studies" / "tiny.yaml").read_text(encoding="utf-8"))
    weights = {"backbones": tiny_grouped_llama, "encoders": tiny_clip}
    for kind, (name, content) in examples().items():
        content["nano"] = content.pop("paper") | {
            "checkpoint": str(weights[kind])
        }  # the tests' scale, their weights
        (params / kind / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    backbone, encoder = examples()["backbones"][0], examples()["encoders"][0]
    study["backbones"].append(backbone)
    study["encoder"]["name"] = encoder
    (params / "studies" / "tiny.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")

    monkeypatch.setattr(parameters, "PARAMS", params)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    folder = predict.evaluate_run(load_study("tiny"), backbone, 0)
    table = pd.read_parquet(folder / "predictions.parquet")
    assert set(table["backbone"]) == {backbone} and len(table) > 0


def test_the_page_shows_one_of_each():
    assert set(examples()) == {"backbones", "encoders"}


BLOCK = re.compile(r"```{code-block} (\w+)\n:caption: ([\w./]+)\n(.*?)```", re.DOTALL)
FOURTH = "side"  # the study that the page writes
MORE = {
    "scenes": {"train": 60}
}  # so that every type of question that the test asks is in training, to guess from
EVALUATION = """
from barnlib import finetune
from barnlib.parameters import load_study
from barnlib.predict import evaluate_run

finetune._preflight = lambda *arguments: {}  # random models do not overfit
study = load_study("side")
for backbone in study.backbones:
    for seed in study.seeds:
        evaluate_run(study, backbone, seed)
"""


def blocks(section: str) -> dict[str, str]:
    """File -> content of the code blocks of a section of the page."""
    text = PAGE.split(f"## {section}\n")[1].split("\n## ")[0]
    return {file: content for _, file, content in BLOCK.findall(text)}


def replaced(text: str, difference: str) -> str:
    """The text with every run of lines marked - replaced by the lines marked + that follow it."""
    for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", difference, flags=re.MULTILINE):
        before, after = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in (old, new))
        assert text.count(before) == 1, f"the page replaces what is not there once:\n{before}"
        text = text.replace(before, after)
    return text


@pytest.fixture(scope="module")
def with_a_task(tmp_path_factory: pytest.TempPathFactory, tiny_params: Path) -> Path:
    """A copy of the project in which the page's section on a task has been followed, its study evaluated.

    The study is the page's with that of the tests as its base, one seed, and more scenes.
    """
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "barnlib", root / "barnlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "notebooks", root / "notebooks")
    shutil.copytree(tiny_params, root / "params")
    for file, content in blocks("Add a task").items():
        path = root / file
        if path.suffix == ".yaml":
            study = yaml.safe_load(content)
            content = yaml.safe_dump(study | {"base": "tiny", "seeds": [0], "data": MORE})
        elif path.exists():
            content = replaced(path.read_text(encoding="utf-8"), content)
        path.write_text(content, encoding="utf-8")
    done = run(root, [sys.executable, "-c", EVALUATION])
    assert done.returncode == 0, done.stderr[-3000:]
    return root


def run(root: Path, command: list[object]) -> subprocess.CompletedProcess:
    """A command in the copied project, whose package is found before the installed one."""
    here = {
        "PYTHONPATH": f"{root}{os.pathsep}{ROOT}",
        "BARNLIB_RUNS": str(root / "runs"),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [str(word) for word in command],
        cwd=root,
        env=dict(os.environ) | here,
        capture_output=True,
        text=True,
        timeout=600,
    )


def read_records(path: Path) -> list[dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def execute(root: Path, notebook: str, out: Path, study: str) -> None:
    """A notebook of the copied project, run by papermill."""
    papermill = [sys.executable, "-m", "papermill", root / "notebooks" / f"{notebook}.ipynb", out]
    done = run(root, [*papermill, "-p", "study", study, "--no-progress-bar", "--kernel", "python3"])
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_the_new_task_is_asked_and_scored(with_a_task: Path):
    made = with_a_task / "runs" / FOURTH
    items = read_records(made / "data" / "test.json")
    cards = {one["image"]: one["facts"] for one in read_records(made / "data" / "test.pictures.json")}
    of_task = [item for item in items if item["task"] == "station_side"]
    assert of_task
    for item in of_task:
        facts = cards[item["image"]]
        north = facts["station_latitude_deg"] > facts["latitude_deg"]
        assert item["conversations"][1]["value"] == ("north" if north else "south")
    table = pd.concat(pd.read_parquet(file) for file in sorted(made.glob("evaluate/*/predictions.parquet")))
    new = table[(table["task"] == "station_side") & (table["split"] == "test")]
    assert set(new["condition"]) == {"image", "blank", "shuffled"}
    assert new["item"].nunique() == len(of_task) and set(new["backbone"]) == {"plain", "grouped"}
    seen = new[new["condition"] == "image"]
    assert all(set(json.loads(choices)) == {"north", "south"} for choices in seen["choices"])
    assert seen["correct"].equals(seen["answer"].str.strip(" .").str.lower() == seen["reference"])


@pytest.mark.slow
def test_the_other_tasks_items_stay_as_they_were(with_a_task: Path, tiny_study: Study):
    """The three tasks of the study that asks four, item for item those of the study that asks three."""
    for split in SPLITS:
        found = read_records(with_a_task / "runs" / FOURTH / "data" / f"{split}.json")
        before = read_records(build_data(tiny_study) / f"{split}.json")
        images = {item["image"] for item in before}
        same = [item for item in found if item["task"] != "station_side" and item["image"] in images]
        assert same == before


@pytest.mark.slow
def test_the_results_page_shows_it(with_a_task: Path):
    out = with_a_task / "results.ipynb"
    execute(with_a_task, "results", out, FOURTH)
    outputs = [
        output for cell in nbformat.read(out, as_version=4).cells for output in cell.get("outputs", [])
    ]
    told = [output["data"].get("text/markdown", "") for output in outputs if "data" in output]
    (answer,) = [text for text in told if "**Station side**" in text]
    assert "**Station side**: Plain" in answer or "**Station side**: Grouped" in answer


def test_a_study_whose_task_is_not_listed_is_refused(tiny_study: Study):
    limits = {**tiny_study.evaluation.max_new_tokens, "station_side": 4}
    evaluation = tiny_study.evaluation.model_copy(update={"max_new_tokens": limits})
    unlisted = tiny_study.model_copy(update={"name": "unlisted", "evaluation": evaluation})
    assert unlisted.tasks == (*TASKS_OF_THE_PAPER, "station_side")
    with pytest.raises(
        ValueError, match=r"no task 'station_side' in barnlib/tasks/registry\.py: there are vqa_scene"
    ):
        build_data(unlisted)


MADE_UP = """
from barnlib.parameters import load_study
from tests.small_study import write_runs

write_runs(load_study("hard"))
"""
VERDICT = """
from barnlib.analyses.verdicts import all_evidence, verdicts
from barnlib.parameters import load_study

study = load_study("hard")
(first,) = [one for one in verdicts(study, all_evidence(study)) if one.claim == "C1"]
(judged,) = first.conditions
print(first.answer, *(f"{one.evidence.a},{one.evidence.b},{one.evidence.estimate}" for one in judged.findings), sep="|")
"""


def notebook_of(text: str) -> nbformat.NotebookNode:
    """A notebook from the form that editors show as text: cells after lines that begin with ``# %%``."""
    cells = []
    for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:]):
        head, source = part.split("\n", 1)
        source = source.strip("\n")
        if "[markdown]" in head:
            cell = nbformat.v4.new_markdown_cell(re.sub(r"^# ?", "", source, flags=re.MULTILINE))
        else:
            cell = nbformat.v4.new_code_cell(source)
            tags = re.search(r"tags=(\[.*\])", head)
            cell.metadata |= {"tags": json.loads(tags.group(1))} if tags else {}
        cell.id = f"cell-{number}"
        cells.append(cell)
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


@pytest.fixture(scope="module")
def with_a_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project in which the page's notebook and its study have been written, that of smoke as its base.

    Its runs are made up: no model is needed.
    """
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "barnlib", root / "barnlib", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "params", root / "params", ignore=shutil.ignore_patterns("checkpoints"))
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "notebooks").mkdir()
    for file, content in blocks("Add a page").items():
        nbformat.write(notebook_of(content), root / file)
    for file, content in blocks("Add a claim's evidence").items():
        study = yaml.safe_load(content) | {"base": "smoke"}
        (root / file).write_text(yaml.safe_dump(study), encoding="utf-8")
    for command in (["-m", "barnlib.first_cell"], ["-c", MADE_UP]):
        done = run(root, [sys.executable, *command])
        assert done.returncode == 0, done.stderr[-3000:]
    return root


@pytest.mark.slow
def test_the_page_is_as_pages_are(with_a_page: Path):
    (path,) = (with_a_page / "notebooks").glob("*.ipynb")
    checks = test_notebooks.TestInGit()
    names = [name for name in dir(checks) if name.startswith("test_")]
    assert len(names) >= 5
    for name in names:
        getattr(checks, name)(path)


@pytest.mark.slow
def test_the_claim_is_decided_by_what_the_page_found(with_a_page: Path):
    out = with_a_page / "out.ipynb"
    execute(with_a_page, "hard", out, "hard")
    shown = [output for cell in nbformat.read(out, as_version=4).cells for output in cell.get("outputs", [])]
    assert any(name.startswith("application/vnd.vega") for one in shown for name in one.get("data", {}))

    done = run(with_a_page, [sys.executable, "-c", VERDICT])
    assert done.returncode == 0, done.stderr[-3000:]
    answer, *findings = done.stdout.strip().split("|")
    assert answer in ("reproduced", "not reproduced", "undecided at this scale")
    files = (with_a_page / "runs" / "hard" / "evaluate").glob("*/predictions.parquet")
    table = pd.concat(pd.read_parquet(file) for file in files)
    chosen = (table["split"] == "test") & (table["condition"] == "image") & (table["difficulty"] == "hard")
    scores = table[chosen & (table["task"] == "vqa_scene")].groupby("backbone")["score"].mean()
    assert len(findings) == len(scores) - 1 > 0
    for finding in findings:
        older, newest, estimate = finding.split(",")
        assert float(estimate) == pytest.approx(scores[newest] - scores[older])


@pytest.mark.slow
def test_a_study_on_own_data_is_run(
    tiny_params: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_preflight: None
):
    """The page's photographs and its recorded earthquakes, from a local data centre, through training and evaluation.

    Its study has that of the tests as its base.
    """
    for file, content in blocks("Your own pictures").items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(content, encoding="utf-8")
    asked = [path for path in sorted((tmp_path / "barns").glob("*.json"))]
    images = dict.fromkeys(record["image"] for path in asked for record in read_records(path))
    for number, image in enumerate(images):
        draw_photograph(tmp_path / "barns/photographs" / image, number)
    make_card(tmp_path / "barns")
    write_earthquakes(tmp_path / "march")
    params = shutil.copytree(tiny_params, tmp_path / "params")
    ((file, content),) = blocks("A study on your own data").items()
    (tmp_path / file).write_text(yaml.safe_dump(yaml.safe_load(content) | {"base": "tiny"}), encoding="utf-8")

    monkeypatch.setattr(parameters, "PARAMS", params)
    monkeypatch.setattr(study_module, "ROOT", tmp_path)
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    study = load_study(Path(file).stem)
    table = pd.read_parquet(predict.evaluate_run(study, "plain", 0) / "predictions.parquet")
    folder = build_data(study)
    origin = read_json(folder / "taken.json")
    for split in ("test", "heldout"):
        seen = table[(table["split"] == split) & (table["condition"] == "image")]
        items = {item.id: item for item in load_items(study, split)}
        assert set(seen["item"]) == set(items) and len(items) == {"test": 6, "heldout": 4}[split]
    photographs = {origin[item.image] for item in load_items(study, "test") if item.task == "vqa_scene"}
    assert photographs == {"photographs/old.jpg", "photographs/round.jpg"}
    card = read_json(folder / "card.json")
    described = yaml.safe_load(blocks("Your own pictures")["barns/dataset.yaml"])
    assert card["taken"]["scene"]["licence"] == described["licence"]
    assert card["taken"]["card"]["citation"].startswith("https://doi.org/")
    assert card["counts"]["heldout"]["pictures"] == {"card": 2}
