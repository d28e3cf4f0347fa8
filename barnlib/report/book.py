"""The book of one study: its source, completed with the notebooks as they were executed, and built.

In:  ``book/`` (prose, configuration, order), ``notebooks/*.ipynb`` (which there are), and the executed copies in
     ``runs/STUDY/notebooks/``: ``NAME.ipynb``, ``train-BACKBONE-seedN.ipynb``, ``evaluate-BACKBONE-seedN.ipynb``.
Out: ``runs/STUDY/book/`` (a complete Jupyter Book source) and ``runs/STUDY/book/_build/html/index.html``, which reads
     from ``file://`` with no network; ``runs/STUDY/book/index.html`` leads there.

``python -m barnlib.report.book STUDY`` does it. A notebook of the story that is absent, failed or not executed to
its end stops the build; a run that is absent is shown as missing.
"""

import argparse
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import yaml

from barnlib.command_line import one_sentence
from barnlib.parameters import load_study
from barnlib.paths import ROOT
from barnlib.report import explorer_page, reference
from barnlib.report.book_notebooks import for_book, glued, problems
from barnlib.report.book_pages import contents, pieces, repository_url, runs_of, substitutions
from barnlib.study import Study

RUN_NOTEBOOKS = ("train", "evaluate")
BINDER, COLAB = "https://mybinder.org", "https://colab.research.google.com"

REDIRECT = """<!doctype html><meta charset="utf-8"><title>The book</title>
<meta http-equiv="refresh" content="0; url=_build/html/index.html"><a href="_build/html/index.html">The book</a>
"""


class BookError(ValueError):
    """The book cannot be built from what there is; the message says why and what to do."""


def build(study_name: str, *, source: Path = ROOT / "book", notebooks: Path = ROOT / "notebooks") -> Path:
    """Build the book of a study.

    Args:
        study_name: a file in ``params/studies``.
        source: the book's folder.
        notebooks: the folder of notebooks without outputs; their names say which executed ones there must be.

    Returns:
        ``index.html`` of the built book.

    Raises:
        BookError: a notebook of the story is absent, or one failed or was not executed to its end; or Jupyter Book
            failed or warned (its output is in the message).
        ValueError: no such study.
    """
    study = load_study(study_name)
    target = study.folder / "book"
    collect(study, source=source, notebooks=notebooks, target=target)
    run_jupyter_book(target)
    _write(target / "index.html", REDIRECT)
    return target / "_build" / "html" / "index.html"


def collect(study: Study, *, source: Path, notebooks: Path, target: Path) -> None:
    """Write the complete source of a study's book to ``target``; what an earlier build left there is removed.

    Raises:
        BookError: as :func:`build`.
    """
    executed = study.folder / "notebooks"
    story = sorted(path.stem for path in notebooks.glob("*.ipynb") if path.stem not in RUN_NOTEBOOKS)
    runs = runs_of(study)
    present = {f"notebooks/{name}": executed / f"{name}.ipynb" for name in story}
    present |= {page: path for run in runs for page, path in run.pages(executed).items() if path.exists()}
    read = gated(present)

    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, ignore=shutil.ignore_patterns("_build", ".ipynb_checkpoints"))
    if (study.folder / "explorer").is_dir():
        shutil.copytree(study.folder / "explorer", target / explorer_page.FOLDER)
    titles = {page: run.title for run in runs for page in run.pages(executed)}
    for page, notebook in read.items():
        _write(target / f"{page}.ipynb", nbformat.writes(for_book(notebook, titles.get(page))))
    described = reference.pages(reference.modules(ROOT / "barnlib"))
    for page, text in described.items():
        _write(target / f"{page}.md", text)
    for name, text in pieces(study, runs, executed, glued(read)).items():
        _write(target / "_pieces" / f"{name}.md", text)
    _require_pieces(target)
    _complete(
        target / "_toc.yml",
        lambda toc: contents(toc, story, runs, [*read, *described]),
    )
    _complete(target / "_config.yml", lambda config: _configured(config, study, titles))


def gated(present: Mapping[str, Path]) -> dict[str, Any]:
    """Read executed notebooks, by page.

    Raises:
        BookError: lists every notebook that is absent, failed, or was not executed to its end, and what to do.
    """
    read, wrong = {}, []
    for page, path in present.items():
        if not path.exists():
            wrong.append(f"{path}: not there; the notebook has not been executed")
            continue
        notebook, found = problems(path)
        wrong += [f"{path}: {problem}" for problem in found]
        read[page] = notebook
    if wrong:
        lines = "\n".join(f"  {line}" for line in wrong)
        raise BookError(
            f"the book is built from executed notebooks only, and {len(wrong)} thing(s) are in the way:\n{lines}\n"
            f"Mend what failed and run `make study` again; it executes only what is missing or has changed."
        )
    return read


def run_jupyter_book(folder: Path) -> None:
    """Run ``jupyter-book build`` in a subprocess; every warning is an error.

    Raises:
        BookError: it failed; the message ends with its warnings and last lines.
    """
    start = "from jupyter_book.cli.main import main; main()"  # the package has no __main__
    command = [sys.executable, "-c", start, "build", "-W", "-n", "--keep-going", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).splitlines()
        telling = [line for line in lines if "WARNING" in line or "ERROR" in line]
        telling = telling or [*done.stdout.splitlines()[-20:], *done.stderr.splitlines()[-30:]]
        raise BookError(f"jupyter-book failed on {folder}:\n" + "\n".join(telling))


def _configured(config: dict[str, Any], study: Study, titles: Mapping[str, str]) -> dict[str, Any]:
    """The book's configuration with the study's parameters as substitutions, and launch links where they can work."""
    config["parse"]["myst_substitutions"] = substitutions(study)
    repository = repository_url(ROOT)
    if not repository:
        config["launch_buttons"].pop("jupyterhub_url", None)  # a hub has nothing to fetch
    else:
        config["repository"] = {"url": repository, "branch": "main", "path_to_book": ""}
        config["launch_buttons"]["binderhub_url"] = BINDER
        if repository.startswith(
            "https://github.com/"
        ):  # Colab knows no other host, and the theme would warn
            config["launch_buttons"]["colab_url"] = COLAB
        sources = {page: f"notebooks/{page.split('/')[-1].split('-')[0]}.ipynb" for page in titles}
        config["sphinx"]["config"]["launch_sources"] = sources
    return config


def _require_pieces(target: Path) -> None:
    """Every piece that a page includes must have been made; a missing one was not glued by any notebook."""
    for page in sorted(target.glob("*.md")):
        for line in page.read_text(encoding="utf-8").splitlines():
            name = line.removeprefix("```{include} ").strip()
            if name != line.strip() and name.startswith("_pieces/") and not (target / name).exists():
                raise BookError(
                    f"{page.name} shows '{Path(name).stem}', but no executed notebook glues it: "
                    f"glue('{Path(name).stem}', ..., display=False) in the notebook that computes it"
                )


def _complete(path: Path, change: Any) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(change(content), sort_keys=False, allow_unicode=True), encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def main() -> None:
    """Command line: one argument, the study."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", help="a name in params/studies")
    study = parser.parse_args().study
    with one_sentence():
        print(build(study))


if __name__ == "__main__":
    main()
