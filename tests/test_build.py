"""The study's data: counts, splits that share nothing, held-out parts, and the same seed gives the same files."""

import pytest

from barnlib.artefacts import verify
from barnlib.data import earthquakes, scenes
from barnlib.data.build import build_data, load_items, load_pictures, picture_counts
from barnlib.data.records import SPLITS
from barnlib.parameters import load_study


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BARNLIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        study = load_study("smoke")
        build_data(study)
        yield study


def test_counts_are_what_the_study_asks_for(study):
    for split in SPLITS:
        pictures, items = load_pictures(study, split), load_items(study, split)
        counts = picture_counts(study, split)
        for kind, count in counts.items():
            assert sum(picture.kind == kind for picture in pictures) == count
        assert len(items) == counts["scene"] * study.data.scenes.questions + counts["card"] * 2
        assert {item.image for item in items} == {picture.image for picture in pictures}


def test_splits_share_no_image(study):
    files = verify(build_data(study))
    digests = [digest for name, digest in files.items() if name.endswith(".png")]
    assert (
        len(digests)
        == len(set(digests))
        == sum(sum(picture_counts(study, split).values()) for split in SPLITS)
    )


def test_held_out_pairs_and_regions_appear_only_where_they_should(study):
    for split in SPLITS:
        for number, picture in enumerate(load_pictures(study, split)):
            if picture.kind == "scene":
                pairs = {(thing["colour"], thing["shape"]) for thing in picture.facts["things"]}
                assert bool(pairs & scenes.HELD_OUT) == (split == "test" and number % 3 == 0)
            else:
                assert (picture.facts["region"] in earthquakes.HELD_OUT_REGIONS) == (split == "heldout")


def test_same_seed_gives_the_same_files(study, tmp_path, monkeypatch):
    first = verify(build_data(study))
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    assert verify(build_data(study)) == first


def test_damaged_image_is_refused_by_name(study, tmp_path, monkeypatch):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    image = build_data(study) / load_pictures(study, "train")[0].image
    image.write_bytes(image.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"images/train/scene-000000\.png: expected SHA-256"):
        load_items(study, "train")
