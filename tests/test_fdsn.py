"""A dataset of recorded earthquakes, from a local server that speaks the FDSN's services; the page's example too."""

import json
import os
import re
import subprocess
import sys
from functools import partial

import numpy as np
import obspy
import pytest
import yaml
from obspy import Catalog, UTCDateTime
from PIL import Image

from barnlib.artefacts import file_digest, verify
from barnlib.data import fdsn, station_choice
from barnlib.data.fdsn import build_records
from barnlib.data.polite_client import DataCentreUnavailable, PoliteClient
from barnlib.data.recorded import TOHOKU_EVENT
from barnlib.data.records import read_items, read_pictures, require_images
from barnlib.data.seismograms import DURATION_S
from barnlib.paths import ROOT
from tests.fdsn_example import PAGE, example
from tests.fdsn_server import (
    DataCentre,
    at_anmo,
    quake,
    recorded_at_anmo,
    serve,
    stations,
    tohoku,
    tohoku_recording,
)

(MODULE,) = re.findall(r"`python -m (barnlib\.data\.fdsn) FOLDER`", PAGE)
BUILD = partial(build_records, client=partial(PoliteClient, sleep=lambda seconds: None), progress=False)

GUATEMALA = quake("2011-03-05T10:00:00", 15.0, -92.0, 60e3, 6.8, "guatemala")
CHILE = quake("2011-03-12T06:00:00", -23.0, -70.0, 100e3, 7.1, "chile")  # in the region that is held out
NICARAGUA = quake("2011-03-19T04:00:00", 12.0, -87.0, 80e3, 6.5, "nicaragua")
ALEUTIANS = quake("2011-03-25T18:00:00", 52.5, -168.0, 30e3, 6.9, "aleutians")
GAP = quake("2011-03-07T03:00:00", 17.0, -95.0, 20e3, 6.4, "gap")
WITH_WAVES = (GUATEMALA, CHILE, NICARAGUA, ALEUTIANS, GAP)
NO_WAVES = quake("2011-03-08T03:00:00", 14.0, -91.0, 20e3, 6.2, "no-waves")
WITHOUT_CARD = {
    "no depth": quake("2011-03-09", 10.0, -85.0, None, 6.0, "no-depth"),
    "no magnitude": quake("2011-03-09T01", 10.0, -85.0, 10e3, None, "no-magnitude"),
    "no station": quake("2011-03-09T02", 0.0, 97.0, 20e3, 6.5, "sumatra"),
    "off the map": quake("2011-03-09T03", 86.0, 40.0, 10e3, 6.5, "arctic"),
    "depth out of range": quake("2011-03-09T04", 10.0, -85.0, 900e3, 6.5, "too-deep"),
    "same earthquake as another entry": quake("2011-03-05T10:00:04", 15.2, -92.1, 55e3, 6.7, "again"),
    "gap": GAP,
    "no waveforms": NO_WAVES,
}


@pytest.fixture(scope="module")
def waves():
    """Counts at ANMO for each event that has any, by the event's name; one trace of GAP lacks a minute."""
    inventory = stations()
    made = {event.resource_id.id: recorded_at_anmo(event, inventory) for event in WITH_WAVES}
    time = GAP.origins[0].time
    made[GAP.resource_id.id] = obspy.Stream(
        made[GAP.resource_id.id][1:] + made[GAP.resource_id.id][:1].cutout(time + 300, time + 360)
    )
    return made


@pytest.fixture
def centre(waves):
    stream = obspy.Stream([trace for listed in waves.values() for trace in listed])
    return DataCentre(Catalog([*WITH_WAVES[:4], *WITHOUT_CARD.values()]), stations(), stream)


@pytest.fixture
def address(centre):
    with serve(centre) as address:
        yield address


def ask(folder, address, **changes):
    """Write the page's request with this server for its data centres; changes as in `example`."""
    given = {"events__data_centre": address, "stations__data_centre": address, "pause_s": 0.0} | changes
    folder.mkdir(exist_ok=True)
    (folder / "earthquakes.yaml").write_text(yaml.safe_dump(example(**given), sort_keys=False))
    return folder


