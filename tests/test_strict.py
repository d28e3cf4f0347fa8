"""Strict models from YAML: what is refused, and how it is said; merging."""

from datetime import date
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from barnlib.strict import Count, Rate, Strict, merged, parse, read_yaml

VALUES = st.recursive(
    st.integers() | st.text("xyz", max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=6,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


class Inner(Strict):
    rate: Rate


class Outer(Strict):
    count: Count
    inner: Inner
    names: tuple[str, ...] = ()


RIGHT = {"count": 2, "inner": {"rate": 0.5}, "names": ["a"]}


def test_a_list_of_yaml_becomes_a_tuple(tmp_path):
    assert parse(Outer, tmp_path, RIGHT) == Outer(count=2, inner=Inner(rate=0.5), names=("a",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 0}, "key 'count': .*greater than or equal to 1; found 0"),
        ({"count": True}, "key 'count': .*valid integer; found True"),
        ({"count": date(2026, 1, 1)}, "key 'count': .*found '2026-01-01'"),
        ({"inner": {"rate": "1e-4"}}, r"key 'inner\.rate': .*found '1e-4' \(YAML reads 1e-4 as text"),
        ({"inner": {"rate": float("inf")}}, r"key 'inner\.rate': .*finite"),
        ({"inner": {}}, r"key 'inner\.rate' is missing"),
        ({"cuont": 1}, "unknown key 'cuont'; did you mean 'count'"),
        ({"rate": 1.0}, "unknown key 'rate'$"),
    ],
)
def test_what_does_not_fit_is_named_with_file_and_key(tmp_path, change, message):
    with pytest.raises(ValueError, match=f"(?s)file.yaml: {message}"):
        parse(Outer, tmp_path / "file.yaml", RIGHT | change)


def test_a_list_is_not_called_too_short_for_a_fault_in_an_entry(tmp_path):
    class Numbers(Strict):
        numbers: Annotated[tuple[Count, ...], Field(min_length=1)]

    with pytest.raises(ValueError) as error:
        parse(Numbers, tmp_path / "file.yaml", {"numbers": [-1]})
    said = "key 'numbers.0': Input should be greater than or equal to 1; found -1"
    assert str(error.value) == f"{tmp_path / 'file.yaml'}: {said}"
    with pytest.raises(ValueError, match=r"key 'numbers': .*at least 1 item"):
        parse(Numbers, tmp_path / "file.yaml", {"numbers": []})


def test_every_problem_of_a_file_is_said_at_once(tmp_path):
    with pytest.raises(ValueError) as error:
        parse(Outer, tmp_path / "file.yaml", {"count": 0, "more": 1, "inner": {}})
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [", "not valid YAML: "),
        (b"- 1", "expected keys and values, found list"),
        (b"", "expected keys and values, found NoneType"),
        (b"a: \xff", "not valid YAML: 'utf-8' codec can't decode byte 0xff"),
        (b"a: &a [1, *a]", "Circular reference detected"),
        (b"2026-12-01: a", "keys must be str, .*not date"),
        (b"a: 2026-13-01", "month must be in 1..12"),
        (b"a: 1\nb: 2\na: 3", r"key 'a' occurs twice \(lines 1 and 3\); expected every key once"),
        (b'a:\n  b: 1\n  "b": 1\n', r"key 'b' occurs twice \(lines 2 and 3\)"),
        (b"a: [{b: 1, b: 2}]", r"key 'b' occurs twice \(line 1\)"),
    ],
)
def test_what_is_no_file_of_keys_and_values_is_refused(tmp_path, text, message):
    (tmp_path / "file.yaml").write_bytes(text)
    with pytest.raises(ValueError, match=rf"file\.yaml: {message}"):
        read_yaml(tmp_path / "file.yaml")


def test_a_key_may_stand_in_several_mappings_and_be_merged_over(tmp_path):
    (tmp_path / "file.yaml").write_text("a: &a {b: 1, c: 2}\nb: {<<: *a, b: 3}\nc: *a\n")
    expected = {"a": {"b": 1, "c": 2}, "b": {"b": 3, "c": 2}, "c": {"b": 1, "c": 2}}
    assert read_yaml(tmp_path / "file.yaml") == expected


@given(MAPPINGS, MAPPINGS)
def test_merging_puts_one_mapping_over_another(base, over):
    found = merged(base, over)
    assert found.keys() == base.keys() | over.keys()
    for key, value in found.items():
        if key not in over:
            assert value == base[key]
        elif isinstance(value, dict) and isinstance(base.get(key), dict):
            assert value == merged(base[key], over[key])
        else:
            assert value == over[key]
    assert merged(found, over) == found
    assert merged(base, {}) == base
