"""What a trained run answers: the predictions table and the hidden states that analyses read.

In:  a trained run, the test and validation items, the cached features.
Out: `runs/STUDY/evaluate/BACKBONE-seedN` with `predictions.parquet` (one row for each item and condition),
     `hidden.safetensors` and `hidden.json` (states.py) and `evaluation.json` (time and memory). metrics.py and its
     neighbours start from there, without torch.

Every answer is decoded greedily in fp32 from the model that export.py writes, LoRA merged. Three conditions: the item's
own image; a blank one; and, shuffled, another image of the same kind and split, the same one for every run. A fourth,
constrained, is the own image with coordinates forced into the form that was asked for (grammar.py).
"""

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from barnlib.artefacts import file_digest, is_sealed, seal, single_writer, write_json
from barnlib.assembly import Parts, assemble, trained_model
from barnlib.data.build import data_folder
from barnlib.data.pictures import generator
from barnlib.data.records import KINDS, TASKS, Item, Picture, read_items, read_pictures
from barnlib.decoding import Allowed, greedy
from barnlib.finetune import train_run
from barnlib.grammar import COORDINATES, Grammar
from barnlib.ledger import Meter, code
from barnlib.likelihood import reference_logprobs
from barnlib.model import Model, llava
from barnlib.packing import Group, Turn, pack
from barnlib.parameters import Study, digest
from barnlib.runs import run_name
from barnlib.scoring import score
from barnlib.states import write_states

PASSES = (
    ("validation", "image"),
    ("test", "image"),
    ("test", "blank"),
    ("test", "shuffled"),
    ("test", "constrained"),
    ("heldout", "image"),
    ("heldout", "blank"),
    ("heldout", "shuffled"),
)
FORMS = {"seismic_coordinates": COORDINATES}  # by task, where the form of an answer can be forced
TOGETHER = 8  # questions on one image that are answered in one packed sequence
LISTED = (
    ("validation", "image"),
    ("test", "image"),
)  # passes that score every candidate of a closed answer list


@dataclass(frozen=True)
class Answer:
    """One greedy answer.

    Attributes:
        text: without the stop id.
        tokens: ids generated, the stop id included.
        logprob: of all these ids, nats.
        first_logprob: of the first of them, nats.
        stop: "eos" or "length".
    """

    text: str
    tokens: int
    logprob: float
    first_logprob: float
    stop: str


@dataclass(frozen=True)
class Job:
    """A part of the table that is computed and written at once: items of one task, split and condition.

    Attributes:
        name: of the part's file.
        shown: the image that each item's model sees, by the item's own image; "" for the blank one.
    """

    name: str
    split: str
    condition: str
    task: str
    items: list[Item]
    shown: dict[str, str]


def evaluate_run(study: Study, backbone: str, seed: int) -> Path:
    """Evaluate one run, go on with an interrupted evaluation, or find it complete; trains the run where needed.

    Raises:
        ValueError, FloatingPointError, RuntimeError: as :func:`barnlib.finetune.train_run`.
    """
    trained = train_run(study, backbone, seed)
    folder = study.folder / "evaluate" / run_name(backbone, seed)
    decided = {
        "trained": file_digest(trained / "manifest.json"),
        "evaluation": study.evaluation.model_dump(mode="json", exclude={"bootstrap"}),
        "sources": code(Path(__file__))["sources"],
    }
    with single_writer(folder):
        if not is_sealed(folder, decided):
            _evaluate(assemble(study, backbone), trained, seed, folder, decided)
    return folder


def shuffled_images(images: Sequence[str], rng) -> dict[str, str]:
    """For each image another one, each shown once: a random cycle through all of them (Sattolo 1986).

    Args:
        images: two or more, of one kind.
        rng: a NumPy generator.

    Raises:
        ValueError: fewer than two images.
    """
    if len(images) < 2:
        raise ValueError(
            f"{len(images)} image(s) to shuffle ({', '.join(images)}); another one needs at least two"
        )
    order = list(range(len(images)))
    for last in range(len(images) - 1, 0, -1):
        other = int(rng.integers(last))
        order[last], order[other] = order[other], order[last]
    return {image: images[place] for image, place in zip(images, order, strict=True)}


