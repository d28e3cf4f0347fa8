"""Files that others wrote: each key checked, each path kept inside the folder."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from barnlib.data.foreign import Record, load, load_list, load_object

PART = st.sampled_from(["a", "..", ".", "b.jpg", "", "~", "c d"])


def record(tmp_path, **content) -> Record:
    return Record(tmp_path / "d.json", "record 3", content)


@pytest.mark.parametrize(
    ("method", "value", "message"),
    [
        ("text", " ", "expected text that is not empty, found ' '"),
        ("text", 3, "expected text, found 3"),
        ("string", None, "expected text, found None"),
        ("string", "\ud800", "expected text that UTF-8 can write"),
        ("unmarked", "a <image>", "expected text without '<image>'"),
        ("natural", -1, "expected a whole number from 0 on, found -1"),
        ("natural", True, "expected a whole number from 0 on, found True"),
        ("natural", 2.0, "expected a whole number from 0 on, found 2.0"),
        ("flag", 1, "expected true or false, found 1"),
        ("record", [], "expected an object, found []"),
        ("records", {}, "expected a list of objects, found {}"),
        ("listing", "ab", "expected a list, found 'ab'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path, method, value, message):
    with pytest.raises(ValueError) as caught:
        getattr(record(tmp_path, k=value), method)("k")
    assert str(caught.value).startswith(f"{tmp_path / 'd.json'}: record 3: key 'k': {message}")
    with pytest.raises(ValueError, match=r"d\.json: record 3: key 'other' is missing; expected"):
        getattr(record(tmp_path, k=value), method)("other")


def test_places_are_nested_and_long_values_are_cut(tmp_path):
    outer = record(tmp_path, list=[{"deep": {"x": list(range(10_000))}}, 4])
    with pytest.raises(ValueError, match=r"record 3: key 'list\[1\]': expected an object, found 4"):
        outer.records("list")
    inner = record(tmp_path, list=[{"deep": {"x": list(range(10_000))}}]).records("list")[0].record("deep")
    with pytest.raises(ValueError, match=r"record 3\.list\[0\]\.deep: key 'x'") as caught:
        inner.text("x")
    assert len(str(caught.value)) < len(str(tmp_path)) + 250


@pytest.mark.parametrize(
    "name",
    [
        "../x.jpg",
        "a/../../x.jpg",
        "/etc/passwd",
        "..\\x.jpg",
        "C:/x.jpg",
        "a\0b",
        "out/x.jpg",
        "circle/x.jpg",
    ],
)
def test_a_path_that_leads_outside_is_refused(tmp_path, name):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "out").symlink_to(tmp_path)
    (folder / "circle").symlink_to(folder / "circle")
    for under in ("", "images"):
        (folder / "images").mkdir(exist_ok=True)
        for link in ("out", "circle"):
            if not (folder / "images" / link).is_symlink():
                (folder / "images" / link).symlink_to(folder / link)
        with pytest.raises(
            ValueError, match=r"record 3: key 'image': expected a path inside .*no link out of it"
        ):
            record(tmp_path, image=name).path("image", folder, under)


@settings(deadline=None)
@given(parts=st.lists(PART, min_size=1, max_size=5), absolute=st.booleans())
def test_no_path_escapes(tmp_path_factory, parts, absolute):
    folder = tmp_path_factory.getbasetemp() / "inside"
    name = ("/" if absolute else "") + "/".join(parts)
    try:
        path = Record(folder, "", {"image": name}).path("image", folder, "under")
    except ValueError:
        return
    assert (folder / path).resolve().is_relative_to((folder / "under").resolve())


def test_paths_inside_are_relative_to_the_folder(tmp_path):
    assert record(tmp_path, image="b/./c.jpg").path("image", tmp_path, "a") == "a/b/c.jpg"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", r"d\.json: not valid JSON"),
        (b'"\xff"', r"d\.json: not valid JSON"),
        (b"[" * 100_000, r"d\.json: not valid JSON"),
        (b'{"a": 1, "a": 2}', r"d\.json: key 'a' occurs twice in one object"),
        (b'{"a": 1}', r"d\.json: expected a list of records, found \{'a': 1\}"),
        (b"[{}, 7]", r"d\.json: record 1: expected an object, found 7"),
    ],
)
def test_a_file_that_is_no_list_of_records_is_refused(tmp_path, content, message):
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        load_list(path)


def test_a_missing_file_and_another_kind_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.json: no such file"):
        load(tmp_path / "none.json")
    (tmp_path / "l.json").write_text("[]")
    with pytest.raises(ValueError, match=r"l\.json: expected an object, found \[\]"):
        load_object(tmp_path / "l.json")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(alphabet="abc"),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(alphabet="abc"), inner),
    )
)
def test_json_is_read_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_text(json.dumps(value))
    assert load(path) == value
