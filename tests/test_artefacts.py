"""Artefact folders: made once, verified on reading, one writer."""

import hashlib
import json
import multiprocessing

import pytest

from barnlib.artefacts import (
    build_once,
    digest,
    file_digest,
    is_sealed,
    read_json,
    single_writer,
    verify,
    write_json,
)
from barnlib.parameters import load_study


def counting(text="hello"):
    calls = []

    def build(folder):
        calls.append(folder)
        (folder / "part").mkdir()
        (folder / "part/file.txt").write_text(text)

    return build, calls


def test_build_once_builds_once_and_again_for_other_inputs(tmp_path):
    build, calls = counting()
    folder = tmp_path / "a" / "b"
    assert build_once(folder, {"x": 1}, build) == folder
    assert build_once(folder, {"x": 1}, build) == folder
    assert len(calls) == 1 and is_sealed(folder, {"x": 1}) and not is_sealed(folder, {"x": 2})
    build_once(folder, {"x": 2}, build)
    assert len(calls) == 2
    assert verify(folder) == {"part/file.txt": hashlib.sha256(b"hello").hexdigest()}


def test_failed_build_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "a"
    build_once(folder, {"x": 1}, counting()[0])

    def fail(partial):
        (partial / "half").write_text("half")
        raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        build_once(folder, {"x": 2}, fail)
    assert (folder / "part/file.txt").read_text() == "hello"
    build, calls = counting("new")
    build_once(folder, {"x": 2}, build)
    assert len(calls) == 1 and not (folder / "half").exists()


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_damaged_file_is_named_with_the_way_out(tmp_path, damage):
    folder = build_once(tmp_path / "a", {}, counting()[0])
    file = folder / "part/file.txt"
    if damage == "change":
        file.write_text("hullo")
    else:
        file.unlink()
    with pytest.raises(
        ValueError, match=r"part/file\.txt: expected SHA-256 2cf24dba5fb0.*delete .*a and run"
    ):
        build_once(folder, {}, counting()[0])


@pytest.mark.parametrize("content", ["{}", "[]", "3", '{"inputs": "a", "files": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    folder = build_once(tmp_path / "a", {}, counting()[0])
    (folder / "manifest.json").write_text(content)
    for read in (
        verify,
        lambda folder: is_sealed(folder, {}),
        lambda folder: build_once(folder, {}, counting()[0]),
    ):
        with pytest.raises(
            ValueError, match=r"a/manifest\.json: expected an object with 'inputs' .*delete .*a and run"
        ):
            read(folder)


def test_json_of_other_bytes_than_utf_8_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(b'{"a": "\xff"}')
    with pytest.raises(ValueError, match=r"a\.json: not valid JSON: 'utf-8' codec"):
        read_json(tmp_path / "a.json")


def test_unsealed_folder_is_not_complete(tmp_path):
    with pytest.raises(ValueError, match=r"no manifest\.json"):
        verify(tmp_path)


def _hold(folder, ready, done):
    with single_writer(folder):
        ready.set()
        done.wait(20)


def test_second_writer_is_refused_until_the_first_ends(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, done = context.Event(), context.Event()
    process = context.Process(target=_hold, args=(tmp_path / "run", ready, done))
    process.start()
    assert ready.wait(20)
    with (
        pytest.raises(RuntimeError, match=r"run is being written by another process"),
        single_writer(tmp_path / "run"),
    ):
        pass
    process.kill()  # the lock must end with its process, however it ends
    process.join()
    with single_writer(tmp_path / "run"):
        pass


def test_json_round_trip_and_broken_json(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, 2.5, None]})
    assert read_json(path) == {"é": [1, 2.5, None]}
    path.write_text("{")
    with pytest.raises(ValueError, match=r"a\.json: not valid JSON"):
        read_json(path)


def test_digest_is_of_the_content():
    study = load_study("nano")
    assert digest(study) == digest(json.loads(study.model_dump_json()))
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1, "b": 3})
    # echo -n '{"a":1}' | sha256sum
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    # echo -n '"é"' | sha256sum
    assert digest("é") == "f2886017e9c7abacf804b54d64787dce2b611c9544ba21f3affdd126a6e50086"


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    assert file_digest(tmp_path / "f") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
