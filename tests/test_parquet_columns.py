"""Columns are recognised by name and type, in several layouts, and what is missing is said with what was found."""

import pyarrow as pa
import pytest

from barnlib.data.parquet_columns import EVENT_NAMES, TRACE_NAMES, leaves, plan

NUMBERS = pa.list_(pa.float32())
TRACE = pa.struct(
    {
        "network": pa.string(),
        "station": pa.string(),
        "channel": pa.string(),
        "latitude": pa.float64(),
        "longitude": pa.float64(),
        "samplingRate": pa.float64(),
        "startTime": pa.string(),
        "data": NUMBERS,
    }
)
EVENT = {
    "event_id": pa.string(),
    "time": pa.timestamp("us"),
    "latitude": pa.float64(),
    "longitude": pa.float64(),
    "depth": pa.float64(),
    "magnitude": pa.float64(),
}


def planned(columns, first_row=None, named=None):
    return plan(leaves(pa.schema(columns), first_row or {}), named or {}, "x.parquet")


def test_an_event_with_a_list_of_traces():
    found = planned(EVENT | {"waveforms": pa.list_(TRACE), "intensity_map": pa.binary()})
    assert found.used() == {
        "event id": "event_id",
        "event time": "time",
        "event latitude": "latitude",
        "event longitude": "longitude",
        "event depth": "depth",
        "event magnitude": "magnitude",
        "trace network": "waveforms[].network",
        "trace station": "waveforms[].station",
        "trace channel": "waveforms[].channel",
        "trace latitude": "waveforms[].latitude",
        "trace longitude": "waveforms[].longitude",
        "trace sampling_rate": "waveforms[].samplingRate",
        "trace start": "waveforms[].startTime",
        "samples": "waveforms[].data",
    }
    assert found.unused == ("intensity_map",)
    assert "intensity_map" not in found.columns and "waveforms" not in found.event_columns


def test_channels_within_stations_and_facts_in_a_json_text():
    station = pa.struct(
        {
            "code": pa.string(),
            "latitude": pa.float64(),
            "longitude": pa.float64(),
            "channels": pa.list_(
                pa.struct(
                    {
                        "channel": pa.string(),
                        "sampling_rate": pa.float64(),
                        "starttime": pa.timestamp("ns"),
                        "samples": pa.large_list(pa.int32()),
                    }
                )
            ),
        }
    )
    text = '{"origin": {"time": "2015-01-01", "lat": 1, "lon": 2, "depth": 10}, "mag": 6.1, "tags": [1]}'
    found = planned(
        {"description": pa.string(), "stations": pa.list_(station)},
        {"description": text},
        {"trace station": "stations[].code"},
    )
    used = found.used()
    assert used["event latitude"] == "description{}.origin.lat"
    assert used["event magnitude"] == "description{}.mag"
    assert used["trace latitude"] == "stations[].latitude"
    assert used["samples"] == "stations[].channels[].samples"
    assert found.unused == ("description{}.tags",)


def test_a_row_for_each_station_with_a_column_for_each_component():
    columns = EVENT | {
        "station_latitude": pa.float64(),
        "station_longitude": pa.float64(),
        "sampling_rate": pa.int64(),
        "trace_start_time": pa.float64(),
        **{f"waveform_{letter}": NUMBERS for letter in "zne"},
    }
    used = planned(columns).used()
    assert [used[f"samples {letter}"] for letter in "ZNE"] == ["waveform_z", "waveform_n", "waveform_e"]
    assert used["trace latitude"] == "station_latitude" and used["event latitude"] == "latitude"


def test_a_rows_bare_latitude_is_never_a_stations():
    columns = EVENT | {"waveform_z": NUMBERS, "sampling_rate": pa.float64(), "start_time": pa.string()}
    columns |= {"event_latitude": pa.float64(), "event_longitude": pa.float64()}
    with pytest.raises(ValueError, match="no column for trace latitude, trace longitude"):
        planned(columns)


def test_what_is_missing_is_listed_with_what_was_found():
    with pytest.raises(ValueError) as caught:
        planned({"image": pa.binary(), "caption": pa.string(), "mag": pa.float32()})
    message = str(caught.value)
    assert message.startswith(
        "x.parquet: no column for event time, event latitude, event longitude, event depth, samples"
    )
    assert "Found: image (binary), caption (string), mag (float)" in message
    assert "event magnitude" not in message
    with pytest.raises(ValueError, match="Found: no column"):
        planned({})


def test_two_that_are_as_good_as_each_other_are_refused_until_one_is_named():
    other = pa.struct({"magnitude": pa.float64()})
    columns = {key: value for key, value in EVENT.items() if key != "magnitude"}
    columns |= {"first": other, "second": other, "waveforms": pa.list_(TRACE)}
    with pytest.raises(
        ValueError, match=r"first\.magnitude and second\.magnitude could both be event magnitude"
    ):
        planned(columns)
    assert planned(columns, named={"event magnitude": "second.magnitude"}).used()["event magnitude"] == (
        "second.magnitude"
    )


def test_a_named_column_must_exist_and_belong_to_the_trace():
    columns = EVENT | {"waveforms": pa.list_(TRACE), "other": pa.list_(TRACE)}
    with pytest.raises(ValueError, match=r"columns: unknown fact 'depth'; expected one of event id"):
        planned(columns, named={"depth": "depth"})
    with pytest.raises(ValueError, match=r"no column 'z' for event depth\. Found: event_id \(string\)"):
        planned(columns, named={"event depth": "z"})
    with pytest.raises(ValueError, match=r"waveforms\[\]\.data and other\[\]\.data could both be samples"):
        planned(columns)
    with pytest.raises(
        ValueError, match=r"other\[\]\.startTime and the samples in waveforms\[\] are not of one"
    ):
        planned(columns, named={"samples": "waveforms[].data", "trace start": "other[].startTime"})


def test_images_and_matrices_are_not_taken_for_samples():
    columns = EVENT | {"data": pa.list_(pa.list_(pa.float32())), "waveforms": pa.list_(TRACE)}
    found = planned(columns)
    assert found.used()["samples"] == "waveforms[].data" and found.unused == ("data",)


def test_a_named_column_must_be_of_its_kind():
    columns = EVENT | {"waveforms": pa.list_(TRACE), "grid": pa.list_(pa.list_(pa.float32()))}
    with pytest.raises(
        ValueError, match=r"waveforms\[\]\.data is a list.*; expected a list of lists of numbers"
    ):
        planned(columns, named={"samples ZNE": "waveforms[].data"})
    with pytest.raises(ValueError, match=r"grid is a list.*; expected a list of numbers for samples Z"):
        planned(columns, named={"samples Z": "grid"})


def test_the_tables_of_names_hold_each_name_once():
    for names in (*EVENT_NAMES.values(), *TRACE_NAMES.values()):
        assert len(set(names)) == len(names) and all(name == name.lower() for name in names)
