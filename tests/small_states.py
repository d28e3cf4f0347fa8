"""Made-up hidden states of a run on disk, as evaluation would leave them, with what differs planted by the caller."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from barnlib.artefacts import write_json
from barnlib.data.records import TASKS, Item
from barnlib.states_table import ITEMS, PROBED, STATES, VIEWS, States, tensor_name

# By how much a view moves a state, where states of different items lie 1.4 apart.
MOVES = {"before": 0.5, "noise": 0.1, "blur": 0.2, "occlusion": 0.2, "paraphrase": 0.5, "swapped": 1.0}
STEADY = {**MOVES, "noise": 0.02, "paraphrase": 0.1, "before": 0.1}
COUNT = 24  # test pictures of each task


def records(split: str, count: int, tasks: Sequence[str] = TASKS) -> list[dict[str, Any]]:
    """Items that need no data: an answer of two, a magnitude class, a place; one picture each."""
    rng = np.random.default_rng([len(split), count])
    made = []
    for task in tasks:
        kind = "scene" if task == "vqa_scene" else "card"
        for number in range(count):
            facts = {
                "vqa_scene": {},
                "seismic_description": {"magnitude_class": ("light", "strong")[number % 2]},
                "seismic_coordinates": {
                    "latitude": float(rng.uniform(-60, 60)),
                    "longitude": float(rng.uniform(-180, 180)),
                },
            }[task]
            made.append(
                {
                    "item": f"{split}-{task}-{number}",
                    "image": f"images/{split}/{kind}-{number}.png",
                    "task": task,
                    "question_type": "existence",
                    "question": "Is there a circle?",
                    "paraphrase": None if number == 0 else "Can you see a circle?",
                    "answer": ("yes", "no")[number % 2],
                    "choices": ["yes", "no"] if task == "vqa_scene" else [],
                    "facts": facts,
                }
            )
    return made


def from_items(items: Sequence[Item], count: int) -> list[dict[str, Any]]:
    """Records of real items, one of each of the first pictures for each task."""
    made = []
    for task in TASKS:
        first: dict[str, Item] = {}
        for item in items:
            if item.task == task:
                first.setdefault(item.image, item)
        made += [
            {
                "item": item.id,
                "image": item.image,
                "task": item.task,
                "question_type": item.question_type,
                "question": item.question,
                "paraphrase": item.question + "!",
                "answer": item.answer,
                "choices": list(item.choices),
                "facts": item.facts,
            }
            for item in list(first.values())[:count]
        ]
    return made


def write(
    folder: Path,
    items: Mapping[str, list[dict[str, Any]]],
    *,
    backbone: int = 0,
    seed: int = 0,
    layers: int = 3,
    width: int = 16,
    moves: Mapping[str, float] = MOVES,
    seed_noise: float = 0.2,
    absent: Mapping[str, str] | None = None,
) -> States:
    """Write a run's hidden states and return their reader.

    The states of an item are a random map (by backbone) of a point that all runs share, and noise of the seed's own;
    entry 0 of the last prompt token is the same for all items, as it is in a real model.
    """
    folder.mkdir(parents=True, exist_ok=True)
    chance = np.random.default_rng([backbone, seed, 7])
    tensors: dict[str, np.ndarray] = {}
    for split, rows in items.items():
        points = np.random.default_rng(len(rows)).normal(size=(len(rows), 6))
        for view in VIEWS if split == "test" else ("clean",):
            for position in VIEWS[view] if split == "test" else PROBED:
                states = np.stack(
                    [_entry(points, backbone, seed, entry, width, seed_noise) for entry in range(layers + 1)]
                )
                moved = states + moves.get(view, 0.0) * np.sqrt(width / 6) * chance.normal(size=states.shape)
                if position == "last_prompt_token":
                    moved[0] = 1.0
                if view == "paraphrase":
                    moved[:, [row["paraphrase"] is None for row in rows]] = np.nan
                tensors[tensor_name(split, view, position)] = moved.astype(np.float16)
    count = len(items["test"])
    measures = {
        "image_attention": chance.uniform(0.2, 0.6, (layers, count)).astype(np.float32),
        "image_share": np.full(count, 0.5, np.float32),
        "answer_depth": chance.integers(0, layers + 1, count).astype(np.int16),
    }
    for name, values in measures.items():
        if name not in (absent or {}):
            tensors[tensor_name("test", "clean", name)] = values
    save_file(tensors, folder / STATES)
    write_json(folder / ITEMS, {"layers": layers, "items": dict(items), "absent": dict(absent or {})})
    return States(f"b{backbone}", seed, folder)


def write_study(
    folder: Path,
    *,
    backbones: int = 2,
    seeds: int = 3,
    count: int = COUNT,
    tasks: Sequence[str] = TASKS,
) -> list[States]:
    """Runs of backbones of different depth and width; the second moves less under noise, words and finetuning."""
    items = {
        "test": records("test", count, tasks),
        "train": records("train", 3 * count, tasks),
        "validation": [],
    }
    return [
        write(
            folder / f"b{backbone}-seed{seed}",
            items,
            backbone=backbone,
            seed=seed,
            layers=3 + backbone,
            width=16 + 8 * backbone,
            moves=STEADY if backbone else MOVES,
            seed_noise=0.1 if backbone else 0.5,
        )
        for backbone in range(backbones)
        for seed in range(seeds)
    ]


def _entry(
    points: np.ndarray, backbone: int, seed: int, entry: int, width: int, seed_noise: float
) -> np.ndarray:
    mapped = points @ np.random.default_rng([backbone, entry]).normal(size=(6, width)) / np.sqrt(6)
    own = np.random.default_rng([backbone, seed, entry, len(points)]).normal(size=(len(points), width))
    return mapped + seed_noise * own
