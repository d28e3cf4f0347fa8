"""The ``papermill`` command of this project's environment: papermill's own, with a default for the output path.

In:  the arguments of papermill's command line. Out: the same run, with an output path where none was given.

``papermill NOTEBOOK -p backbone llama3`` without an output path is refused by papermill on a terminal, and reads the
notebook from standard input where that is a pipe. Here it runs the notebook that was named; the executed copy goes to
``runs/notebooks`` on a terminal, and to standard output elsewhere, as papermill does. With an output path, or for
anything else, nothing changes.

Where a notebook refuses what it was given, standard error gets that sentence, the cell, and the place of the executed
notebook, which holds the whole traceback. An error that nobody foresaw is shown as papermill shows it.

A kernel that did not come up is started again. Its ports are chosen before it takes them, and where other kernels run,
one of them may be gone by then.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from papermill.cli import papermill
from papermill.exceptions import PapermillExecutionError

from barnlib.command_line import one_sentence
from barnlib.paths import ROOT, runs_root

STARTS = 3  # of a kernel, at most
NOT_UP = "Kernel died before replying to kernel_info"  # jupyter_client's words; no cell has run then
# Errors whose text is a sentence about what was asked for, by the names that a kernel reports.
REFUSALS = {"ValueError", "BookError", "ControlError", "PreflightError"}


def main() -> None:
    """Entry point of the ``papermill`` command."""
    arguments = sys.argv[1:]
    if problem := missing_notebook(arguments):
        sys.exit(f"papermill: {problem}")
    with one_sentence():
        arguments += output_path(arguments, terminal=sys.stdout.isatty())
    for start in range(1, STARTS + 1):
        try:
            papermill.main(arguments, prog_name="papermill")
        except RuntimeError as problem:
            if NOT_UP not in str(problem) or start == STARTS:
                raise
        except PapermillExecutionError as problem:
            if problem.ename not in REFUSALS:
                raise
            sys.exit(refusal(problem, arguments))


def refusal(problem: PapermillExecutionError, arguments: Sequence[str]) -> str:
    """What to say of a notebook that refused what it was given: its sentence, the cell, and where the rest is.

    Args:
        arguments: papermill's arguments, without the program's name, with an output path.
    """
    given = _given(arguments)
    output = given["output_path"]
    copy = Path(output).absolute() if output and output != "-" and "://" not in output else output
    rest = "went to standard output" if copy in (None, "-") else f"is {copy}"
    return (
        f"papermill: {problem.ename}: {problem.evalue}\n"
        f"in cell In[{problem.exec_count}] of {given['notebook_path']}; the executed notebook {rest}"
    )


def missing_notebook(arguments: Sequence[str]) -> str:
    """What to say of a notebook that is named and is not there, in place of papermill's traceback; else nothing.

    Args:
        arguments: papermill's arguments, without the program's name.
    """
    name = str(_given(arguments)["notebook_path"] or "-")
    if (
        name == "-" or "://" in name or Path(name).is_file()
    ):  # papermill also reads addresses and its standard input
        return ""
    whole = f"{name.removesuffix('.ipynb')}.ipynb"
    own = ROOT / "notebooks" / Path(whole).name
    hint = f"; this project's own is {own}" if own.is_file() else ""
    if Path(whole).is_file():
        hint = f"; did you mean '{whole}'?"
    return f"no notebook '{name}' in {Path.cwd()}{hint}"


def output_path(arguments: Sequence[str], *, terminal: bool) -> list[str]:
    """The argument to add: none where an output path was given or no notebook was named.

    Args:
        arguments: papermill's arguments, without the program's name.
        terminal: whether somebody watches, so that the notebook's text would be in the way.
    """
    if not any(argument.endswith(".ipynb") for argument in arguments):
        return []
    given = _given(arguments)
    notebook = Path(given["notebook_path"] or "")
    if given["output_path"] or given["help_notebook"] or not notebook.is_file():
        return []
    if not terminal:
        return ["-"]
    values = [
        re.sub(r"[^\w.-]", "_", str(value)) for _, value in (*given["parameters"], *given["parameters_raw"])
    ]
    folder = runs_root() / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    return [str(folder / f"{'-'.join([notebook.stem, *values])}.ipynb")]


def _given(arguments: Sequence[str]) -> dict[str, Any]:
    """What papermill's command line makes of its arguments, by the names of its own parameters."""
    return papermill.make_context("papermill", list(arguments), resilient_parsing=True).params


if __name__ == "__main__":
    main()
