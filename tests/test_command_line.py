"""barnlib.command_line: one sentence where barnlib refuses, a traceback where something is broken."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from barnlib import command_line
from barnlib.command_line import one_sentence
from barnlib.parameters import load_study
from barnlib.paths import ROOT


def test_a_refusal_is_its_sentence():
    with pytest.raises(SystemExit, match=r"^no study 'nanno' in .* did you mean 'nano'"), one_sentence():
        load_study("nanno")


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        (lambda: int("x"), ValueError),  # compiled code, which the package's own line calls
        (lambda: np.load(__file__), ValueError),  # raised by a library's own Python
        (lambda: {}["x"], KeyError),
    ],
)
def test_an_unexpected_error_stays_what_it_is(broken, error, monkeypatch):
    monkeypatch.setattr(command_line, "PACKAGE", Path(__file__).parent)
    with pytest.raises(error), one_sentence():
        broken()


def test_another_kind_of_error_is_a_sentence_where_it_is_named(monkeypatch):
    def ask() -> None:
        raise ConnectionError(
            "no answer",
        )

    monkeypatch.setattr(command_line, "PACKAGE", Path(__file__).parent)
    with pytest.raises(ConnectionError), one_sentence():
        ask()
    with pytest.raises(SystemExit, match=r"^no answer$"), one_sentence(ConnectionError):
        ask()


COMMANDS = [
    (("pretrain", "nosuch"), "no backbone 'nosuch' in "),
    (("encoder", "nosuch"), "no encoder 'nosuch' in "),
    (("export", "nosuch", "llama3", "0", "folder"), "no study 'nosuch' in "),
    (("benchmark", "nosuch"), "nosuch: no folder with a config.json; "),
    (("data.dataset_card", "nosuch"), "nosuch/dataset.yaml: no such file; "),
    (("data.fdsn", "nosuch"), "nosuch/earthquakes.yaml: no such file; "),
    (("data.multiseismo", "nosuch"), "nosuch/multiseismo.yaml: no such file; "),
]


@pytest.mark.slow
@pytest.mark.parametrize(("words", "sentence"), COMMANDS, ids=[words[0] for words, _ in COMMANDS])
def test_a_command_ends_with_one_sentence(words, sentence, tmp_path):
    module, *arguments = words
    done = subprocess.run(
        [sys.executable, "-m", f"barnlib.{module}", *arguments],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(sentence) and len(done.stderr.splitlines()) == 1, done.stderr
