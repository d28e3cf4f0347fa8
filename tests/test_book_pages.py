"""barnlib.report.book_pages: contents for any number of runs, and prose whose figures all have a source."""

import re
from pathlib import Path

import jinja2
import pytest
import yaml

from barnlib.components import BackboneFile, EncoderFile
from barnlib.parameters import load_backbone, load_study, study_names
from barnlib.paths import ROOT
from barnlib.report import reference
from barnlib.report.book_pages import (
    Run,
    contents,
    pieces,
    public_url,
    repository_url,
    runs_of,
    substitutions,
)
from barnlib.study import RecordsParameters

BOOK = ROOT / "book"
TOC = yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8"))
STORY = [
    c["file"].split("/")[1] for p in TOC["parts"] for c in p["chapters"] if c["file"].startswith("notebooks/")
]
PAGES = sorted(BOOK.glob("*.md"))


def all_runs(backbones: int, seeds: int) -> list[Run]:
    """Runs of an invented study."""
    return [Run(f"b{b}", seed, f"B{b}, seed {seed}") for b in range(backbones) for seed in range(seeds)]


def pages_of(runs: list[Run]) -> list[str]:
    return [page for run in runs for page in run.pages(Path())]


def files(toc: dict) -> list[str]:
    """Every page that a table of contents names, in order."""
    named = [toc["root"]]
    for part in toc["parts"]:
        for chapter in part["chapters"]:
            named += [chapter["file"], *(section["file"] for section in chapter.get("sections", []))]
    return named


@pytest.mark.parametrize(("backbones", "seeds"), [(2, 1), (3, 3), (10, 5)])
def test_contents_hold_every_run_once(backbones, seeds):
    runs = all_runs(backbones, seeds)
    toc = contents(TOC, STORY, runs, pages_of(runs))
    named = files(toc)
    assert len(named) == len(set(named))
    assert [page for page in named if page.startswith("runs/")] == pages_of(runs)
    assert len(pages_of(runs)) == 2 * backbones * seeds
    assert "sections" not in str(TOC), "the table as written is not changed"


def test_contents_hold_every_module():
    described = list(reference.pages(reference.modules(ROOT / "barnlib")))
    named = files(contents(TOC, STORY, [], described))
    assert [page for page in named if page.startswith("api/")] == described


def test_contents_leave_out_what_was_not_executed():
    runs = all_runs(2, 2)
    there = pages_of(runs)[1:3]
    assert [page for page in files(contents(TOC, STORY, runs, there)) if page.startswith("runs/")] == there
    assert "sections" not in str(contents(TOC, STORY, runs, []))


def test_run_pages_are_told_apart_by_their_titles():
    runs = all_runs(2, 2)
    toc = contents(TOC, STORY, runs, pages_of(runs))
    sections = next(c["sections"] for p in toc["parts"] for c in p["chapters"] if c["file"] == "runs")
    assert sections[0] == {"file": "runs/train-b0-seed0", "title": "B0, seed 0: training"}
    assert len({section["title"] for section in sections}) == len(sections)


def test_a_new_notebook_follows_the_results():
    named = files(contents(TOC, [*STORY, "calibration"], [], []))
    assert named[named.index("notebooks/results") + 1] == "notebooks/calibration"


def test_a_notebook_that_does_not_exist_is_left_out():
    named = files(contents(TOC, [name for name in STORY if name != "recorded"], [], []))
    assert "notebooks/recorded" not in named and "notebooks/results" in named


def test_a_table_without_a_place_is_refused():
    toc = {"root": "index", "parts": [{"chapters": [{"file": "protocol"}]}]}
    with pytest.raises(ValueError, match="no place for notebooks/data"):
        contents(toc, ["data"], [], [])


def test_contents_name_every_page_of_prose_and_every_notebook():
    named = files(contents(TOC, STORY, [], []))
    assert {path.stem for path in PAGES} <= set(named)
    # so a name that is misspelt in _toc.yml is found as well: its notebook is then not named
    assert {p.stem for p in (ROOT / "notebooks").glob("*.ipynb")} - {"train", "evaluate"} <= set(STORY)


