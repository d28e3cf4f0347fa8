"""Parquet files in plausible layouts become the same records; memory does not grow with the file."""

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from barnlib.artefacts import file_digest
from barnlib.data import multiseismo
from barnlib.data.multiseismo import build_records
from barnlib.data.parquet_rows import rows_of
from barnlib.data.records import read_items, read_pictures, require_images
from barnlib.paths import ROOT
from tests.fdsn_server import RATE_HZ, at_anmo, motion_at_anmo, quake

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(
    r"```{code-block} yaml\n:caption: multiseismo/multiseismo\.yaml\n(.*?)```", PAGE, re.DOTALL
)
REQUEST = yaml.safe_load(EXAMPLE) | {
    "splits": {
        "train": {"start": "2011-03-01", "end": "2011-03-20"},
        "test": {"start": "2011-03-20", "end": "2011-04-01"},
    }
}
EVENTS = (
    quake("2011-03-05T10:00:00", 15.0, -92.0, 60e3, 6.8, "guatemala"),
    quake("2011-03-25T18:00:00", 52.5, -168.0, 30e3, 6.9, "aleutians"),
)
EVERY = 5  # samples that are left out, so that files are small: 4 Hz


@pytest.fixture(scope="module")
def motions():
    return {event.resource_id.id: motion_at_anmo(event)[:, ::EVERY].astype(np.float32) for event in EVENTS}


def facts(event):
    origin = event.origins[0]
    return {
        "event_id": event.resource_id.id,
        "latitude": origin.latitude,
        "longitude": origin.longitude,
        "depth": origin.depth / 1000.0,
        "magnitude": event.magnitudes[0].mag,
        "time": origin.time.datetime,
    }


def at_station(event, motions, station="ANMO", latitude=34.945982):
    made = [
        {
            "network": "IU",
            "station": station,
            "channel": f"BH{letter}",
            "latitude": latitude,
            "longitude": -106.457133,
            "sampling_rate": RATE_HZ / EVERY,
            "starttime": str(event.origins[0].time),
            "data": samples,
        }
        for letter, samples in zip("ZNE", motions[event.resource_id.id], strict=True)
    ]
    return made


def list_of_traces(motions):
    return [facts(event) | {"waveforms": at_station(event, motions)} for event in EVENTS]


def nested_with_json(motions):
    """Event facts in a text of JSON, channels within stations, times in seconds since 1970."""
    rows = []
    for event in EVENTS:
        stated = facts(event)
        described = {
            "id": stated["event_id"],
            "origin": {
                "time": str(event.origins[0].time),
                "lat": stated["latitude"],
                "lon": stated["longitude"],
            },
            "depth_km": stated["depth"],
            "mag": stated["magnitude"],
        }
        traces = at_station(event, motions)
        channels = [
            {
                "channel": trace["channel"],
                "sampling_rate": trace["sampling_rate"],
                "starttime": event.origins[0].time.timestamp,
                "samples": trace["data"],
            }
            for trace in traces
        ]
        first = {key: traces[0][key] for key in ("network", "station", "latitude", "longitude")}
        rows.append({"description": json.dumps(described), "stations": [first | {"channels": channels}]})
    return rows


def row_for_each_station(motions):
    """Two rows an event: a station that is too near, then the one that can be used."""
    rows = []
    for event in EVENTS:
        origin = event.origins[0]
        for station, latitude, longitude in (
            ("NEAR", origin.latitude + 1.0, origin.longitude),
            ("ANMO", 34.945982, -106.457133),
        ):
            rows.append(
                facts(event)
                | {
                    "station": f"IU.{station}",
                    "station_latitude": latitude,
                    "station_longitude": longitude,
                    "sampling_rate": RATE_HZ / EVERY,
                    "trace_start_time": origin.time.datetime,
                    **dict(
                        zip(
                            ("waveform_z", "waveform_n", "waveform_e"),
                            motions[event.resource_id.id],
                            strict=True,
                        )
                    ),
                }
            )
    return rows


def write(folder, rows, name="part-0.parquet", **changes):
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / name, row_group_size=1)
    (folder / "multiseismo.yaml").write_text(yaml.safe_dump(REQUEST | changes, sort_keys=False))
    return folder


