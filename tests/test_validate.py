"""A look at the validation split is the mean over its first pictures of what is found one item at a time."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from barnlib.assembly import Parts, assemble
from barnlib.data.build import load_items, load_pictures
from barnlib.data.descriptions import write_coordinates, write_description
from barnlib.data.records import TASKS, Item
from barnlib.data.turns import Turn
from barnlib.decoding import greedy
from barnlib.likelihood import reference_logprobs
from barnlib.model import llava
from barnlib.packing import pack
from barnlib.processes import ALONE, Processes
from barnlib.validate import CAPTION_QUESTION, Validator
from tests.small_model import untrained_model

# Sums of float32 in another order; see small_model.py.
NATS = {"rel": 1e-5}


@pytest.fixture(scope="module")
def parts(tiny_study):
    return assemble(tiny_study, "plain")


@pytest.fixture(scope="module")
def model(parts):
    """In training mode, as between two steps; logits far enough apart that answers depend on the picture."""
    model = untrained_model(parts, seed=3)
    with torch.no_grad():
        llava(model).lm_head.weight.mul_(20)
        llava(model).model.multi_modal_projector.linear_2.weight.mul_(5)
    return model.train()


@pytest.fixture(scope="module")
def items(tiny_study):
    return load_items(tiny_study, "validation")


@pytest.fixture(scope="module")
def pictures(tiny_study):
    return load_pictures(tiny_study, "validation")


def looking_at(parts: Parts, images: int, **evaluation: object) -> Parts:
    """The same parts, of a study that looks at so many pictures of each kind."""
    study = parts.study.model_copy(
        update={
            "monitor": parts.study.monitor.model_copy(update={"images": images}),
            "evaluation": parts.study.evaluation.model_copy(update=evaluation),
        }
    )
    return Parts(study, parts.backbone, parts.prompter, parts.cached)


def first(pictures: Sequence, count: int) -> list[str]:
    """Images of the first scenes and the first cards."""
    return [
        name for kind in ("scene", "card") for name in [p.image for p in pictures if p.kind == kind][:count]
    ]


def nats_alone(parts: Parts, model, image: str, question: str, answer: str) -> float:
    packed = pack(parts.prompter, [(parts.rows[image], [Turn(question, answer)])])
    return float(reference_logprobs(model, packed, parts.table).nats)


def ids_alone(parts: Parts, model, item: Item) -> tuple[int, ...]:
    packed = pack(parts.prompter, [(parts.rows[item.image], [item.turn.asked])])
    limit = parts.study.evaluation.max_new_tokens[item.task]
    return tuple(greedy(model, packed, parts.table, limit).ids[0])


def reading(parts: Parts, model, items: Sequence[Item], answer: Callable[[Item], str], monkeypatch) -> None:
    """Let what the model writes on an item, whatever it is, read as an answer to it."""
    told = {ids_alone(parts, model, item): answer(item) for item in items}
    assert len(told) == len(items), "answers that differ tell the items apart"
    monkeypatch.setattr(parts.prompter, "decode", lambda ids: told[tuple(ids)])


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("batch_images", [1, 2, 50])
def test_nats_are_the_mean_of_items_alone(parts, model, items, pictures, count: int, batch_images: int):
    found = Validator(looking_at(parts, count, batch_images=batch_images), items, pictures).tasks(model)
    images = first(pictures, count)
    assert list(found) == [f"{task}_{measure}" for task in TASKS for measure in ("nats", "score", "accuracy")]
    for task in TASKS:
        asked = [item for item in items if item.task == task and item.image in images]
        alone = [nats_alone(parts, model, item.image, item.question, item.answer) for item in asked]
        assert len(alone) == {"vqa_scene": 2 * count}.get(task, count)
        assert found[f"{task}_nats"] == pytest.approx(np.mean(alone), **NATS)
    assert model.training, "training goes on"


def test_captions_are_those_of_both_kinds_of_pictures(parts, model, items, pictures):
    for count in (1, 2):
        images = first(pictures, count)
        alone = [
            nats_alone(parts, model, picture.image, CAPTION_QUESTION, picture.caption)
            for picture in pictures
            if picture.image in images
        ]
        assert len(alone) == 2 * count
        found = Validator(looking_at(parts, count), items, pictures).captions(model)
        assert found == {"caption_nats": pytest.approx(np.mean(alone), **NATS)}


def test_scores_are_those_of_answers_alone(parts, model, items, pictures, monkeypatch):
    """Known answers: one scene question of four is right, one card of two lacks a fact, one place is right."""
    wrong_place = next(item.id for item in items if item.task == "seismic_coordinates")
    right_question = [item.id for item in items if item.task == "vqa_scene"][2]
    short = [item.id for item in items if item.task == "seismic_description"][1]

    def answer(item: Item) -> str:
        if item.id == short:
            changed = item.facts | {"distance_deg": item.facts["distance_deg"] + 9}
            return write_description(changed, np.random.default_rng(0))
        if item.id == wrong_place or (item.task == "vqa_scene" and item.id != right_question):
            return "?"
        return item.answer

    longer = looking_at(
        parts, 2, max_new_tokens={"vqa_scene": 8, "seismic_description": 10, "seismic_coordinates": 9}
    )
    reading(longer, model, items, answer, monkeypatch)
    found = Validator(longer, items, pictures).tasks(model)
    assert found["vqa_scene_score"] == found["vqa_scene_accuracy"] == 1 / 4
    assert found["seismic_description_score"] == pytest.approx((1 + 5 / 6) / 2)
    assert found["seismic_description_accuracy"] == 1 / 2
    assert found["seismic_coordinates_accuracy"] == 1 / 2


@pytest.mark.parametrize(("tolerance_km", "accuracy"), [(600.0, 1.0), (500.0, 0.0)])
def test_a_place_is_right_within_the_studys_tolerance(
    parts, model, items, pictures, monkeypatch, tolerance_km: float, accuracy: float
):
    """Five degrees of latitude, towards the equator, are 556 km."""

    def near(item: Item) -> str:
        latitude, longitude = item.facts["latitude"], item.facts["longitude"]
        return write_coordinates(latitude - np.copysign(5, latitude), longitude)

    asked = [item for item in items if item.task == "seismic_coordinates"]
    reading(parts, model, asked, near, monkeypatch)
    found = Validator(looking_at(parts, 2, tolerance_km=tolerance_km), asked, pictures).tasks(model)
    assert found["seismic_coordinates_accuracy"] == accuracy


def test_a_task_without_items_is_absent(parts, model, items, pictures):
    cards = [item for item in items if item.task != "vqa_scene"]
    found = Validator(parts, cards, pictures).tasks(model)
    assert {name.rsplit("_", 1)[0] for name in found} == set(TASKS) - {"vqa_scene"}
    scenes_only = [picture for picture in pictures if picture.kind == "scene"]
    found = Validator(parts, items, scenes_only).tasks(model)
    assert {name.rsplit("_", 1)[0] for name in found} == {"vqa_scene"}
    assert Validator(parts, [], pictures).tasks(model) == {}


class Backwards(Processes):
    """Others who do the work, last batch first, and hand it back in order."""

    def map(self, items, work):
        dealt.append(len(items))
        return [work(item) for item in reversed(items)][::-1]


dealt: list[int] = []


def test_batches_of_images_are_dealt_out(parts, model, items, pictures):
    """Answers and nats of each task, an image at a time; the result is that of one process."""
    alone_at_a_time = looking_at(parts, 2, batch_images=1)
    dealt.clear()
    shared = Validator(alone_at_a_time, items, pictures, Backwards())
    assert shared.tasks(model) == Validator(alone_at_a_time, items, pictures, ALONE).tasks(model)
    assert dealt == [2] * 6
    dealt.clear()
    assert shared.captions(model) == Validator(alone_at_a_time, items, pictures).captions(model)
    assert dealt == [4]