def reasons(folder):
    events = json.loads((folder / "records" / "events.json").read_text())
    return {event["id"].removeprefix("quakeml:tests/"): event.get("left_out") for event in events}


def run(folder):
    return subprocess.Popen(
        [sys.executable, "-m", MODULE, str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_pages_example_becomes_records_and_a_card(address, centre, tmp_path):
    card = BUILD(ask(tmp_path / "march", address))
    records = tmp_path / "march" / "records"
    request = example()
    assert [card[key] for key in ("name", "source", "licence", "citation")] == [
        request[key] for key in ("name", "source", "licence", "citation")
    ]
    assert request["contact"] not in (records / "card.json").read_text()
    verify(records)
    for split, event in {
        "train": GUATEMALA,
        "validation": NICARAGUA,
        "test": ALEUTIANS,
        "heldout": CHILE,
    }.items():
        items, (picture,) = (
            read_items(records / f"{split}.json"),
            read_pictures(records / f"{split}.pictures.json"),
        )
        require_images(records, [item.image for item in items])
        assert Image.open(records / picture.image).size == (96, 96)
        expected = at_anmo(event)
        for key, value in picture.facts.items():
            assert (
                value == pytest.approx(getattr(expected, key), abs=1e-3)
                if key != "region"
                else expected.region
            )
        assert [item.task for item in items] == ["seismic_description", "seismic_coordinates"]
        assert json.loads(items[1].answer) == {
            "latitude": round(event.origins[0].latitude, 1),
            "longitude": round(event.origins[0].longitude, 1),
        }
        counted = card["splits"][split]
        assert (counted["images"], counted["items"], counted["stations"]) == (1, 2, 1)
        assert all(file_digest(records / name) == known for name, known in counted["records"].items())
    assert card["splits"]["heldout"]["classes"] == {"major intermediate": 1}
    assert card["magnitude_types"] == {"mww": 4}


def test_each_event_without_a_card_is_listed_with_its_reason(address, tmp_path):
    card = BUILD(ask(tmp_path / "march", address))
    listed = reasons(tmp_path / "march")
    named = {event.resource_id.id.removeprefix("quakeml:tests/"): why for why, event in WITHOUT_CARD.items()}
    assert listed == named | dict.fromkeys(("guatemala", "chile", "nicaragua", "aleutians"))
    assert card["left_out"] == dict.fromkeys(WITHOUT_CARD, 1)


def test_one_request_at_a_time_and_nothing_the_second_time(address, centre, tmp_path):
    folder = ask(tmp_path / "march", address)
    card = BUILD(folder)
    asked = list(centre.asked)
    assert len(set(asked)) == len(asked) == card["answers"] and centre.most_at_once == 1
    assert BUILD(folder) == card and centre.asked == asked
    ask(folder, address, image_size=224)  # another picture of the same answers
    assert BUILD(folder)["splits"]["train"]["images"] == 1 and centre.asked == asked
    assert Image.open(folder / "records/images/train/card-000000.png").size == (224, 224)


@pytest.mark.slow
def test_killed_and_started_again_nothing_is_asked_twice(address, centre, tmp_path):
    """The command itself, killed while it waits for its fifth answer."""
    folder = ask(tmp_path / "march", address)
    centre.hold_from = 5
    first = run(folder)
    assert centre.held.wait(60), first.communicate(timeout=10)[1]
    first.kill()
    first.communicate()
    before, centre.hold_from = list(centre.asked), None
    second = run(folder)
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "events: 100%" in said and '"licence"' in said
    after = centre.asked[len(before) :]
    assert len(before) == 5 and not set(after) & set(before[:4]) and after[0] == before[4]
    assert len(set(after)) == len(after)
    assert not (folder / "records.partial").exists()
    assert (
        BUILD(ask(tmp_path / "whole", address))["splits"]
        == json.loads((folder / "records/card.json").read_text())["splits"]
    )


def test_a_busy_data_centre_is_waited_for_and_one_that_stays_away_is_said(address, centre, tmp_path):
    centre.faults["/fdsnws/dataselect"] = [(429, {"Retry-After": "1"}, b""), (503, {}, b"")]
    slept = []
    build_records(ask(tmp_path / "march", address), partial(PoliteClient, sleep=slept.append), progress=False)
    assert 1.0 in slept
    centre.faults["/fdsnws/station"] = [(502, {}, b"")] * 5
    with pytest.raises(DataCentreUnavailable, match="answers 502"):
        BUILD(ask(tmp_path / "other", address))
    assert not (tmp_path / "other" / "records").exists()


@pytest.mark.parametrize(
    ("service", "fault", "reason"),
    [
        ("dataselect", (200, {}, b"this is no miniSEED" * 50), "broken waveforms"),
        ("dataselect", (403, {}, b""), "waveforms refused"),
        ("station", (200, {}, b"<FDSNStationXML><broken"), "no response"),
        ("station", (204, {}, b""), "no response"),
    ],
)
def test_a_station_that_gives_nothing_usable_is_a_reason(address, centre, tmp_path, service, fault, reason):
    centre.catalog, answer = Catalog([ALEUTIANS]), centre.answer

    def faulty(path):
        return fault if f"/fdsnws/{service}" in path and "level=channel" not in path else answer(path)

    centre.answer = faulty
    folder = ask(
        tmp_path / "march",
        address,
        held_out_regions=[],
        splits={"test": {"start": "2011-03-20", "end": "2011-04-01"}},
    )
    with pytest.raises(ValueError, match=rf"split test has no card; .*\(1 left out: {reason}\)"):
        BUILD(folder)


def test_a_recorded_trace_with_one_component(address, centre, tmp_path):
    """The recording of the Tohoku earthquake at TLY: P stands in the card where iasp91 has it, N and E are empty."""
    centre.catalog, centre.stream = Catalog([tohoku()]), tohoku_recording()
    folder = ask(
        tmp_path / "march",
        address,
        held_out_regions=[],
        stations__components="Z",
        splits={"train": {"start": "2011-03-01", "end": "2011-03-21"}},
    )
    card = BUILD(folder)
    (picture,) = read_pictures(folder / "records/train.pictures.json")
    assert (picture.facts["depth_km"], picture.facts["region"]) == (29.0, "Near East Coast Of Honshu, Japan")
    assert card["splits"]["train"]["classes"] == {"major shallow": 1}
    image = np.asarray(Image.open(folder / "records" / picture.image))
    heights = (image[48:64, :, 2] < 140).sum(axis=0)
    assert np.argmax(heights > 6) == pytest.approx(picture.facts["p_time_s"] / DURATION_S * 96, abs=1.5)
    assert (image[66:80].min(axis=-1) > 200).all() and (image[82:].min(axis=-1) > 200).all()


def test_depths_in_kilometres_are_seen(address, centre, tmp_path):
    """ObsPy's own file of the Tohoku earthquake: 29.0, where QuakeML asks for metres."""
    centre.catalog, centre.stream = obspy.read_events(str(TOHOKU_EVENT)), tohoku_recording()
    changes = {
        "held_out_regions": [],
        "stations__components": "Z",
        "splits": {"train": {"start": "2011-03-01", "end": "2011-03-21"}},
    }
    with pytest.raises(ValueError, match=r"run from 29 to 29.*This data centre seems to give kilometres"):
        BUILD(ask(tmp_path / "march", address, **changes))
    BUILD(ask(tmp_path / "march", address, **changes, events__depth_unit="km"))
    (picture,) = read_pictures(tmp_path / "march/records/train.pictures.json")
    assert picture.facts["depth_km"] == 29.0


def test_a_full_class_asks_for_nothing_more(address, centre, tmp_path, waves):
    """Two of a class in one split, and room for one."""
    centre.catalog = Catalog([GUATEMALA, ALEUTIANS])
    changes = {"held_out_regions": [], "splits": {"train": {"start": "2011-03-01", "end": "2011-04-01"}}}
    card = BUILD(ask(tmp_path / "all", address, **changes))
    assert card["splits"]["train"]["classes"] == {"strong shallow": 2}
    centre.asked.clear()
    card = BUILD(ask(tmp_path / "one", address, **changes, most_per_class=1))
    assert card["left_out"] == {"class is full": 1} and card["splits"]["train"]["images"] == 1
    assert sum("dataselect" in path for path in centre.asked) == 1


def test_the_next_station_is_tried(address, centre, tmp_path):
    """TLY has no waveforms of this event: with two tries ANMO's are taken, with one the event is left out."""
    changes = {
        "held_out_regions": [],
        "stations__components": "Z",
        "splits": {"train": {"start": "2011-03-20", "end": "2011-04-01"}},
    }
    draws = {}
    for draw_deg in (10.0, 90.0):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(station_choice, "station_draw_deg", lambda event, fixed=draw_deg: fixed)
            BUILD(ask(tmp_path / f"{draw_deg:g}", address, **changes))
            events = json.loads((tmp_path / f"{draw_deg:g}" / "records/events.json").read_text())
            draws[draw_deg] = events[0]["station"]
            if draw_deg == 90.0:
                with pytest.raises(ValueError, match="1 left out: no waveforms"):
                    BUILD(ask(tmp_path / "once", address, **changes, stations__tries=1))
    assert set(draws.values()) == {"IU.ANMO"}
    with pytest.raises(ValueError, match="1 left out: no"):
        BUILD(ask(tmp_path / "left", address, **changes, stations__leave_out=["IU.ANMO"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"license": "x"}, r"march/earthquakes\.yaml: unknown key 'license'; did you mean 'licence'"),
        ({"stations__networks": ["XX"]}, "no stations for networks XX, stations \\*, bands BH, HH"),
        ({"stations__data_centre": "NOWHERE"}, "NOWHERE"),
        (
            {"events__min_magnitude": 9.5},
            r"split train has no card; expected at least one \(1 left out: no magnitude\)",
        ),
    ],
)
def test_a_request_that_cannot_be_met_is_said(address, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        BUILD(ask(tmp_path / "march", address, **changes))


def test_the_command_says_one_sentence(tmp_path, caplog):
    with pytest.raises(SystemExit) as ended:
        fdsn.main([str(tmp_path)])
    assert not caplog.records
    assert re.search(
        r"earthquakes\.yaml: no such file; expected one that names data centres", str(ended.value)
    )


def test_a_refused_catalogue_is_repeated_in_the_data_centres_words(address, centre, tmp_path):
    centre.faults["/fdsnws/event"] = [(400, {}, b"12345 matching events exceeds search limit of 20000")]
    with pytest.raises(ValueError, match=r"no events of train: .*exceeds search limit of 20000"):
        BUILD(ask(tmp_path / "march", address))
    centre.faults["/fdsnws/event"] = [(200, {}, b"<html>maintenance</html>")]
    with pytest.raises(
        ValueError, match=r"no events of train: the answer cannot be read .*; delete 'answers' to ask anew"
    ):
        BUILD(ask(tmp_path / "later", address))


def test_times_of_the_window_are_where_the_card_needs_them(centre, address, tmp_path):
    BUILD(ask(tmp_path / "march", address))
    (asked,) = [path for path in centre.asked if "dataselect" in path and "2011-03-25" in path]
    start, end = (
        UTCDateTime(re.search(rf"{key}=([^&]+)", asked)[1].replace("%3A", ":"))
        for key in ("starttime", "endtime")
    )
    origin = ALEUTIANS.origins[0].time
    assert start < origin and end > origin + DURATION_S
