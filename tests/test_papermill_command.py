"""The ``papermill`` command without an output path: it runs the notebook that was named, wherever it is started."""

import importlib.util
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from papermill.exceptions import PapermillExecutionError

from barnlib import papermill_command
from barnlib.papermill_command import NOT_UP, missing_notebook, output_path
from barnlib.paths import ROOT

COMMAND = Path(sys.executable).with_name("papermill")


@pytest.fixture
def notebook(tmp_path):
    cells = [
        nbformat.v4.new_code_cell("word = 'none'", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("print(word)"),
    ]
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(made, tmp_path / "small.ipynb")
    return tmp_path / "small.ipynb"


@pytest.mark.parametrize(("message", "times", "starts"), [(NOT_UP, 2, 3), (NOT_UP, 9, 3), ("other", 9, 1)])
def test_a_kernel_that_did_not_come_up_is_started_again(message, times, starts, notebook, monkeypatch):
    """Only what happened before any cell ran is tried again, and not for ever."""
    tried = []

    def run(arguments, prog_name):
        tried.append(arguments)
        if len(tried) <= times:
            raise RuntimeError(message)
        raise SystemExit(0)

    monkeypatch.setattr(papermill_command.papermill, "main", run)
    monkeypatch.setattr(sys, "argv", ["papermill", str(notebook), "out.ipynb"])
    with pytest.raises(
        SystemExit if times < starts else RuntimeError, match="0" if times < starts else message
    ):
        papermill_command.main()
    assert tried == [[str(notebook), "out.ipynb"]] * starts


def test_jupyter_client_says_it_in_these_words():
    found = importlib.util.find_spec("jupyter_client.client")
    assert NOT_UP in Path(found.origin).read_text(encoding="utf-8")


def test_default_output(notebook, tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path / "runs"))
    given = [str(notebook), "-p", "word", "a/b", "-r", "seed", "0"]
    assert output_path(given, terminal=True) == [str(tmp_path / "runs" / "notebooks" / "small-a_b-0.ipynb")]
    assert output_path(given, terminal=False) == ["-"]


def test_nothing_is_added_where_papermill_needs_nothing(notebook):
    for given in (
        [str(notebook), "out.ipynb"],
        [str(notebook), "--help-notebook"],
        ["missing.ipynb", "-p", "word", "x"],
        ["--version"],
        ["--help"],
        ["-"],
        [],
    ):
        assert output_path(given, terminal=True) == [], given


def test_a_notebook_that_is_not_there_is_named_with_the_place_of_ours(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = missing_notebook(["notebooks/train.ipynb", "-p", "backbone", "llama3"])
    assert said.startswith(f"no notebook 'notebooks/train.ipynb' in {tmp_path}")
    assert said.endswith(f"own is {ROOT / 'notebooks' / 'train.ipynb'}")
    assert missing_notebook(["else.ipynb", "out.ipynb"]) == f"no notebook 'else.ipynb' in {tmp_path}"
    for given in (
        [str(notebook)],
        ["https://host/train.ipynb"],
        ["-", "out.ipynb"],
        ["--help"],
        ["--version"],
        ["--unknown"],
        [],
    ):
        assert missing_notebook(given) == "", given


def test_a_notebook_without_its_ending_is_named_with_the_one_that_is_there(notebook, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert missing_notebook(["small", "-p", "word", "x"]).endswith("; did you mean 'small.ipynb'?")
    assert missing_notebook(["train"]).endswith(
        f"; this project's own is {ROOT / 'notebooks' / 'train.ipynb'}"
    )
    assert missing_notebook(["else"]) == f"no notebook 'else' in {tmp_path}"


def test_refusals_are_all_of_the_projects_own_kinds_of_valueerror():
    kinds = re.findall(
        r"^class ([A-Z]\w+)\(ValueError\)",
        "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "barnlib").rglob("*.py")),
        flags=re.MULTILINE,
    )
    assert {"ValueError", *kinds} == papermill_command.REFUSALS


def failed(kind: str) -> PapermillExecutionError:
    return PapermillExecutionError(4, 3, "choose()", kind, "no backbone 'x'", ["a frame"] * 50)


@pytest.mark.parametrize(
    ("given", "rest"), [("out.ipynb", "is {folder}/out.ipynb"), ("-", "went to standard output")]
)
def test_a_refusal_is_the_sentence_the_cell_and_the_executed_notebook(
    given, rest, notebook, tmp_path, monkeypatch
):
    def run(arguments, prog_name):
        raise failed("ValueError")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(papermill_command.papermill, "main", run)
    monkeypatch.setattr(sys, "argv", ["papermill", "small.ipynb", given])
    with pytest.raises(SystemExit) as ended:
        papermill_command.main()
    assert ended.value.code.splitlines() == [
        "papermill: ValueError: no backbone 'x'",
        f"in cell In[3] of small.ipynb; the executed notebook {rest.format(folder=tmp_path)}",
    ]


def test_an_error_that_nobody_foresaw_keeps_its_traceback(notebook, monkeypatch):
    def run(arguments, prog_name):
        raise failed("IndexError")

    monkeypatch.setattr(papermill_command.papermill, "main", run)
    monkeypatch.setattr(sys, "argv", ["papermill", str(notebook), "out.ipynb"])
    with pytest.raises(PapermillExecutionError, match="a frame"):
        papermill_command.main()


@pytest.mark.slow
def test_a_piped_run_prints_the_notebook(notebook, tmp_path):
    done = subprocess.run(
        [COMMAND, notebook, "-p", "word", "barn"],
        cwd=tmp_path,
        input="",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cells"][-1]["outputs"][0]["text"] == ["barn\n"]


@pytest.mark.slow
def test_a_terminal_gets_a_file(notebook, tmp_path):
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [COMMAND, notebook, "-p", "word", "barn"],
        cwd=tmp_path,
        env={**os.environ, "BARNLIB_RUNS": str(tmp_path / "runs")},
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0, done.stderr
    written = nbformat.read(tmp_path / "runs" / "notebooks" / "small-barn.ipynb", as_version=4)
    assert written.cells[-1].outputs[0]["text"] == "barn\n"
