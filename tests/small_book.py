"""A small study's executed notebooks, made by hand, for the tests of the book: every kind of output, no model."""

import base64
import json
import shutil
from functools import cache
from pathlib import Path

import nbformat
import pandas as pd
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from barnlib import first_cell
from barnlib.parameters import load_study
from barnlib.report import charts, explorer, theme
from barnlib.study import Study

STORY = (
    "data",
    "encoder",
    "backbones",
    "results",
    "representations",
    "bottleneck",
    "recorded",
    "ledger",
    "verdicts",
    "explorer",
    "probing",
)  # the last is not in _toc.yml
NOTE = theme.Note("smoke", 640, "questions on 80 images, 2 seeds", "95 % bootstrap over images and seeds")
KINDS = ("intervals", "differences", "curves", "one panel", "exchange", "references")
LONG_TABLE = [(f"row {n}", f"{(n * 7) % 13}.5 %" if n else "–") for n in range(13)]
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"


def example_table(study: Study) -> pd.DataFrame:
    """One row for each task and backbone, with an interval and a baseline."""
    rows = []
    for t, task in enumerate(("VQA-Scene", "Seismic text description", "Seismic coordinate prediction")):
        for b, backbone in enumerate(study.backbones):
            value = 0.2 + 0.15 * b + 0.1 * t
            row = {
                "task": task,
                "backbone": backbone,
                "estimate": value,
                "low": value - 0.05,
                "high": value + 0.05,
            }
            rows.append({**row, "n": 640, "majority": 0.15 + 0.05 * t})
    return pd.DataFrame(rows)


def example_charts(study: Study) -> dict:
    """One chart of each kind."""
    palette, table = theme.palette(study), example_table(study)
    pairs = table.assign(pair=table["backbone"] + " − first", estimate=table["estimate"] - 0.4)
    pairs = pairs.assign(low=pairs["estimate"] - 0.05, high=pairs["estimate"] + 0.05)
    steps = pd.DataFrame(
        {
            "task": task,
            "backbone": backbone,
            "seed": seed,
            "step": step,
            "value": 0.1 * b + step / 400 + seed / 50,
        }
        for task in table["task"].unique()
        for b, backbone in enumerate(study.backbones)
        for seed in (0, 1)
        for step in range(10, 200, 20)
    )
    kinds = pd.DataFrame(
        {"target": target, "kind": kind, "estimate": value, "low": value - 0.02, "high": value + 0.02}
        for target in ("colour", "shape", "latitude")
        for kind, value in (("trained encoder", 0.9), ("random encoder", 0.5), ("chance", 0.25))
    )
    swaps = pd.DataFrame(
        {"task": task, "gained": 0.1, "lost": 0.06, "low": 0.0, "high": 0.08}
        for task in table["task"].unique()
    )
    return {
        "intervals": charts.intervals(
            table, palette, NOTE, title="The newest backbone is ahead", label="accuracy", baseline="majority"
        ),
        "differences": charts.differences(pairs, NOTE, title="Gains depend on the task", label="difference"),
        "curves": charts.curves(
            steps, palette, NOTE, title="Every task is still climbing", label="validation score", panel="task"
        ),
        "one panel": charts.curves(
            steps[steps["task"] == "VQA-Scene"], palette, NOTE, title="It climbs", label="validation score"
        ),
        "exchange": charts.exchange(swaps, NOTE, title="More is gained than lost"),
        "references": charts.references(
            kinds, NOTE, title="All can be read", label="balanced accuracy", domain=(0, 1)
        ),
    }


def colab_cell() -> nbformat.NotebookNode:
    """The first code cell, as executed where it does nothing."""
    tags = {"tags": list(first_cell.TAGS)}
    return new_code_cell(first_cell.source(None), metadata=tags, execution_count=1)


def executed(
    title: str, outputs: list[dict], *, parameters: dict[str, str] | None = None
) -> nbformat.NotebookNode:
    """A notebook as papermill leaves it: a title, parameters (overridden), and one cell for each output."""
    cells = [new_markdown_cell(f"# {title}\n\n*Question: what is seen?*")]
    cells.append(
        new_code_cell('study = "nano"  # default', metadata={"tags": ["parameters"]}, execution_count=1)
    )
    lines = "\n".join(f"{key} = {value!r}" for key, value in (parameters or {"study": "smoke"}).items())
    cells.append(
        new_code_cell(f"# Parameters\n{lines}", metadata={"tags": ["injected-parameters"]}, execution_count=2)
    )
    for number, output in enumerate(outputs, 3):
        cells.append(new_code_cell("show()", execution_count=number, outputs=[new_output(**output)]))
    cells.append(
        new_markdown_cell(
            "## What is seen\n\nThe [ledger](ledger.ipynb). Inline $a^2$ and\n\n$$\\frac{a}{b} = \\sum_i x_i$$\n"
        )
    )
    notebook = new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["papermill"] = {"exception": None, "input_path": "/home/somebody/notebooks/data.ipynb"}
    return notebook


def displayed(bundle: dict, metadata: dict | None = None) -> dict:
    """A display_data output."""
    return {"output_type": "display_data", "data": bundle, "metadata": metadata or {}}