@pytest.mark.parametrize("name", study_names())
def test_every_figure_that_prose_names_exists(name):
    study = load_study(name)
    values = substitutions(study)
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    made = pieces(
        study,
        runs_of(study),
        Path("nowhere"),
        {"answer": "", "front_chart": "", "verdicts": "", "verdict_summary": ""},
    )
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for expression in re.findall(r"{{(.*?)}}", text):
            assert environment.from_string(f"{{{{{expression}}}}}").render(values), (
                f"{path.name}: {expression}"
            )
        for piece in re.findall(r"{include} _pieces/(\w+)\.md", text):
            assert piece in made, f"{path.name} includes {piece}"


def test_splits_are_counted_where_pictures_are_made_and_named_where_they_are_taken():
    study = load_study("smoke")
    made = pieces(study, [], Path("nowhere"), {})["splits"].splitlines()
    assert made[2] == "| train | 32 | 32 |" and made[5] == "| heldout | – | 4 |"
    assert made[-1] == "Each scene carries 4 questions."
    data = study.data.model_copy(update={"scenes": RecordsParameters(records="barns")})
    taking = study.model_copy(update={"data": data})
    taken = pieces(taking, [], Path("nowhere"), {})["splits"].splitlines()
    assert taken[2] == "| train | from records | 32 |"
    assert taken[-1] == "Scenes carry the questions that their records have."
    assert substitutions(taking)["study"]["data"]["scenes"] == {"records": "barns"}


def test_whole_numbers_are_written_as_such():
    values = substitutions(load_study("nano"))["study"]
    assert isinstance(values["evaluation"]["tolerance_km"], int)
    assert isinstance(values["finetune"]["learning_rate"], float)


def test_counts_come_with_their_noun():
    values = substitutions(load_study("nano"))
    assert values["seeds"] == "3 seeds" and values["align_passes"] == "1 pass"
    assert values["finetune_passes"] == "1.75 passes"
    study = load_study("nano").model_copy(update={"seeds": (7,)})
    assert substitutions(study)["seeds"] == "1 seed"


def test_missing_runs_are_marked(tmp_path):
    study = load_study("smoke")
    runs = runs_of(study)
    executed = tmp_path / f"train-{runs[0].name}.ipynb"
    executed.touch()
    table = pieces(study, runs, tmp_path, {})["runs"].splitlines()
    assert len(table) == 2 + len(runs)
    assert f"[training](runs/train-{runs[0].name}.ipynb)" in table[2]
    assert "evaluation *missing*" in table[2]
    assert "training *missing*" in table[3]
    assert load_backbone(runs[0].backbone, study.scale).title in table[2]


@pytest.mark.parametrize(
    ("remote", "expected"),
    [
        ("https://github.com/someone/barn.git", "https://github.com/someone/barn"),
        ("git@github.com:someone/barn.git", "https://github.com/someone/barn"),
        ("ssh://git@gitlab.com/group/barn", "https://gitlab.com/group/barn"),
        ("https://user:secret@github.com/someone/barn", None),
        ("https://git.internal.example/someone/barn.git", None),
        ("/home/someone/barn", None),
        ("", None),
    ],
)
def test_only_public_hosts_get_launch_links(remote, expected):
    assert public_url(remote) == expected


def test_pyprojects_address_comes_first(tmp_path):
    (tmp_path / "pyproject.toml").write_text(
        '[project.urls]\nRepository = "https://github.com/o/r"\n', encoding="utf-8"
    )
    assert repository_url(tmp_path) == "https://github.com/o/r"


def test_the_examples_of_the_page_on_extending_load():
    text = (BOOK / "extend.md").read_text(encoding="utf-8")
    text += pieces(load_study("nano"), [], Path("nowhere"), {})["another_backbone"]
    blocks = re.findall(
        r"```{code-block} yaml\n:caption: params/(\w+)/[\w-]+\.yaml\n(.*?)```", text, re.DOTALL
    )
    assert [folder for folder, _ in blocks] == [
        "backbones",
        "encoders",
        "studies",
        "studies",
        "studies",
        "backbones",
    ]
    models = {"backbones": BackboneFile, "encoders": EncoderFile}  # tests/test_extend.py follows the studies
    for folder, block in blocks:
        if folder in models:
            models[folder].model_validate(yaml.safe_load(block))


def test_no_page_asks_for_the_network():
    for path in [*PAGES, *BOOK.glob("_static/*"), BOOK / "_config.yml"]:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(src|@import|url)\s*[=(]?\s*[\"']?https?://", text), path.name
