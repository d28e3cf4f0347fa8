"""barnlib.colab: what stays as Colab has it, what pip is asked for, and that the standard library is all it needs."""

import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

from barnlib import colab
from barnlib.paths import ROOT


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments of each call of pip, which does nothing."""
    calls: list[list[str]] = []

    def run(command, **options):
        assert command[:4] == [sys.executable, "-m", "pip", "install"]
        calls.append(command[4:])
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(colab.subprocess, "run", run)
    return calls


def test_what_the_kernel_has_loaded_stays():
    pins = ["numpy==0.0.1", "scikit-learn==0.0.1", "obspy==0.0.1", "no-such-package==1.0"]
    wanted = colab.requirements(pins, {"numpy.linalg", "sklearn", "json"})
    assert wanted == [
        f"numpy=={version('numpy')}",
        f"scikit-learn=={version('scikit-learn')}",
        "obspy==0.0.1",
        "no-such-package==1.0",
    ]


def test_torch_stays_loaded_or_not():
    assert colab.requirements(["torch==0.0.1"], ()) == [f"torch=={version('torch')}"]


def test_torch_is_installed_where_there_is_none(monkeypatch):
    monkeypatch.setattr(colab, "PARTS_OF_COLAB", ("no-such-package",))
    assert colab.requirements(["no-such-package==1.0"], ()) == ["no-such-package==1.0"]


def test_the_pins_then_the_clone_are_installed(pip, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    colab.install(ROOT)
    packages, clone = pip
    pins = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert packages[0] == "--quiet" and len(packages[1:]) == len(pins)
    assert {one.partition("==")[0] for one in packages[1:]} == {one.partition("==")[0] for one in pins}
    assert clone == ["--quiet", "--no-deps", "--editable", str(ROOT)]
    assert sys.path[0] == str(ROOT)


def test_what_pip_says_is_in_the_message(monkeypatch):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="ERROR: No matching distribution found\n")
    monkeypatch.setattr(colab.subprocess, "run", lambda *words, **options: failed)
    before = list(sys.path)
    with pytest.raises(RuntimeError, match="No matching distribution found"):
        colab.install(ROOT)
    assert sys.path == before


def test_it_needs_the_standard_library_only():
    code = f"import runpy; runpy.run_path({str(Path(colab.__file__))!r})['install']"
    subprocess.run([sys.executable, "-S", "-I", "-c", code], check=True, timeout=60)