@pytest.mark.parametrize("layout", [list_of_traces, nested_with_json, row_for_each_station])
def test_each_layout_gives_the_same_records(tmp_path, motions, layout):
    folder = write(tmp_path / "data", layout(motions))
    card = build_records(folder, progress=False)
    for split, event in zip(("train", "test"), EVENTS, strict=True):
        items, (picture,) = (
            read_items(folder / f"records/{split}.json"),
            read_pictures(folder / f"records/{split}.pictures.json"),
        )
        require_images(folder / "records", [item.image for item in items])
        expected = at_anmo(event)
        assert picture.facts["p_time_s"] == pytest.approx(expected.p_time_s, abs=0.01)
        assert picture.facts["region"] == expected.region and len(items) == 2
        assert card["splits"][split]["images"] == 1
    events = json.loads((folder / "records/events.json").read_text())
    assert {event["station"] for event in events} == {"IU.ANMO"}
    assert card["read_from"] == {"part-0.parquet": file_digest(folder / "part-0.parquet")}
    assert card["columns_used"]["event depth"].split(".")[-1].startswith("depth")


def test_a_matrix_is_read_in_the_order_that_the_user_states(tmp_path, motions):
    """Rows E, N, Z: without a word they are refused, with the right one the picture is that of the other layouts."""
    rows = []
    for event in EVENTS:
        first, *_ = at_station(event, motions)
        waveform = list(motions[event.resource_id.id][::-1])
        rows.append(facts(event) | {"stations": [first | {"channel": "BH", "data": waveform}]})
    with pytest.raises(ValueError, match=r"no column for samples.*write 'samples ZNE: stations\[\]\.data'"):
        build_records(write(tmp_path / "data", rows), progress=False)
    folder = write(tmp_path / "data", rows, columns={"samples ENZ": "stations[].data"})
    build_records(folder, progress=False)
    other = write(tmp_path / "other", list_of_traces(motions))
    build_records(other, progress=False)
    image = "records/images/train/card-000000.png"
    assert file_digest(folder / image) == file_digest(other / image)
    rows[0]["stations"][0]["data"] = rows[0]["stations"][0]["data"][:2]
    with pytest.raises(ValueError, match=r"split train has no card; .*1 left out: no waveforms"):
        build_records(
            write(tmp_path / "two", rows, columns={"samples ENZ": "stations[].data"}), progress=False
        )


def test_layouts_draw_the_same_pictures(tmp_path, motions):
    digests = set()
    for layout in (list_of_traces, nested_with_json, row_for_each_station):
        folder = write(tmp_path / layout.__name__, layout(motions))
        build_records(folder, progress=False)
        digests.add(file_digest(folder / "records/images/train/card-000000.png"))
    assert len(digests) == 1


def test_several_files_are_read_and_files_of_another_kind_are_refused(tmp_path, motions):
    first, second = list_of_traces(motions)
    folder = write(tmp_path / "data", [first])
    write(folder, [second], "part-1.parquet")
    card = build_records(folder, progress=False)
    assert list(card["read_from"]) == ["part-0.parquet", "part-1.parquet"]
    write(folder, row_for_each_station(motions), "part-2.parquet")
    with pytest.raises(ValueError, match=r"part-2\.parquet: its columns .* are not those of part-0\.parquet"):
        build_records(folder, progress=False)


def test_events_that_become_no_card_are_listed(tmp_path, motions):
    rows = list_of_traces(motions)
    plain = facts(EVENTS[0]) | {"waveforms": []}
    rows += [
        plain | {"event_id": "no traces", "longitude": -80.0},
        plain | {"event_id": "no depth", "depth": None},
        plain | {"event_id": "no magnitude", "magnitude": float("nan")},
        plain | {"event_id": "quakeml:tests/second"},
        plain
        | {
            "event_id": "turned",
            "longitude": -70.0,
            "waveforms": [
                trace | {"channel": trace["channel"].replace("N", "1").replace("E", "2")}
                for trace in at_station(EVENTS[0], motions, latitude=30.0)
            ],
        },
        plain
        | {
            "event_id": "accelerometer",
            "longitude": -60.0,
            "waveforms": [
                trace | {"channel": trace["channel"].replace("BH", "HN")}
                for trace in at_station(EVENTS[0], motions)
            ],
        },
        plain
        | {
            "event_id": "no place",
            "longitude": -50.0,
            "waveforms": [trace | {"latitude": None} for trace in at_station(EVENTS[0], motions)],
        },
    ]
    folder = write(tmp_path / "data", rows)
    build_records(folder, progress=False)
    listed = json.loads((folder / "records/events.json").read_text())
    assert {event["id"]: event["left_out"] for event in listed if "left_out" in event} == {
        "no traces": "no waveforms",
        "no depth": "no depth",
        "no magnitude": "no magnitude",
        "quakeml:tests/second": "same earthquake as another entry",
        "turned": "orientation",
        "accelerometer": "no waveforms",
        "no place": "no waveforms",
    }


