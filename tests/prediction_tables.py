"""Predictions tables with a known truth, for the tests of the analyses."""

import numpy as np
import pandas as pd

from barnlib.analyses.metrics import PREDICTION_COLUMNS
from barnlib.data.descriptions import write_coordinates, write_description

FACTS = {
    "magnitude_class": "strong",
    "depth_class": "deep",
    "region": "Banda Sea",
    "distance_deg": 58,
    "p_time_s": 590,
    "s_minus_p_s": 480,
}


def table(rows: list[dict]) -> pd.DataFrame:
    """Rows with what they leave out filled in; `correct` follows `score`."""
    plain = {
        "study": "toy",
        "backbone": "a",
        "seed": 0,
        "split": "test",
        "condition": "image",
        "task": "vqa_scene",
        "question_type": "count",
        "difficulty": "easy",
        "answer": "1",
        "reference": "1",
        "score": 1.0,
        "stop": "eos",
    }
    filled = [{**plain, **row} for row in rows]
    for row in filled:
        row.setdefault("image", f"{row['item']}.png")
        row.setdefault("run", f"{row['backbone']}-seed{row['seed']}")
        row.setdefault("correct", row["score"] == 1.0)
    return pd.DataFrame(filled, columns=list(PREDICTION_COLUMNS))


def answers(
    skills: dict[str, float], *, seeds: int, images: int, questions: int, seed: int = 0
) -> pd.DataFrame:
    """Right and wrong answers of backbones of given skill, images easy or hard, question types in turn."""
    rng = np.random.default_rng(seed)
    ease = rng.normal(0, 0.15, images)
    return table(
        [
            {
                "backbone": backbone,
                "seed": run,
                "item": f"item-{image}-{question}",
                "image": f"scene-{image}.png",
                "question_type": ("count", "colour")[question % 2],
                "score": float(rng.random() < np.clip(skill + ease[image], 0, 1)),
            }
            for backbone, skill in skills.items()
            for run in range(seeds)
            for image in range(images)
            for question in range(questions)
        ]
    )


def by_hand(right: dict[tuple[str, int], str], types: str, **more: object) -> pd.DataFrame:
    """A table from strings of 0 and 1, one character for each item, of each (backbone, seed).

    Args:
        types: the question type of each item, one character each.
        more: other columns of every row.
    """
    return table(
        [
            {"backbone": name, "seed": seed, "item": f"i{k}", "question_type": types[k], "score": float(mark)}
            | more
            for (name, seed), marks in right.items()
            for k, mark in enumerate(marks)
        ]
    )


def confident(
    gaps: dict[str, float], *, seeds: int, images: int, questions: int = 4, seed: int = 0
) -> pd.DataFrame:
    """Answers whose confidence is `said` and whose chance of being right is that plus the backbone's number."""
    rng = np.random.default_rng(seed)
    made = [
        {"backbone": name, "seed": run, "item": f"{image}-{question}", "image": f"{image}.png", "said": said}
        | {"score": float(rng.random() < np.clip(said + gap, 0, 1))}
        for name, gap in gaps.items()
        for run in range(seeds)
        for image in range(images)
        for question in range(questions)
        for said in [rng.uniform(0.2, 0.8)]
    ]
    return table(made).assign(said=[row["said"] for row in made])


def description(item: str, answer: str, **row: object) -> dict:
    """A row of the description task whose truth is `FACTS`."""
    reference = write_description(FACTS, np.random.default_rng(0))
    return {"item": item, "task": "seismic_description", "answer": answer, "reference": reference, **row}


def coordinates(item: str, answer: str, **row: object) -> dict:
    """A row of the coordinate task whose truth is 6 S, 128 E."""
    reference = write_coordinates(-6.0, 128.0)
    return {"item": item, "task": "seismic_coordinates", "answer": answer, "reference": reference, **row}
