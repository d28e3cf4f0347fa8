"""The tasks: each says the same of itself to data, evaluation and charts, and what it asks it can score."""

import re
from dataclasses import replace

import pytest

from barnlib.data.build import questions_on, require_own_types
from barnlib.data.pictures import generator, picture
from barnlib.data.records import KINDS, TASKS, Item, Picture
from barnlib.tasks import registry
from barnlib.tasks.registry import TASK_TITLES, score, task_named

PER_KIND = 8


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    """A few pictures of each kind."""
    made = []
    for kind in KINDS:
        for number in range(PER_KIND):
            rng = generator("test of tasks", kind, number)
            made.append(picture(kind, rng, 96, f"{kind}-{number}.png", held_out=False)[1])
    return made


def asked(pictures: list[Picture], names: tuple[str, ...] = TASKS, count: int = 6) -> list[Item]:
    """All items of the tasks on the pictures."""
    return [
        Item(id=f"{made.image}-{end}", image=made.image, task=task, **vars(question))
        for made in pictures
        for task, end, question in questions_on(made, generator("questions", made.image), names, count)
    ]


def test_a_name_and_a_title_stand_for_one_task():
    assert len(set(TASKS)) == len(registry.ALL) == len(set(TASK_TITLES.values()))
    assert all(task.kind in KINDS and task_named(task.name) is task for task in registry.ALL)
    assert list(TASK_TITLES.items()) == [(task.name, task.title) for task in registry.ALL]


def test_each_task_asks_about_the_pictures_of_its_kind(pictures):
    for task in registry.ALL:
        images = {item.image for item in asked(pictures, (task.name,))}
        assert images == {made.image for made in pictures if made.kind == task.kind}
    by_picture = {made.image: [i for i in asked(pictures) if i.image == made.image] for made in pictures}
    assert all(len(items) == (2 if "card" in image else 6) for image, items in by_picture.items())


@pytest.mark.parametrize("count", [0, 1, 12])
def test_a_card_is_asked_once_by_each_task_however_many_a_scene_is_asked(pictures, count):
    one = {"seismic_description": ["description"], "seismic_coordinates": ["coordinates"]}
    for task in registry.ALL:
        expected = one.get(task.name, [str(number) for number in range(count)])
        of_kind = [made for made in pictures if made.kind == task.kind]
        assert all(list(task.ask(made.facts, generator("asked"), count)) == expected for made in of_kind)


def test_ids_and_types_of_question_are_one_task_s(pictures):
    items = asked(pictures)
    assert len({item.id for item in items}) == len(items)
    require_own_types(items)


def test_the_right_answer_is_right_and_nothing_is_wrong(pictures):
    for item in asked(pictures):
        right = score(item.task, item.answer, item.facts, item.answer, tolerance_km=100.0)
        assert right.correct and right.score == 1
        assert not score(item.task, "", item.facts, item.answer, tolerance_km=100.0).correct


def test_a_question_is_one_of_its_wordings_and_an_answer_has_its_form(pictures):
    for item in asked(pictures):
        task = task_named(item.task)
        assert item.question in task.wordings(item.facts)
        assert task.form is None or re.fullmatch(task.form, item.answer)


def test_a_task_that_comes_last_changes_nothing_of_the_others(pictures, monkeypatch):
    before = asked(pictures)
    one = replace(task_named("seismic_description"), name="again", ask=_numbered("again"))
    monkeypatch.setattr(registry, "ALL", (*registry.ALL, one))
    with_another = asked(pictures, (*TASKS, "again"))
    assert [item for item in with_another if item.task != "again"] == before
    assert len(with_another) == len(before) + PER_KIND


def test_an_unknown_task_is_named_with_what_was_meant():
    with pytest.raises(
        ValueError, match=r"no task 'vqa_scenes' in barnlib/tasks/registry\.py: .*'vqa_scene'\?"
    ):
        task_named("vqa_scenes")


def test_an_unknown_task_without_a_near_one_is_named_with_those_there_are():
    there = "vqa_scene, seismic_description, seismic_coordinates"
    with pytest.raises(ValueError, match=rf"no task 'xyz' in .*: there are {there}$"):
        score("xyz", "", {}, "", tolerance_km=1.0)


def test_two_tasks_that_would_be_taken_for_one_are_refused(pictures, monkeypatch):
    cards = [made for made in pictures if made.kind == "card"]
    twice = replace(task_named("seismic_coordinates"), name="twice")
    monkeypatch.setattr(registry, "ALL", (*registry.ALL, twice))
    with pytest.raises(
        ValueError, match=r"twice and seismic_coordinates both end the id .* with 'coordinates'"
    ):
        asked(cards, (*TASKS, "twice"))
    items = asked(cards)
    borrowed = replace(items[0], task="twice")
    with pytest.raises(
        ValueError, match="seismic_description and twice both ask questions of the type 'descr"
    ):
        require_own_types([*items, borrowed])


def _numbered(end: str):
    """`ask` of the descriptions under another end of the id."""
    ask = task_named("seismic_description").ask
    return lambda facts, rng, count: {end: ask(facts, rng, count)["description"]}
