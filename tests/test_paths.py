"""Where what is produced goes."""

from barnlib.parameters import load_study


def test_runs_root_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BARNLIB_RUNS", str(tmp_path))
    assert load_study("smoke").folder == tmp_path.resolve() / "smoke"