def test_depths_in_another_unit_are_refused(tmp_path, motions):
    folder = write(tmp_path / "data", list_of_traces(motions), depth_unit="m")
    with pytest.raises(ValueError, match="centre seems to give kilometres; if so, write depth_unit: km"):
        build_records(folder, progress=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples_are": "acceleration"}, r"key 'samples_are'"),
        ({"files": "../*.parquet"}, "expected a pattern of files inside the folder"),
        ({"files": "*.arrow"}, r"expected parquet files '\*\.arrow' inside the folder; there is none"),
        ({"files": "*.yaml"}, r"multiseismo\.yaml: not a parquet file that can be read"),
        ({"columns": {"event depth": "nowhere"}}, "no column 'nowhere' for event depth"),
    ],
)
def test_a_fault_of_the_request_is_named(tmp_path, motions, changes, message):
    folder = write(tmp_path / "data", list_of_traces(motions), **changes)
    with pytest.raises(ValueError, match=message):
        build_records(folder, progress=False)


def test_the_pages_example_is_read(tmp_path):
    (tmp_path / "multiseismo.yaml").write_text(EXAMPLE)
    with pytest.raises(
        ValueError, match=r"expected parquet files '\*\.parquet' inside the folder; there is none"
    ):
        build_records(tmp_path, progress=False)
    assert "`python -m barnlib.data.multiseismo FOLDER`" in PAGE


def test_a_link_out_of_the_folder_is_not_followed(tmp_path, motions):
    write(tmp_path / "other", list_of_traces(motions))
    folder = write(tmp_path / "data", list_of_traces(motions), "local.parquet")
    (folder / "linked.parquet").symlink_to(tmp_path / "other/part-0.parquet")
    with pytest.raises(ValueError, match=r"linked\.parquet leads outside"):
        build_records(folder, progress=False)


def test_a_broken_file_is_named(tmp_path, motions):
    folder = write(tmp_path / "data", list_of_traces(motions))
    content = bytearray((folder / "part-0.parquet").read_bytes())
    content[200:5000] = bytes(4800)
    (folder / "part-0.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"part-0\.parquet: cannot be read after row 0"):
        build_records(folder, progress=False)


def test_memory_does_not_grow_with_the_file(tmp_path, motions, monkeypatch):
    """Forty rows of 1 MB, of which arrow never holds more than a few; other columns are not read at all."""
    first = list_of_traces(motions)[0]
    trace = first["waveforms"][0] | {"data": np.random.default_rng(0).random(250_000, np.float32)}
    schema = pa.Table.from_pylist([first | {"waveforms": [trace], "raster": [0.0]}]).schema
    folder = tmp_path / "data"
    folder.mkdir()
    with pq.ParquetWriter(folder / "large.parquet", schema, compression="none") as writer:
        for number in range(40):
            row = first | {"event_id": f"e{number}", "waveforms": [trace], "raster": [1.0] * 1000}
            writer.write_table(pa.Table.from_pylist([row], schema))
    file = folder / "large.parquet"
    found = multiseismo.inspect(file, {"samples": "waveforms[].data"})
    assert "raster" in found.unused and "raster" not in found.columns
    base, most, rows = pa.total_allocated_bytes(), 0, 0
    for _ in rows_of(file, found.columns, multiseismo.ROWS):
        most, rows = max(most, pa.total_allocated_bytes() - base), rows + 1
    assert rows == 40 and file.stat().st_size > 38e6
    assert most < 8 * 1e6 * multiseismo.ROWS


def test_the_command_says_one_sentence(tmp_path, caplog):
    with pytest.raises(SystemExit) as ended:
        multiseismo.main([str(tmp_path)])
    assert not caplog.records
    assert re.search(r"multiseismo\.yaml: no such file; expected one that names files", str(ended.value))