def jobs(parts: Parts) -> Iterator[Job]:
    """All parts of the table in order; a part holds the items of `evaluation.batch_images` images.

    Where the image is blank, a part is a whole split: a question that is asked of many items is answered once.
    """
    data = data_folder(parts.study)
    for split, condition in PASSES:
        pictures = read_pictures(data / f"{split}.pictures.json")
        shown = _shown(parts.study, split, condition, pictures)
        items = read_items(data / f"{split}.json")
        for task in FORMS if condition == "constrained" else TASKS:
            of_task = [item for item in items if item.task == task]
            images = list(dict.fromkeys(item.image for item in of_task))
            size = max(1, len(images)) if condition == "blank" else parts.study.evaluation.batch_images
            for number, start in enumerate(range(0, len(images), size)):
                chosen = set(images[start : start + size])
                yield Job(
                    name=f"{split}-{condition}-{task}-{number:04d}",
                    split=split,
                    condition=condition,
                    task=task,
                    items=[item for item in of_task if item.image in chosen],
                    shown={image: shown[image] for image in chosen},
                )


def _shown(study: Study, split: str, condition: str, pictures: Sequence[Picture]) -> dict[str, str]:
    if condition in ("image", "constrained"):
        return {picture.image: picture.image for picture in pictures}
    if condition == "blank":
        return {picture.image: "" for picture in pictures}
    found: dict[str, str] = {}
    for kind in KINDS:
        images = [picture.image for picture in pictures if picture.kind == kind]
        if images:
            found |= shuffled_images(images, generator("shuffled", study.data.seed, split, kind))
    return found


def _evaluate(parts: Parts, trained: Path, seed: int, folder: Path, decided: dict[str, Any]) -> None:
    meter = Meter()
    unfinished = folder.with_name(f"{folder.name}.parts") / digest(decided)
    unfinished.mkdir(parents=True, exist_ok=True)
    model = trained_model(parts, trained)
    todo = list(jobs(parts))
    every = 0.5 if sys.stderr.isatty() else 10.0  # seconds between two lines of progress
    with tqdm(total=sum(len(job.items) for job in todo), desc="answers", mininterval=every) as bar:
        for job in todo:
            file = unfinished / f"{job.name}.parquet"
            if not file.exists():
                table = predictions(parts, model, job, seed)
                table.to_parquet(file.with_suffix(".partial"), index=False)
                os.replace(file.with_suffix(".partial"), file)
            bar.update(len(job.items))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tables = [pd.read_parquet(unfinished / f"{job.name}.parquet") for job in todo]
    pd.concat(tables, ignore_index=True).to_parquet(partial / "predictions.parquet", index=False)
    del model  # so that a GPU holds one model at a time
    write_states(parts, trained, partial)
    write_json(partial / "evaluation.json", meter.read())
    seal(partial, decided)
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)
    shutil.rmtree(unfinished.parent)


def predictions(parts: Parts, model: Model, job: Job, seed: int) -> pd.DataFrame:
    """Answer the items of a job and score the answers; the columns are those of the predictions table.

    Beside metrics.PREDICTION_COLUMNS: `shown` (the image that the model saw, "" if blank), `details` (the score's
    details as JSON) and `choices` (JSON: each candidate of a closed answer list with its log-probability in nats, EOS
    included; missing where the answer is open, and outside of the passes `LISTED`).
    """
    study, prompter = parts.study, parts.prompter
    rows = {image: parts.rows[shown] if shown else parts.blank_row for image, shown in job.shown.items()}
    asked = [(rows[item.image], item.question) for item in job.items]
    allowed = None
    if job.condition == "constrained":
        vocabulary = llava(model).lm_head.weight.shape[0]
        allowed = Grammar(prompter, FORMS[job.task], int(vocabulary)).allowed
    answers = _answers(parts, model, asked, study.evaluation.max_new_tokens[job.task], allowed)
    references = _references(
        parts, model, [(*key, i.answer) for key, i in zip(asked, job.items, strict=True)]
    )
    listed = (job.split, job.condition) in LISTED
    choices = _choices(parts, model, job.items, asked, references) if listed else [None] * len(asked)
    records = []
    for item, key, (reference_logprob, reference_tokens), candidates in zip(
        job.items, asked, references, choices, strict=True
    ):
        answer = answers[key]
        scored = score(
            job.task, answer.text, item.facts, item.answer, tolerance_km=study.evaluation.tolerance_km
        )
        records.append(
            {
                "study": study.name,
                "run": run_name(parts.backbone.name, seed),
                "backbone": parts.backbone.name,
                "seed": seed,
                "split": job.split,
                "condition": job.condition,
                "task": job.task,
                "question_type": item.question_type,
                "difficulty": item.difficulty,
                "item": item.id,
                "image": item.image,
                "shown": job.shown[item.image],
                "prompt": prompter.prompt_text(item.question),
                "reference": item.answer,
                "answer": answer.text,
                "parsed": None if scored.parsed is None else _json(scored.parsed),
                "score": scored.score,
                "correct": scored.correct,
                "details": _json(scored.details),
                "logprob": answer.logprob,
                "tokens": answer.tokens,
                "bytes": len(answer.text.encode()),
                "stop": answer.stop,
                "first_token_logprob": answer.first_logprob,
                "reference_logprob": reference_logprob,
                "reference_tokens": reference_tokens,
                "choices": candidates and _json(candidates),
            }
        )
    # pandas would read a column without any text as one of numbers, and parts could then not be put together
    return pd.DataFrame(records).astype({"parsed": "string", "choices": "string"})


