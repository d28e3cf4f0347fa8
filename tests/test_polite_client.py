"""One request at a time, pauses, Retry-After, and answers that are asked for once."""

import gzip
import io
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from obspy import Catalog, Inventory, Stream
from obspy.clients.fdsn.header import FDSNForbiddenException, FDSNNoDataException

from barnlib.data import polite_client
from barnlib.data.polite_client import ATTEMPTS, DataCentreUnavailable, PoliteClient, user_agent
from tests.fdsn_server import DataCentre, quake, serve

SPAN = {"starttime": "2011-03-01", "endtime": "2011-04-01", "minmagnitude": 6.0}
BUSY = (429, {"Retry-After": "7"}, b"slow down")


@pytest.fixture
def centre():
    return DataCentre(Catalog([quake("2011-03-05", 15.0, -92.0, 60e3, 6.8, "one")]), Inventory(), Stream())


@pytest.fixture
def address(centre):
    with serve(centre) as address:
        yield address


def client(address, folder, pause_s=1.0):
    """A client whose time is counted and not waited for; returns it and the seconds that it slept."""
    slept: list[float] = []
    made = PoliteClient(
        address,
        folder / "answers",
        pause_s=pause_s,
        contact="me@example.org",
        sleep=slept.append,
        clock=lambda: sum(slept),
    )
    return made, slept


def test_an_answer_is_asked_for_once_and_kept_as_it_came(address, centre, tmp_path):
    made, _ = client(address, tmp_path)
    first, again = made.get_events(**SPAN), made.get_events(**SPAN)
    other, _ = client(address, tmp_path)
    assert first == again == other.get_events(**SPAN) and len(first) == 1
    assert len(centre.asked) == made.asked == 1 and other.asked == 0
    (about,) = (tmp_path / "answers").glob("*.json")
    known = json.loads(about.read_text())
    assert known["request"].startswith(address) and known["status"] == 200
    assert about.with_suffix(".answer").read_bytes() == centre.sent[centre.asked[0]]
    assert made.used == other.used == {known["request"]: known["sha256"]}


def test_no_discovery_and_a_name_for_the_data_centre_to_read(address, centre, tmp_path):
    made, _ = client(address, tmp_path)
    assert not centre.asked
    made.get_events(**SPAN)
    (agent,) = centre.agents
    assert agent.startswith("barnlib/") and "me@example.org" in agent and "ObsPy" in agent
    with pytest.raises(ValueError, match=r"contact 'a\\r\\nX: b': expected one line"):
        user_agent("a\r\nX: b")


def test_a_pause_lies_between_requests(address, centre, tmp_path):
    made, slept = client(address, tmp_path, pause_s=2.5)
    for month in ("03", "04", "05"):
        made.get_events(**SPAN | {"endtime": f"2011-{month}-28"})
    assert len(centre.asked) == 3 and sum(slept) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("after", "expected_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({}, polite_client.FIRST_WAIT_S),
        ({"Retry-After": "soon"}, polite_client.FIRST_WAIT_S),
        ({"Retry-After": format_datetime(datetime(2011, 3, 11, tzinfo=UTC))}, 1.0),  # passed: the usual pause
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_data_centre_is_asked_again_when_it_says(
    address, centre, tmp_path, caplog, status, after, expected_s
):
    centre.faults["/fdsnws/event"] = [(status, after, b"")]
    made, slept = client(address, tmp_path)
    assert len(made.get_events(**SPAN)) == 1
    assert len(centre.asked) == 2 and sum(slept) == pytest.approx(max(expected_s, 1.0))
    assert f"the data centre answers {status}" in caplog.text


def test_a_date_in_the_future_is_waited_for(address, centre, tmp_path):
    later = format_datetime(datetime.now(UTC) + timedelta(seconds=100))
    centre.faults["/fdsnws/event"] = [(503, {"Retry-After": later}, b"")]
    made, slept = client(address, tmp_path)
    made.get_events(**SPAN)
    assert sum(slept) == pytest.approx(100, abs=10)


def test_waits_double_and_then_the_run_stops_with_what_it_has(address, centre, tmp_path):
    made, slept = client(address, tmp_path)
    made.get_events(**SPAN)
    centre.faults["/fdsnws/event"] = [(500, {}, b"broken")] * ATTEMPTS
    with pytest.raises(
        DataCentreUnavailable, match=r"answers 500 .*is kept in .*answers: run the same command"
    ):
        made.get_events(**SPAN | {"minmagnitude": 5.0})
    assert len(centre.asked) == 1 + ATTEMPTS
    waits = [seconds for seconds in slept if seconds > 1.0]
    assert waits == [5.0, 10.0, 20.0, 40.0]
    assert len(made.get_events(**SPAN)) == len(made.get_events(**SPAN | {"minmagnitude": 5.0})) == 1


def test_a_data_centre_that_asks_for_an_hour_is_left_alone(address, centre, tmp_path):
    centre.faults["/fdsnws/event"] = [(429, {"Retry-After": "3600"}, b"")]
    made, slept = client(address, tmp_path)
    with pytest.raises(DataCentreUnavailable, match=r"answers 429 .* and asks to wait 3600 s"):
        made.get_events(**SPAN)
    assert len(centre.asked) == 1 and sum(slept) == 0


@pytest.mark.parametrize(
    ("status", "error"),
    [(204, FDSNNoDataException), (404, FDSNNoDataException), (403, FDSNForbiddenException)],
)
def test_no_is_an_answer_too(address, centre, tmp_path, status, error):
    centre.faults["/fdsnws/event"] = [(status, {}, b"")]
    made, _ = client(address, tmp_path)
    for _ in range(2):
        with pytest.raises(error):
            made.get_events(**SPAN)
    assert len(centre.asked) == 1


def test_an_answer_that_is_cut_off_is_asked_for_again(address, centre, tmp_path):
    whole = centre.answer("/fdsnws/event/1/query?starttime=2011-03-01&endtime=2011-04-01&minmagnitude=6")[2]
    packed = gzip.compress(whole)
    centre.faults["/fdsnws/event"] = [
        (200, {"Content-Length": "5000"}, b"<half"),
        (200, {"Content-Encoding": "gzip", "Content-Length": str(len(packed) - 20)}, packed[:-20]),
        (200, {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}, packed),
    ]
    made, _ = client(address, tmp_path)
    raw = io.BytesIO()
    made.get_events(**SPAN, filename=raw)
    assert raw.getvalue() == whole and len(centre.asked) == 3


def test_an_answer_beyond_all_measure_is_refused(address, tmp_path, monkeypatch):
    monkeypatch.setattr(polite_client, "LONGEST_ANSWER", 100)
    made, _ = client(address, tmp_path)
    with pytest.raises(ValueError, match="the answer is larger than 0 MiB; ask for a shorter span"):
        made.get_events(**SPAN)


def test_a_damaged_answer_is_named(address, tmp_path):
    made, _ = client(address, tmp_path)
    made.get_events(**SPAN)
    (body,) = (tmp_path / "answers").glob("*.answer")
    body.write_bytes(b"x")
    with pytest.raises(ValueError, match=r"\.answer: this answer was changed or damaged.*delete .*\.json"):
        made.get_events(**SPAN)


def test_a_data_centre_that_cannot_be_reached_and_one_that_is_not_known(tmp_path, centre):
    with serve(centre) as address:
        pass
    made, _ = client(address, tmp_path)
    with pytest.raises(DataCentreUnavailable, match="cannot be reached"):
        made.get_events(**SPAN)
    with pytest.raises(ValueError, match="shortcut `NOWHERE` is unknown"):
        client("NOWHERE", tmp_path)
