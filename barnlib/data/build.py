"""The study's data: images, LLaVA-format items with facts, and captioned pictures, in four splits.

In:  a :class:`~barnlib.parameters.Study`.
Out: ``runs/STUDY/data`` with ``images/SPLIT/*.png``, ``SPLIT.json`` (items), ``SPLIT.pictures.json`` and
     ``card.json``, which features, training and evaluation read. Every split has its own random stream and shares
     no image with another.
"""

from collections import Counter
from pathlib import Path

from tqdm import tqdm

from barnlib.artefacts import build_once, file_digest, write_json
from barnlib.data import descriptions, earthquakes, questions, scenes
from barnlib.data.pictures import generator, picture
from barnlib.data.records import (
    KINDS,
    SPLITS,
    Item,
    Picture,
    read_items,
    read_pictures,
    require_images,
    write_items,
    write_pictures,
)
from barnlib.parameters import Study

HELD_OUT_SCENES = 3  # every third test scene shows a (colour, shape) pair that training never showed
VERSION = 1  # of what this module writes; a change makes existing data folders anew


def data_folder(study: Study) -> Path:
    """Where the study's data lie."""
    return study.folder / "data"


def build_data(study: Study) -> Path:
    """Make the study's data, or find them unchanged; returns the folder.

    Raises:
        ValueError: a finished folder was changed afterwards (see :func:`barnlib.artefacts.verify`), or two splits
            share an image.
    """
    inputs = {"version": VERSION, "data": study.data.model_dump()}
    return build_once(data_folder(study), inputs, lambda folder: _build(study, folder))


def load_items(study: Study, split: str) -> list[Item]:
    """The items of one split; builds the data where needed. Raises as :func:`~barnlib.data.records.read_items`."""
    return read_items(build_data(study) / f"{split}.json")


def load_pictures(study: Study, split: str) -> list[Picture]:
    """The captioned pictures of one split; builds the data where needed."""
    return read_pictures(build_data(study) / f"{split}.pictures.json")


def picture_counts(study: Study, split: str) -> dict[str, int]:
    """How many pictures of each kind a split holds."""
    scenes_in, cards_in = study.data.scenes, study.data.cards
    return {
        "scene": 0 if split == "heldout" else getattr(scenes_in, split),
        "card": getattr(cards_in, split),
    }


def _build(study: Study, folder: Path) -> None:
    counts: dict[str, dict] = {}
    digests: dict[str, str] = {}
    total = sum(sum(picture_counts(study, split).values()) for split in SPLITS)
    with tqdm(total=total, desc="data", mininterval=5) as progress:
        for split in SPLITS:
            (folder / "images" / split).mkdir(parents=True)
            items: list[Item] = []
            pictures: list[Picture] = []
            for kind, count in picture_counts(study, split).items():
                for number in range(count):
                    made, asked = _one(study, folder, split, kind, number)
                    other = digests.setdefault(file_digest(folder / made.image), made.image)
                    if other != made.image:
                        raise ValueError(
                            f"{made.image} and {other} are the same image; choose another data seed"
                        )
                    pictures.append(made)
                    items += asked
                    progress.update()
            write_items(folder / f"{split}.json", items)
            write_pictures(folder / f"{split}.pictures.json", pictures)
            require_images(folder, [made.image for made in pictures])
            counts[split] = {
                "pictures": dict(Counter(made.kind for made in pictures)),
                "items": dict(Counter(item.task for item in items)),
                "question_types": dict(Counter(item.question_type for item in items)),
            }
    write_json(
        folder / "card.json",
        {
            "what": "synthetic scenes and synthetic earthquake event cards, made for this study",
            "licence": "CC0 (made by this code)",
            "parameters": study.data.model_dump(),
            "counts": counts,
            "held_out_pairs": sorted(map(list, scenes.HELD_OUT)),
            "held_out_regions": sorted(earthquakes.HELD_OUT_REGIONS),
        },
    )


def _one(study: Study, folder: Path, split: str, kind: str, number: int) -> tuple[Picture, list[Item]]:
    name = f"{kind}-{number:06d}"
    held_out = split == "heldout" or (split == "test" and kind == "scene" and number % HELD_OUT_SCENES == 0)
    rng = generator("data", study.data.seed, SPLITS.index(split), KINDS.index(kind), number)
    image, made = picture(kind, rng, study.data.image_size, f"images/{split}/{name}.png", held_out=held_out)
    image.save(folder / made.image)
    ask = _scene_items if kind == "scene" else _card_items
    return made, ask(made, f"{split}-{name}", study.data.scenes.questions, rng)


def _scene_items(made: Picture, name: str, count: int, rng) -> list[Item]:
    scene = scenes.scene_from_facts(made.facts)
    return [
        Item(
            id=f"{name}-{number}",
            image=made.image,
            task="vqa_scene",
            question_type=asked.question_type,
            difficulty=asked.difficulty,
            question=asked.question,
            answer=asked.answer,
            choices=asked.choices,
            facts=asked.facts,
        )
        for number, asked in enumerate(questions.ask(scene, rng, count))
    ]


def _card_items(made: Picture, name: str, count: int, rng) -> list[Item]:
    earthquake = earthquakes.Earthquake(**made.facts)
    facts = descriptions.description_facts(earthquake)
    place = {"latitude": earthquake.latitude_deg, "longitude": earthquake.longitude_deg}
    return [
        Item(
            id=f"{name}-description",
            image=made.image,
            task="seismic_description",
            question_type="description",
            difficulty="medium",
            question=descriptions.description_questions(rng),
            answer=descriptions.write_description(facts, rng),
            choices=(),
            facts=facts,
        ),
        Item(
            id=f"{name}-coordinates",
            image=made.image,
            task="seismic_coordinates",
            question_type="coordinates",
            difficulty="hard",
            question=descriptions.coordinate_questions(rng),
            answer=descriptions.write_coordinates(earthquake.latitude_deg, earthquake.longitude_deg),
            choices=(),
            facts=place,
        ),
    ]
