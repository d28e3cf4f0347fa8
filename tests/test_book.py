"""barnlib.report.book: what stops it, what it collects, and (slow) that a warning is an error."""

import shutil
from pathlib import Path

import nbformat
import pytest
import yaml
from small_book import STORY, executed, write_study

from barnlib.parameters import load_study
from barnlib.paths import ROOT
from barnlib.report import book


@pytest.fixture()
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    return load_study("smoke").model_copy(update={"seeds": (0, 1)})


def collected(study, sources: Path) -> Path:
    """The complete source of the study's book."""
    target = study.folder / "book"
    book.collect(study, source=ROOT / "book", notebooks=sources, target=target)
    return target


def test_the_source_is_complete_and_only_what_ran_is_in_it(study):
    sources = write_study(study, missing=("train-llama2-seed0",))
    target = collected(study, sources)
    for name in STORY:
        assert (target / "notebooks" / f"{name}.ipynb").exists()
    assert (target / "runs" / "train-llama1-seed0.ipynb").exists()
    assert not (target / "runs" / "train-llama2-seed0.ipynb").exists()
    runs = (target / "_pieces" / "runs.md").read_text(encoding="utf-8")
    assert runs.count("*missing*") == 1
    assert "| 2.0 | 1.5 |" in runs, "120 seconds and 1536 MiB, from the ledger"
    named = (target / "_toc.yml").read_text(encoding="utf-8")
    assert "runs/train-llama2-seed0" not in named
    assert "runs/evaluate-llama2-seed0" in named
    title = nbformat.read(target / "runs" / "train-llama1-seed1.ipynb", 4).cells[0].source.splitlines()[0]
    assert title == "# The train page: LLaMA-1 style, seed 1"


def test_what_an_earlier_build_left_is_removed(study):
    sources = write_study(study)
    target = collected(study, sources)
    (target / "stale.md").write_text("# Stale", encoding="utf-8")
    assert not (collected(study, sources) / "stale.md").exists()


def test_everything_that_is_in_the_way_is_said_at_once(study):
    sources = write_study(study, missing=("encoder",))
    folder = study.folder / "notebooks"
    failed = executed(
        "Data", [{"output_type": "error", "ename": "OSError", "evalue": "disk full", "traceback": []}]
    )
    nbformat.write(failed, folder / "data.ipynb")
    half = executed("Train", [])
    half.cells[2].execution_count = None
    nbformat.write(half, folder / "train-llama3-seed0.ipynb")
    with pytest.raises(book.BookError) as caught:
        collected(study, sources)
    text = str(caught.value)
    assert "3 thing(s) are in the way" in text
    assert "encoder.ipynb: not there; the notebook has not been executed" in text
    assert "data.ipynb: cell 4 failed: OSError: disk full" in text
    assert "train-llama3-seed0.ipynb: cell 3 was not executed" in text
    assert "run `make study` again" in text
    assert not (study.folder / "book").exists()


def test_a_page_that_shows_what_nobody_glued_is_named(study):
    sources = write_study(study)
    nbformat.write(executed("Results", []), study.folder / "notebooks" / "results.ipynb")
    with pytest.raises(book.BookError, match=r"index.md shows 'answer', but no executed notebook glues it"):
        collected(study, sources)


def configured(study, monkeypatch, address: str | None, hub: str | None = None) -> dict:
    """The configuration of a book of a repository at this address, whose own configuration names a hub."""
    monkeypatch.setattr(book, "repository_url", lambda root: address)
    config = yaml.safe_load((ROOT / "book" / "_config.yml").read_text(encoding="utf-8"))
    if hub:
        config["launch_buttons"]["jupyterhub_url"] = hub
    return book._configured(config, study, {"runs/evaluate-llama3-seed1": "a title"})


@pytest.mark.parametrize(
    ("address", "launchers"),
    [
        (None, set()),
        ("https://github.com/someone/barn", {"binderhub_url", "colab_url", "jupyterhub_url"}),
        ("https://gitlab.com/someone/barn", {"binderhub_url", "jupyterhub_url"}),
    ],
)
def test_launchers_are_those_that_can_open_the_repository(study, monkeypatch, address, launchers):
    config = configured(study, monkeypatch, address, hub="https://hub.example.org")
    assert {name for name in config["launch_buttons"] if name.endswith("_url")} == launchers
    without = configured(study, monkeypatch, address)
    assert "jupyterhub_url" not in without["launch_buttons"], "a hub has no address that holds for all"


@pytest.mark.parametrize("address", [None, "https://github.com/someone/barn"])
def test_launch_links_only_where_the_repository_is_public(study, monkeypatch, address):
    monkeypatch.setattr(book, "repository_url", lambda root: address)
    target = collected(study, write_study(study))
    config = yaml.safe_load((target / "_config.yml").read_text(encoding="utf-8"))
    if address is None:
        assert "repository" not in config
        assert "colab_url" not in config["launch_buttons"]
    else:
        assert config["repository"]["url"] == address
        sources = config["sphinx"]["config"]["launch_sources"]
        assert sources["runs/evaluate-llama3-seed1"] == "notebooks/evaluate.ipynb"
        assert "notebooks/data" not in sources, "a page of the story lies where its source lies"


def test_the_command_says_what_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["book", "nan"])
    with pytest.raises(SystemExit, match="no study 'nan'"):
        book.main()
    monkeypatch.setattr("sys.argv", ["book"])
    with pytest.raises(SystemExit, match="2"):
        book.main()
    assert "study" in capsys.readouterr().err


@pytest.mark.slow
def test_a_warning_of_jupyter_book_is_an_error(tmp_path):
    folder = tmp_path / "book"
    folder.mkdir()
    (folder / "_toc.yml").write_text("format: jb-book\nroot: index\n", encoding="utf-8")
    shutil.copytree(ROOT / "book" / "_static", folder / "_static")
    for name in ("_config.yml", "references.bib", "logo.svg"):
        shutil.copy(ROOT / "book" / name, folder / name)
    (folder / "index.md").write_text("# Page\n\nA [link](nowhere.md) to nowhere.\n", encoding="utf-8")
    with pytest.raises(book.BookError, match=r"index.md.*nowhere"):
        book.run_jupyter_book(folder)
