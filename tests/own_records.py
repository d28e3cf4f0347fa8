"""Records of others for a study: the page's photographs, photographs with VQA v2's questions, recorded earthquakes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import obspy
import yaml
from obspy import Catalog
from PIL import Image

from barnlib.data.dataset_card import make_card
from barnlib.data.fdsn import build_records
from barnlib.data.polite_client import PoliteClient
from tests.fdsn_example import example
from tests.fdsn_server import DataCentre, quake, recorded_at_anmo, serve, stations

QUAKES = (  # one or two in each split of the page's request, those of Chile in the region that it holds out
    quake("2011-03-05T10:00:00", 15.0, -92.0, 60e3, 6.8, "guatemala"),
    quake("2011-03-12T06:00:00", -23.0, -70.0, 100e3, 7.1, "chile"),
    quake("2011-03-14T16:00:00", -22.5, -70.2, 60e3, 6.7, "again-in-chile"),
    quake("2011-03-19T04:00:00", 12.0, -87.0, 80e3, 6.5, "nicaragua"),
    quake("2011-03-25T18:00:00", 52.5, -168.0, 30e3, 6.9, "aleutians"),
    quake("2011-03-27T06:00:00", -10.0, -78.0, 40e3, 7.0, "peru"),
)
AGREEING = ("barn", "barn", "barn", "silo", "silo", "house", "house", "shed", "yard", "field")


def write_earthquakes(folder: Path, **changes: Any) -> Path:
    """Follow the page on recorded earthquakes against a local data centre; returns the folder of records."""
    inventory = stations()
    traces = [trace for event in QUAKES for trace in recorded_at_anmo(event, inventory)]
    with serve(DataCentre(Catalog(list(QUAKES)), inventory, obspy.Stream(traces))) as address:
        given = {"events__data_centre": address, "stations__data_centre": address, "pause_s": 0.0}
        folder.mkdir(parents=True)
        (folder / "earthquakes.yaml").write_text(yaml.safe_dump(example(**given | changes), sort_keys=False))
        build_records(folder, partial(PoliteClient, sleep=lambda seconds: None), progress=False)
    return folder / "records"


def draw_photograph(path: Path, number: int, size: tuple[int, int] = (120, 80)) -> None:
    """A picture that no other number gives, in the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(path)


def conversation(image: str, *turns: str) -> dict[str, Any]:
    """A record of LLaVA's; turns are questions and answers by turns."""
    said = [
        {"from": ("human", "gpt")[number % 2], "value": "<image>\n" * (number == 0) + turn}
        for number, turn in enumerate(turns)
    ]
    return {"id": "same", "image": image, "conversations": said}


def write_photographs(folder: Path, **changes: Any) -> Path:
    """LLaVA's format to train and tune on, VQA v2's to test on; returns the folder, its card made.

    Args:
        changes: keys of a split, by its name, over those of this dataset.
    """
    folder.mkdir(parents=True)
    names = {split: [f"{split}{number}.jpg" for number in range(4)] for split in ("train", "validation")}
    for split, images in names.items():
        asked = [conversation(image, "What is it?", "a barn", "Is it red?", "yes") for image in images[:3]]
        described = [
            conversation(image, "Describe the picture.", f"A red barn with a round door, {image}.")
            for image in images[
                1:
            ]  # the last has a caption and no question, the first questions and no caption
        ]
        (folder / f"{split}-asked.json").write_text(json.dumps(asked))
        (folder / f"{split}-told.json").write_text(json.dumps(described))
    head = {"data_type": "mscoco", "data_subtype": "val2014"}
    questions, annotations = [], []
    for number in range(3):
        for turn, (question, answers) in enumerate(
            [("What is it?", AGREEING), ("Is it a barn?", ("yes",) * 10)]
        ):
            name = {"question_id": 10 * number + turn, "image_id": number}
            questions.append(name | {"question": question})
            people = [{"answer": answer, "answer_id": person} for person, answer in enumerate(answers, 1)]
            annotations.append(
                name
                | {
                    "question_type": ("what is", "is it a")[turn],
                    "answer_type": ("other", "yes/no")[turn],
                    "multiple_choice_answer": answers[0],
                    "answers": people,
                }
            )
    (folder / "questions.json").write_text(json.dumps(head | {"questions": questions}))
    (folder / "annotations.json").write_text(json.dumps(head | {"annotations": annotations}))
    names["test"] = [f"COCO_val2014_{number:012d}.jpg" for number in range(3)]
    for number, image in enumerate(image for images in names.values() for image in images):
        draw_photograph(folder / "photographs" / image, number)
    splits: dict[str, dict[str, Any]] = {
        split: {
            "format": "llava",
            "file": f"{split}-asked.json",
            "captions": f"{split}-told.json",
            "caption_images": "photographs",
        }
        for split in ("train", "validation")
    }
    splits["test"] = {"format": "vqa", "questions": "questions.json", "annotations": "annotations.json"}
    described_as = {
        "name": "Barns",
        "source": "drawn by the tests",
        "licence": "CC0",
        "citation": "https://example.org/barns",
        "splits": {
            split: keys | {"images": "photographs"} | changes.get(split, {}) for split, keys in splits.items()
        },
    }
    (folder / "dataset.yaml").write_text(yaml.safe_dump(described_as))
    make_card(folder)
    return folder
