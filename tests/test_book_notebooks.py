"""barnlib.report.book_notebooks: what stops a notebook, and what the book shows of one that is right."""

import json
from pathlib import Path

import nbformat
import pytest
from small_book import HOSTILE, displayed, executed, glue

from barnlib import first_cell
from barnlib.report.book_notebooks import for_book, glued, problems

CHART = {"mark": "point", "description": "a point", "title": "A point"}
VEGALITE = "application/vnd.vegalite.v6+json"


def found(tmp_path: Path, notebook: nbformat.NotebookNode) -> list[str]:
    """The problems of a notebook that was written and read again."""
    nbformat.write(notebook, tmp_path / "page.ipynb")
    return problems(tmp_path / "page.ipynb")[1]


def test_an_executed_notebook_is_right(tmp_path):
    assert (
        found(
            tmp_path,
            executed("Right", [displayed({"text/html": "<p>a <a href='https://x.org'>link</a></p>"})]),
        )
        == []
    )


def test_a_failed_cell_is_named_with_its_error(tmp_path):
    error = {"output_type": "error", "ename": "ValueError", "evalue": "no study 'nan'\nmore", "traceback": []}
    notebook = executed("Failed", [error])
    notebook.metadata["papermill"]["exception"] = True
    assert found(tmp_path, notebook) == ["cell 4 failed: ValueError: no study 'nan'"]


def test_an_exception_that_left_no_output_is_reported(tmp_path):
    notebook = executed("Killed", [])
    notebook.metadata["papermill"]["exception"] = True
    assert found(tmp_path, notebook) == ["papermill reports an exception"]


def test_a_cell_that_did_not_run_is_named(tmp_path):
    notebook = executed("Half", [displayed({"text/plain": "1"})])
    notebook.cells[3].execution_count = None
    assert found(tmp_path, notebook) == ["cell 4 was not executed"]


@pytest.mark.parametrize(
    "output",
    [
        '<script src="https://cdn.example.org/vega.js"></script>',
        "<img src='//example.org/pixel.png'>",
        '<link rel="stylesheet" href="https://example.org/a.css">',
        '<script>import("https://cdn.example.org/x")</script>',
        '<div style="background: url(https://example.org/a.png)"></div>',
    ],
)
def test_an_output_that_would_fetch_something_is_named(tmp_path, output):
    assert found(tmp_path, executed("CDN", [displayed({"text/html": output})])) == [
        "the output of cell 4 loads something from the network"
    ]


def test_a_file_that_is_no_notebook_is_no_crash(tmp_path):
    (tmp_path / "page.ipynb").write_text("{half", encoding="utf-8")
    notebook, wrong = problems(tmp_path / "page.ipynb")
    assert notebook is None
    assert "is no notebook" in wrong[0]


def test_defaults_that_were_overridden_are_left_out():
    shown = for_book(executed("Page", [], parameters={"study": "smoke"}))
    sources = [cell.source for cell in shown.cells if cell.cell_type == "code"]
    assert sources == ["study = 'smoke'"]


def test_defaults_that_hold_stay():
    notebook = executed("Page", [])
    del notebook.cells[2]
    sources = [cell.source for cell in for_book(notebook).cells if cell.cell_type == "code"]
    assert sources == ['study = "nano"  # default']


def test_nothing_of_the_machine_is_left():
    notebook = executed("Page", [displayed({"text/plain": "1"})])
    notebook.cells[3].metadata["papermill"] = {"start_time": "2026"}
    assert "papermill" not in json.dumps(for_book(notebook))
    assert "papermill" in notebook.metadata, "the executed notebook itself is not changed"


def test_code_is_folded_unless_it_asks_to_be_shown():
    notebook = executed("Page", [displayed({"text/plain": "1"}), displayed({"text/plain": "2"})])
    notebook.cells[4].metadata["tags"] = ["show-input"]
    shown = [cell for cell in for_book(notebook).cells if cell.cell_type == "code"]
    assert [cell.metadata.get("tags", []) for cell in shown] == [
        ["injected-parameters"],
        ["hide-input"],
        ["show-input"],
    ]


def test_a_cell_that_is_not_shown_keeps_its_tags():
    notebook = executed("Page", [])
    tags = list(first_cell.TAGS)
    cell = nbformat.v4.new_code_cell(first_cell.source(None), metadata={"tags": tags}, execution_count=1)
    notebook.cells.insert(1, cell)
    assert for_book(notebook).cells[1].metadata.tags == tags


def test_a_runs_title_is_added_to_the_heading():
    shown = for_book(executed("Train one run", []), "LLaMA-3 style, seed 0")
    assert shown.cells[0].source.splitlines()[0] == "# Train one run: LLaMA-3 style, seed 0"


def test_links_of_a_run_lead_to_the_story():
    notebook = executed("Train", [])
    notebook.cells[
        -1
    ].source = "The [ledger](ledger.ipynb#what), [elsewhere](../x.ipynb), [out](https://x.org/a.ipynb)."
    text = for_book(notebook, "a run").cells[-1].source
    assert text == (
        "The [ledger](../notebooks/ledger.ipynb#what), [elsewhere](../x.ipynb), [out](https://x.org/a.ipynb)."
    )
    assert for_book(notebook).cells[-1].source == notebook.cells[-1].source


def test_glued_outputs_become_myst():
    notebook = executed(
        "Results",
        [
            glue("answer", {"text/markdown": "- one\n- two", "text/plain": "<Markdown>"}),
            glue("chart", {VEGALITE: CHART, "image/png": "iVBOR", "text/plain": "Chart"}),
            glue("table", {"text/html": "<table></table>", "text/plain": "…"}),
            displayed({"text/plain": "0.61"}, {"scrapbook": {"name": "accuracy", "mime_prefix": ""}}),
            displayed({"text/plain": HOSTILE}),
        ],
    )
    texts = glued({"notebooks/results": notebook})
    assert set(texts) == {"answer", "chart", "table", "accuracy"}
    assert texts["answer"] == "- one\n- two\n"
    assert texts["chart"].startswith('```{raw} html\n<figure class="chart">')
    assert texts["table"] == "```{raw} html\n<table></table>\n```\n"
    assert texts["accuracy"] == "0.61\n"
