"""What a trained run answers: the predictions table and the hidden states that analyses read.

In:  a trained run, the test and validation items, the cached features.
Out: `runs/STUDY/evaluate/BACKBONE-seedN` with `predictions.parquet` (one row for each item and condition),
     `hidden.safetensors` and `hidden.json` (states.py) and `evaluation.json` (time and memory). metrics.py and its
     neighbours start from there, without torch.

Every answer is decoded greedily in fp32 from the model that export.py writes, LoRA merged. jobs.py says what is
asked under which conditions, inference.py how the model is asked.
"""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from tqdm import tqdm

from barnlib.artefacts import digest, file_digest, is_sealed, read_json, seal, single_writer, write_json
from barnlib.assembly import Parts, assemble, trained_model
from barnlib.finetune import train_run
from barnlib.grammar import Grammar
from barnlib.inference import choice_logprobs, greedy_answers, reference_answers
from barnlib.jobs import LISTED, Job, jobs
from barnlib.ledger import Meter, code
from barnlib.model import Model, llava
from barnlib.runs import run_name
from barnlib.states import write_states
from barnlib.study import Study
from barnlib.tasks.registry import score


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


def _evaluate(parts: Parts, trained: Path, seed: int, folder: Path, decided: dict[str, Any]) -> None:
    unfinished = folder.with_name(f"{folder.name}.parts") / digest(decided)
    unfinished.mkdir(parents=True, exist_ok=True)
    measured = unfinished / "measured.json"
    meter = Meter(read_json(measured) if measured.exists() else None)
    model = trained_model(parts, trained)
    all_jobs = list(jobs(parts.study))
    files = [unfinished / f"{job.name}.parquet" for job in all_jobs]
    every = 0.5 if sys.stderr.isatty() else 10.0  # seconds between two lines of progress
    with tqdm(total=sum(len(job.items) for job in all_jobs), desc="answers", mininterval=every) as bar:
        for job, file in zip(all_jobs, files, strict=True):
            if not file.exists():
                table = predictions(parts, model, job, seed)
                table.to_parquet(file.with_suffix(".partial"), index=False)
                os.replace(file.with_suffix(".partial"), file)
                write_json(measured, meter.read())
            bar.update(len(job.items))
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    tables = pd.concat([pd.read_parquet(file) for file in files], ignore_index=True)
    tables.to_parquet(partial / "predictions.parquet", index=False)
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
    included; missing where the answer is open, and outside of the passes `jobs.LISTED`).
    """
    study, prompter = parts.study, parts.prompter
    rows = {image: parts.rows[shown] if shown else parts.blank_row for image, shown in job.shown.items()}
    shown = [rows[item.image] for item in job.items]
    asked = [(row, item.turn.asked) for row, item in zip(shown, job.items, strict=True)]
    allowed = None
    if job.form:
        vocabulary = llava(model).lm_head.weight.shape[0]
        allowed = Grammar(prompter, job.form, int(vocabulary)).allowed
    answers = greedy_answers(parts, model, asked, study.evaluation.max_new_tokens[job.task], allowed)
    references = reference_answers(
        parts, model, [(row, item.turn) for row, item in zip(shown, job.items, strict=True)]
    )
    listed = (job.split, job.condition) in LISTED
    choices = choice_logprobs(parts, model, job.items, shown, references) if listed else [None] * len(shown)
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
                "prompt": prompter.prompt_text(item.question, item.history),
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
