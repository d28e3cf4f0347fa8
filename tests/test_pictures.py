"""Random streams are apart, and pictures follow from their stream alone."""

import numpy as np
import pytest

from barnlib.data import earthquakes, scenes
from barnlib.data.pictures import generator, picture


def test_streams_differ_by_purpose_and_label_and_repeat():
    first = generator("data", 1, 2).random(4)
    assert np.array_equal(first, generator("data", 1, 2).random(4))
    for other in (("data", 1, 3), ("data", 12), ("encoder", 1, 2), ("data", 1, 2, 0)):
        assert not np.array_equal(first, generator(*other).random(4))


@pytest.mark.parametrize("kind", ["scene", "card"])
def test_picture_follows_from_its_stream(kind):
    image, made = picture(kind, generator("test", 5), 96, "a.png", held_out=False)
    again, same = picture(kind, generator("test", 5), 96, "a.png", held_out=False)
    assert image.size == (96, 96) and image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(again)) and made == same
    assert made.kind == kind and made.caption and made.phrases


def test_held_out_pictures_show_what_others_never_show():
    for number in range(20):
        _, shown = picture("scene", generator("test", number), 96, "a.png", held_out=number % 2 == 0)
        pairs = {(thing["colour"], thing["shape"]) for thing in shown.facts["things"]}
        assert bool(pairs & scenes.HELD_OUT) == (number % 2 == 0)
        _, card = picture("card", generator("test", number), 96, "a.png", held_out=number % 2 == 0)
        assert (card.facts["region"] in earthquakes.HELD_OUT_REGIONS) == (number % 2 == 0)


def test_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="no kind of picture 'photo'; expected one of scene, card"):
        picture("photo", generator("test"), 96, "a.png", held_out=False)
