"""Made-up runs of a study: what training and evaluation would leave on disk, with answers drawn at random, no model."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from barnlib.analyses.metrics import PREDICTION_COLUMNS
from barnlib.artefacts import seal, write_json
from barnlib.data.build import load_items
from barnlib.data.records import Item
from barnlib.runs import run_name
from barnlib.study import Study
from barnlib.tasks.registry import score
from tests import small_states

RIGHT = {"image": 0.6, "blank": 0.2, "shuffled": 0.2, "constrained": 0.7}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def write_runs(study: Study) -> None:
    """Write every run of a study: a ledger that violates nothing, and predictions on real items."""
    splits = {split: load_items(study, split) for split in ("validation", "test", "heldout")}
    count = study.evaluation.hidden_items
    hidden = {
        split: small_states.from_items(load_items(study, split), count)
        for split in ("test", "train", "validation")
    }
    for number, backbone in enumerate(study.backbones):
        for seed in study.seeds:
            rng = np.random.default_rng([number, seed])
            name = run_name(backbone, seed)
            entry = {"run": name, "backbone": backbone, "seed": seed, "data": {"train": "0" * 64}}
            trained = study.folder / "train" / name
            _folder(trained)
            write_json(trained / "ledger.json", entry)
            seal(trained, {"run": name})
            rows = [
                _row(study, backbone, seed, split, condition, item, items, rng)
                for split, items in splits.items()
                for condition in (RIGHT if split != "validation" else ("image",))
                for item in items
                if condition != "constrained" or (split, item.task) == ("test", "seismic_coordinates")
            ]
            evaluated = study.folder / "evaluate" / name
            _folder(evaluated)
            table = pd.DataFrame(rows, columns=[*PREDICTION_COLUMNS, "choices"])
            table.to_parquet(evaluated / "predictions.parquet")
            small_states.write(evaluated, hidden, backbone=number, seed=seed)
            seal(evaluated, {"run": name})


def _folder(path: Path) -> None:
    path.mkdir(parents=True, exist_ok=True)


def _row(
    study: Study,
    backbone: str,
    seed: int,
    split: str,
    condition: str,
    item: Item,
    items: list[Item],
    rng: np.random.Generator,
) -> dict:
    """The right answer, that of another item of the task, or markup that must stay text."""
    others = [other.answer for other in items if other.task == item.task]
    answer = item.answer if rng.random() < RIGHT[condition] else others[rng.integers(len(others))]
    answer = HOSTILE if condition != "constrained" and rng.random() < 0.05 else answer
    result = score(item.task, answer, item.facts, item.answer, tolerance_km=study.evaluation.tolerance_km)
    sure = float(-rng.exponential(0.5))
    listed = {choice: sure if choice == answer else float(-rng.exponential(2.0)) for choice in item.choices}
    return {
        "study": study.name,
        "run": run_name(backbone, seed),
        "backbone": backbone,
        "seed": seed,
        "split": split,
        "condition": condition,
        "task": item.task,
        "question_type": item.question_type,
        "difficulty": item.difficulty,
        "item": item.id,
        "image": item.image,
        "prompt": f"<image>\nQuestion: {item.question}\nAnswer:",
        "reference": item.answer,
        "answer": answer,
        "parsed": None if result.parsed is None else json.dumps(result.parsed),
        "score": result.score,
        "correct": result.correct,
        "logprob": sure,
        "tokens": 3,
        "bytes": len(answer.encode()),
        "stop": "eos",
        "first_token_logprob": sure / 2,
        "reference_logprob": -1.0,
        "reference_tokens": 3,
        "choices": json.dumps(listed) if listed and condition == "image" else None,
    }
