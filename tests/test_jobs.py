"""Every item is asked once in every pass, in parts of the size asked for, on the image that the condition names."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.build import build_data, load_items
from barnlib.jobs import PASSES, jobs, shuffled_images


@pytest.fixture(scope="module")
def study(tiny_study):
    build_data(tiny_study)
    return tiny_study


def in_batches(study, size):
    """The study, with so many images in a part."""
    return study.model_copy(update={"evaluation": study.evaluation.model_copy(update={"batch_images": size})})


@pytest.mark.parametrize("size", [1, 2, 100])
def test_every_item_is_asked_once_in_every_pass(study, size):
    made = list(jobs(in_batches(study, size)))
    assert len({job.name for job in made}) == len(made)
    for split, condition in PASSES:
        asked = [
            item.id for job in made if (job.split, job.condition) == (split, condition) for item in job.items
        ]
        expected = [
            item.id
            for item in load_items(study, split)
            if condition != "constrained" or item.task == "seismic_coordinates"
        ]
        assert sorted(asked) == sorted(expected) and len(set(asked)) == len(asked)
    for job in made:
        assert {item.task for item in job.items} == {job.task}
        assert {item.image for item in job.items} == set(job.shown)
        assert job.condition == "blank" or len(job.shown) <= size


def test_a_blank_split_is_one_part(study):
    blank = [job.name for job in jobs(in_batches(study, 1)) if job.condition == "blank"]
    assert all(name.endswith("-0000") for name in blank)


def test_the_same_image_is_shown_whatever_the_size_of_the_parts(study):
    def shown(size):
        return {
            (job.split, job.condition, job.task, image): seen
            for job in jobs(in_batches(study, size))
            for image, seen in job.shown.items()
        }

    assert shown(1) == shown(100)
    of_both_tasks = [
        {image: seen for (*key, image), seen in shown(1).items() if key == ["test", "shuffled", task]}
        for task in ("seismic_description", "seismic_coordinates")
    ]
    assert of_both_tasks[0] == of_both_tasks[1], "a card is exchanged for the same card in both tasks"


@settings(deadline=None, max_examples=50)
@given(count=st.integers(2, 30), seed=st.integers(0, 1000))
def test_shuffling_leaves_no_image_in_its_place_and_uses_each_once(count, seed):
    images = [str(n) for n in range(count)]
    found = shuffled_images(images, np.random.default_rng(seed))
    assert sorted(found.values()) == sorted(found) == sorted(images)
    assert all(image != other for image, other in found.items())


def test_one_image_cannot_be_shuffled():
    with pytest.raises(ValueError, match=r"1 image\(s\) to shuffle \(a\)"):
        shuffled_images(["a"], np.random.default_rng(0))
