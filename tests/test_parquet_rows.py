"""The way through structures, lists and JSON to a value, with holes on it."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from barnlib.data.parquet_rows import opened, plain, rows_of, samples_of, step, structures, value_at

ROWS = [
    {
        "event": {"depth": 10.0},
        "text": '{"origin": {"lat": 1.5}}',
        "stations": [
            {"code": "A", "channels": [{"data": [1, 2]}, {"data": None}]},
            {"code": "B", "channels": []},
        ],
    },
    {"event": None, "text": "not JSON", "stations": None},
]


@pytest.fixture
def rows(tmp_path):
    pq.write_table(pa.Table.from_pylist(ROWS), tmp_path / "x.parquet")
    return list(rows_of(tmp_path / "x.parquet", ["event", "text", "stations"], 1))


def test_values_are_reached_and_holes_are_none(rows):
    assert [row.number for row in rows] == [0, 1]
    assert [value_at(row.columns, ("event", "depth")) for row in rows] == [10.0, None]
    assert [value_at(row.columns, ("text", "{}", "origin", "lat")) for row in rows] == [1.5, None]
    assert value_at(rows[0].columns, ("text", "{}", "nowhere", "lat")) is None


def test_structures_know_what_they_lie_in(rows):
    path = ("stations", "[]", "channels", "[]")
    known = list(structures(rows[0].columns, path))
    assert [plain(step(inner[path[:2]], "code")) for inner in known] == ["A", "A"]
    assert [samples_of(step(inner[path], "data")).tolist() for inner in known] == [[1, 2], []]
    assert list(structures(rows[1].columns, path)) == []
    assert [inner[()] for inner in structures(rows[0].columns, ())] == [rows[0].columns]


def test_samples_are_a_view_and_missing_ones_are_nan():
    whole = pa.scalar(np.arange(5.0), pa.list_(pa.float64()))
    assert samples_of(whole).base is not None and samples_of(whole).tolist() == [0, 1, 2, 3, 4]
    assert np.isnan(samples_of(pa.scalar([1.0, None], pa.list_(pa.float64())))).tolist() == [False, True]
    assert samples_of(None).tolist() == []


def test_another_kind_of_file_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("no")
    with pytest.raises(ValueError, match=r"x\.parquet: not a parquet file that can be read"):
        opened(tmp_path / "x.parquet")
