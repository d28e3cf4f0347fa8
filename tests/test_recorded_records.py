"""Recorded cards as records: the made cards' questions, the event list, and a card whose figures can be counted."""

import json

import numpy as np
import pytest
from obspy import UTCDateTime

from barnlib.artefacts import file_digest
from barnlib.data.event_splits import Event, LeftOut, Selection, locate_station
from barnlib.data.recorded_records import RecordsWriter
from barnlib.data.records import read_items, read_pictures
from barnlib.data.seismograms import synthesise

SELECTION = Selection.model_validate(
    {
        "name": "n",
        "source": "s",
        "licence": "l",
        "citation": "c",
        "image_size": 96,
        "splits": {
            "train": {"start": "2011-01-01", "end": "2011-07-01"},
            "test": {"start": "2011-07-01", "end": "2012-01-01"},
        },
    }
)
STATION = (34.9, -106.5)


def add(writer, split, name, latitude, depth=10.0, seed=0):
    event = Event(name, UTCDateTime("2011-02-01"), latitude, -92.0, depth, 6.5, "mww")
    earthquake = locate_station(event, *STATION)
    writer.add(split, event, "IU.ANMO", earthquake, synthesise(earthquake, np.random.default_rng(seed)))


def filled(folder):
    writer = RecordsWriter(folder, SELECTION, SELECTION.splits)
    add(writer, "train", "a", 15.0)
    add(writer, "train", "b", 10.0, depth=100.0)
    add(writer, "test", "c", 5.0)
    return writer


def test_the_card_counts_what_the_files_hold(tmp_path):
    card = filled(tmp_path).finish(
        [LeftOut("x", "gap", "two pieces"), LeftOut("y", "gap", "three")], {"made_by": "tests"}
    )
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert (card["made_by"], card["licence"], card["left_out"]) == ("tests", "l", {"gap": 2})
    for split, counted in card["splits"].items():
        items = read_items(tmp_path / f"{split}.json")
        pictures = read_pictures(tmp_path / f"{split}.pictures.json")
        assert (counted["items"], counted["images"]) == (len(items), len(pictures))
        assert sum(counted["question_types"].values()) == len(items)
        assert {item.image for item in items} == {picture.image for picture in pictures}
        assert all(file_digest(tmp_path / name) == known for name, known in counted["records"].items())
    assert card["splits"]["train"]["classes"] == {"strong shallow": 1, "strong intermediate": 1}
    events = json.loads((tmp_path / "events.json").read_text())
    assert [event["id"] for event in events] == ["a", "b", "c", "x", "y"]
    assert events[0]["image"] == "images/train/card-000000.png" and events[4]["detail"] == "three"
    assert file_digest(tmp_path / "events.json") == card["events_digest"]


def test_the_same_events_give_the_same_files(tmp_path):
    cards = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        cards.append(filled(tmp_path / name).finish([], {}))
    assert cards[0] == cards[1]


def test_a_split_without_a_card_says_why(tmp_path):
    writer = RecordsWriter(tmp_path, SELECTION, SELECTION.splits)
    add(writer, "train", "a", 15.0)
    with pytest.raises(
        ValueError, match=r"split test has no card; expected at least one \(1 left out: gap\)"
    ):
        writer.finish([LeftOut("x", "gap", "")], {})
    with pytest.raises(ValueError, match="no event was found"):
        writer.finish([], {})


def test_one_recording_under_two_names_is_refused(tmp_path):
    writer = filled(tmp_path)
    add(writer, "test", "d", 15.0)
    with pytest.raises(
        ValueError, match=r"card-000001\.png and images/train/card-000000\.png are the same picture"
    ):
        writer.finish([], {})