def _json(value: dict[str, Any]) -> str:
    """JSON in which a number that does not exist is null."""
    return json.dumps(
        {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in value.items()},
        ensure_ascii=False,
    )


def _answers(
    parts: Parts,
    model: Model,
    asked: Sequence[tuple[int, str]],
    limit: int,
    allowed: Allowed | None = None,
) -> dict[tuple[int, str], Answer]:
    """Greedy answers by (feature row, question); a question asked twice of one image is answered once."""
    found: dict[tuple[int, str], Answer] = {}
    for groups in _batches(parts, [(row, (question, None)) for row, question in dict.fromkeys(asked)]):
        packed = pack(parts.prompter, groups).to(parts.device)
        given = greedy(model, packed, parts.table, limit, allowed)
        keys = [(row, question) for row, turns in groups for question, _ in turns]
        columns = (given.ids, given.logprob.tolist(), given.first_logprob.tolist(), given.stop)
        for key, ids, logprob, first, stop in zip(keys, *columns, strict=True):
            found[key] = Answer(parts.prompter.decode(ids), len(ids), logprob, first, stop)
    return found


def _references(parts: Parts, model: Model, asked: Sequence[tuple[int, str, str]]) -> list[tuple[float, int]]:
    """Log-probability (nats, EOS included) and tokens of each reference answer, teacher-forced."""
    found: list[tuple[float, int]] = []
    for groups in _batches(parts, [(row, (question, answer)) for row, question, answer in asked]):
        known = reference_logprobs(model, pack(parts.prompter, groups).to(parts.device), parts.table)
        found += zip((-known.branch_nats).tolist(), known.branch_tokens.tolist(), strict=True)
    return found


def _choices(
    parts: Parts,
    model: Model,
    items: Sequence[Item],
    asked: Sequence[tuple[int, str]],
    references: Sequence[tuple[float, int]],
) -> list[dict[str, float] | None]:
    """Log-probability of every candidate of each item's closed list, in the list's order; None where it is open.

    The reference is one of the candidates and known already, so only the others are computed.
    """
    others = [
        (*key, choice)
        for key, item in zip(asked, items, strict=True)
        for choice in item.choices
        if choice != item.answer
    ]
    known = iter(_references(parts, model, others))
    return [
        {choice: logprob if choice == item.answer else next(known)[0] for choice in item.choices} or None
        for item, (logprob, _) in zip(items, references, strict=True)
    ]


def _batches(parts: Parts, turns: Sequence[tuple[int, Turn]]) -> Iterator[list[Group]]:
    """Turns on the same feature row that stand together, at most `TOGETHER` to a group, as batches of groups."""
    groups: list[tuple[int, list[Turn]]] = []
    for row, turn in turns:
        if not groups or groups[-1][0] != row or len(groups[-1][1]) == TOGETHER:
            groups.append((row, []))
        groups[-1][1].append(turn)
    size = parts.study.evaluation.batch_images
    for start in range(0, len(groups), size):
        yield list(groups[start : start + size])
