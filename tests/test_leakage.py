"""Images that splits share: the same file, another format, another release."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from barnlib.data.leakage import image_digests, photograph, refuse_shared


def draw(path, colour: int, size: tuple[int, int] = (8, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 10, 20)).save(path)


def test_content_is_what_an_image_shows(tmp_path):
    draw(tmp_path / "a.png", 1)
    draw(tmp_path / "b.bmp", 1)
    draw(tmp_path / "c.png", 2)
    draw(tmp_path / "d.png", 1, (4, 8))  # the same pixels in another shape
    digests = image_digests(tmp_path, ["c.png", "a.png", "b.bmp", "d.png", "a.png"])
    assert list(digests) == ["a.png", "b.bmp", "c.png", "d.png"]
    assert digests["a.png"] == digests["b.bmp"] and len(set(digests.values())) == 3


def test_missing_and_broken_images_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.png: no such image"):
        image_digests(tmp_path, ["none.png"])
    draw(tmp_path / "broken.png", 1, (64, 64))
    (tmp_path / "broken.png").write_bytes((tmp_path / "broken.png").read_bytes()[:60])
    with pytest.raises(ValueError, match=r"broken\.png: the image cannot be read"):
        image_digests(tmp_path, ["broken.png"])
    (tmp_path / "text.jpg").write_text("<svg/>")
    with pytest.raises(ValueError, match=r"text\.jpg: the image cannot be read"):
        image_digests(tmp_path, ["text.jpg"])


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("val2014/COCO_val2014_000000000009.jpg", "coco 000000000009"),
        ("coco/train2017/000000000009.jpg", "coco 000000000009"),
        ("gqa/images/n161313.jpg", "n161313"),
        ("vg/VG_100K/2370799.JPG", "2370799"),
        ("Barn.png", "barn"),
    ],
)
def test_photographs_are_recognised_by_name(image, name):
    assert photograph(image) == name


def test_the_same_content_is_refused_with_both_names():
    splits = {"train": {"t/a.jpg": "1", "t/b.jpg": "2"}, "test": {"u/c.jpg": "2"}}
    with pytest.raises(
        ValueError, match=r"t/b\.jpg \(train\) and u/c\.jpg \(test\) have the same content"
    ) as caught:
        refuse_shared(splits)
    assert "numbered_by_split" not in str(caught.value)


def test_the_same_name_is_refused_unless_numbers_are_the_splits_own():
    splits = {"train": {"train2017/000000000009.jpg": "1"}, "test": {"v/COCO_val2014_000000000009.jpg": "2"}}
    with pytest.raises(
        ValueError, match=r"\(train\) and v/COCO.*\(test\) have the same name.*numbered_by_split"
    ):
        refuse_shared(splits)
    refuse_shared(splits, numbered_by_split=True)


def test_one_split_may_show_an_image_twice():
    refuse_shared({"train": {"a.jpg": "1", "b.jpg": "1"}, "test": {}})
    refuse_shared({})


def test_many_are_counted_and_few_are_named():
    same = {f"{number}.jpg": str(number) for number in range(20)}
    with pytest.raises(ValueError, match="and 35 more") as caught:
        refuse_shared({"train": same, "test": same})
    assert len(str(caught.value)) < 700


@settings(deadline=None)
@given(
    st.dictionaries(st.sampled_from(["train", "validation", "test"]), st.sets(st.integers(0, 30)), min_size=2)
)
def test_refused_exactly_where_two_splits_meet(splits):
    """Each image has a content of its own number and a name of its split."""
    digests = {
        split: {f"{split}/{split}-{number}.png": str(number) for number in numbers}
        for split, numbers in splits.items()
    }
    meet = len(set().union(*splits.values())) < sum(map(len, splits.values()))
    if meet:
        with pytest.raises(ValueError, match="have the same content"):
            refuse_shared(digests)
    else:
        refuse_shared(digests)
