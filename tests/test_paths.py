"""Where what is produced goes."""

import pytest

from barnlib.parameters import load_study
from barnlib.paths import ROOT, runs_root


def test_runs_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    assert load_study("smoke").folder == tmp_path.resolve() / "smoke"


def test_an_empty_name_is_none(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BARNLIB_RUNS", "")
    assert runs_root() == (ROOT / "runs").resolve()


@pytest.mark.parametrize("inside", ["", "deep/er"])
def test_a_file_is_no_place_for_runs(monkeypatch, tmp_path, inside):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("BARNLIB_RUNS", str(file / inside))
    with pytest.raises(ValueError, match=f"^BARNLIB_RUNS names {file / inside}; .* and {file} is a file$"):
        runs_root()
