"""The explorer: a page on which a reader filters the test items and looks at every answer.

In:  the predictions table, the items' questions and the images of a study.
Out: ``runs/STUDY/explorer``: ``index.html`` with ``explorer.js``, ``explorer.css``, ``items.js`` and ``images/``, which
     opens from ``file://`` with no network; explorer_page.py puts the same files behind a page of the book.

Answers are a model's and questions a data file's: nothing of them is trusted. They travel as JSON strings in a script
of their own and enter the page as text nodes. Images lie beside the page and are loaded when they come into view.
"""

import html
import json
import math
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from IPython.display import HTML

from barnlib.analyses.confidence import with_confidence
from barnlib.data.build import data_folder, load_items
from barnlib.data.records import TASKS
from barnlib.parameters import load_backbone
from barnlib.report.gallery import png_bytes
from barnlib.study import Study
from barnlib.tasks.registry import TASK_TITLES

SPLITS = ("test", "heldout")
SPLIT_WORDS = {"test": "test", "heldout": "held-out regions"}
OWN = ("explorer.js", "explorer.css")
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorer: {title}</title>
<link rel="stylesheet" href="explorer.css">
<style>
:root {{ color-scheme: light dark; }}
body {{ max-width: 60rem; margin: 0 auto; padding: 1rem; }}
@media (prefers-color-scheme: dark) {{
  .explorer {{ --line: #37414b; --quiet: #a9b3bd; --ground: #1d232a; }}
}}
</style>
</head>
<body>
<main>
<h1>Explorer</h1>
<p>{title}</p>
<div class="explorer"></div>
</main>
<script src="items.js"></script>
<script src="explorer.js"></script>
</body>
</html>
"""


def write_explorer(study: Study, predictions: pd.DataFrame) -> Path:
    """Write the explorer of a study into ``runs/STUDY/explorer``, in place of an earlier one.

    Args:
        predictions: what ``read_predictions`` gives; answers to the item's own image in the splits `SPLITS` are shown.

    Returns:
        The folder.

    Raises:
        ValueError: as :func:`explorer_data`; an image that is not a PNG file inside the data folder.
    """
    questions = {item.id: item.question for split in SPLITS for item in load_items(study, split)}
    data = explorer_data(study, predictions, questions)
    folder, partial = study.folder / "explorer", study.folder / "explorer.partial"
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "images").mkdir(parents=True)
    for image in sorted({item[5] for item in data["items"]}):
        target = partial / image
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(png_bytes(data_folder(study), image))
    (partial / "items.js").write_text(script(data), encoding="utf-8")
    for name in OWN:
        shutil.copy(Path(__file__).with_name(name), partial / name)
    (partial / "index.html").write_text(PAGE.format(title=html.escape(study.title)), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(partial, folder)
    return folder


def explorer_data(study: Study, predictions: pd.DataFrame, questions: Mapping[str, str]) -> dict[str, Any]:
    """What the page shows, ready for JSON.

    Args:
        questions: question of each item, by its id.

    Returns:
        ``backbones`` (name, title, colour), ``seeds``, ``tasks`` (name, title) and ``items``. An item is a list: id,
        number of its task, split, question type, difficulty, image, question, reference, and answers by backbone and
        seed: text, 1 where right, and confidence (the primary one of ``analyses.confidence`` to four digits; None where
        it is not known), or None where that run has not answered.

    Raises:
        ValueError: an item without a question, or no answer at all; says which.
    """
    shown = predictions[(predictions["condition"] == "image") & predictions["split"].isin(SPLITS)]
    if shown.empty:
        raise ValueError(
            f"study '{study.name}' has no answers on the splits {', '.join(SPLITS)}: evaluate its runs"
        )
    unknown = sorted(set(shown["item"]) - set(questions))
    if unknown:
        raise ValueError(
            f"{len(unknown)} items have no question in the data, first '{unknown[0]}': is it other data?"
        )
    backbones = {name: number for number, name in enumerate(study.backbones)}
    seeds = {seed: number for number, seed in enumerate(study.seeds)}
    tasks = [task for task in TASKS if task in set(shown["task"])]
    items: dict[str, list[Any]] = {}
    shown = with_confidence(shown[shown["backbone"].isin(backbones) & shown["seed"].isin(seeds)])
    for row in shown.itertuples():
        if row.item not in items:
            answers: list[list[Any]] = [[None] * len(seeds) for _ in backbones]
            about = (row.question_type, row.difficulty, row.image, questions[row.item], row.reference)
            items[row.item] = [row.item, tasks.index(row.task), SPLIT_WORDS[row.split], *about, answers]
        sure = None if math.isnan(row.primary) else round(row.primary, 4)
        answer = [row.answer, int(row.correct), sure]
        items[row.item][-1][backbones[row.backbone]][seeds[row.seed]] = answer
    loaded = [load_backbone(name, study.scale) for name in study.backbones]
    return {
        "backbones": [{"name": one.name, "title": one.title, "colour": one.colour} for one in loaded],
        "seeds": list(study.seeds),
        "tasks": [[task, TASK_TITLES[task]] for task in tasks],
        "items": list(items.values()),
    }


def script(data: Mapping[str, Any]) -> str:
    """A script that holds the data; ``<`` is written so that no element could begin or end, wherever it is put."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character in "<\u2028\u2029":  # the last two end a line of an old browser's JavaScript
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f"window.barnExplorer = {text};\n"


def placed(folder: Path) -> HTML:
    """Where a page of the book shows the explorer; a notebook shows where it lies."""
    where = html.escape(f"runs/{folder.parent.name}/{folder.name}/index.html")
    return HTML(
        f'<div class="explorer"><p>The explorer: <code>{where}</code> opens in any browser.</p></div>'
    )