def glue(name: str, bundle: dict) -> dict:
    """An output as ``myst_nb.glue(name, ..., display=False)`` stores it."""
    prefix = "application/papermill.record/"
    return displayed(
        {prefix + kind: value for kind, value in bundle.items()},
        {"scrapbook": {"name": name, "mime_prefix": prefix}},
    )


def chart_bundle(chart: object) -> dict:
    """The MIME bundle that a notebook stores for a chart."""
    theme.use()
    bundle = chart._repr_mimebundle_()  # type: ignore[attr-defined]
    return bundle[0] if isinstance(bundle, tuple) else bundle


@cache
def _bundles(name: str, backbones: tuple[str, ...]) -> dict[str, dict]:
    """The MIME bundles of a study's example charts, and of one whose every text is hostile; drawn once."""
    study = load_study(name)
    hostile = charts.intervals(
        example_table(study).assign(task=HOSTILE), theme.palette(study), NOTE, title=HOSTILE, label="share"
    )
    return {
        name: chart_bundle(chart) for name, chart in {**example_charts(study), "hostile": hostile}.items()
    }


def write_study(study: Study, *, missing: tuple[str, ...] = ()) -> Path:
    """Write the study's executed notebooks and empty sources; returns the folder of sources.

    Args:
        missing: file names (without suffix) that are left out.
    """
    drawn = _bundles(study.name, study.backbones)
    rows = "<thead><tr><th>answer</th></tr></thead><tbody><tr><td>yes</td></tr></tbody>"
    table = f"<table class='dataframe'>{rows}</table>"
    answer = {
        "text/markdown": "- **VQA-Scene** gains.\n- **Seismic text description** does not.",
        "text/plain": "…",
    }
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    verdicts = "| Claim | Verdict |\n| --- | --- |\n| C1 | open |\n| C2 | reproduced |\n| C3 | open |"
    numbers = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in LONG_TABLE)
    long = f"<table><thead><tr><th>name</th><th>score</th></tr></thead><tbody>{numbers}</tbody></table>"
    outputs = {
        "verdicts": [
            glue("verdicts", {"text/markdown": verdicts, "text/plain": "…"}),
            glue("verdict_summary", {"text/markdown": "One of three.", "text/plain": "…"}),
            displayed({"text/html": long, "text/plain": "table"}),
        ],
        "explorer": [
            displayed({"text/html": explorer.placed(study.folder / "explorer").data, "text/plain": "…"})
        ],
        "results": [
            glue("answer", answer),
            glue("front_chart", drawn["intervals"]),
            *[displayed(drawn[name]) for name in KINDS],
        ],
        "data": [
            displayed({"text/html": table, "text/plain": "table"}),
            displayed({"text/html": "<div class='gallery'><figure>words</figure></div>", "text/plain": "…"}),
            displayed({"image/png": pixel, "text/plain": "image"}),
            displayed({"text/plain": HOSTILE}),
        ],
        "probing": [
            displayed(drawn["hostile"]),
            {"output_type": "stream", "name": "stderr", "text": "noise\n"},
        ],
    }
    _write_explorer(study, pixel)
    folder, sources = study.folder / "notebooks", study.folder / "sources"
    for name in STORY:
        _write(sources / f"{name}.ipynb", new_notebook(), missing=())
        notebook = executed(f"The page {name}", outputs.get(name, []))
        notebook.cells.insert(1, colab_cell())
        _write(folder / f"{name}.ipynb", notebook, missing=missing)
    for kind in ("train", "evaluate"):
        _write(sources / f"{kind}.ipynb", new_notebook(), missing=())
        for backbone in study.backbones:
            for seed in study.seeds:
                parameters = {"study": study.name, "backbone": backbone, "seed": str(seed)}
                notebook = executed(
                    f"The {kind} page", [displayed(drawn["one panel"])], parameters=parameters
                )
                notebook.cells.insert(1, colab_cell())
                _write(folder / f"{kind}-{backbone}-seed{seed}.ipynb", notebook, missing=missing)
    ledger = study.folder / "train" / f"{study.backbones[0]}-seed{study.seeds[0]}" / "ledger.json"
    ledger.parent.mkdir(parents=True, exist_ok=True)
    measured = {
        "align": {"wall_s": 30.0, "peak_memory_mib": 512},
        "finetune": {"wall_s": 90.0, "peak_memory_mib": 1536},
    }
    ledger.write_text(json.dumps({"measured": measured}), encoding="utf-8")
    return sources


def _write_explorer(study: Study, pixel: str) -> None:
    """The explorer of one item whose every text is hostile."""
    folder = study.folder / "explorer"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.png").write_bytes(base64.b64decode(pixel))
    answers = [[[HOSTILE, 1, 0.5] for _ in study.seeds] for _ in study.backbones]
    data = {
        "backbones": [{"name": name, "title": name, "colour": "#0072B2"} for name in study.backbones],
        "seeds": list(study.seeds),
        "tasks": [["vqa_scene", "VQA-Scene"]],
        "items": [["item", 0, "test", "colour", "easy", "a.png", HOSTILE, HOSTILE, answers]],
    }
    (folder / "items.js").write_text(explorer.script(data), encoding="utf-8")
    for name in explorer.OWN:
        shutil.copy(Path(explorer.__file__).with_name(name), folder / name)


def _write(path: Path, notebook: nbformat.NotebookNode, *, missing: tuple[str, ...]) -> None:
    if path.stem not in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, path)
