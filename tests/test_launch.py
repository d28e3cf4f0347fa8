"""Processes are started as asked, heard as they write, and none is left behind, however they or their starter end."""

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from barnlib import launch
from tests.in_processes import IMPORTS, alive, soon


@pytest.fixture(autouse=True)
def on_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", IMPORTS)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Put a program of the test in Python's place, which says how it was started; returns a function."""

    def put(program: str) -> None:
        file = tmp_path / "python"
        head = f"#!{sys.executable}\nimport json, os, sys, time\nout = sys.stdout.buffer\n"
        file.write_text(head + program)
        file.chmod(stat.S_IRWXU)
        monkeypatch.setattr(launch.sys, "executable", str(file))

    return put


def failing(content: object) -> str:
    """A program that leaves an error report and ends with status 3."""
    report = json.dumps(json.dumps({"message": content}))
    return f"open(os.environ['TORCHELASTIC_ERROR_FILE'], 'w').write({report})\nsys.exit(3)\n"


class TestCommand:
    def test_the_module_its_arguments_and_the_number_reach_the_launcher(self, interpreter, capsys):
        interpreter("print(json.dumps(sys.argv[1:]), flush=True)")
        launch.launch("some.module", ["a b", "--c"], 3)
        assert json.loads(capsys.readouterr().err) == [
            *("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "3"),
            *("-m", "some.module", "a b", "--c"),
        ]

    @pytest.mark.parametrize(
        ("cores", "own", "expected"), [(8, None, "4"), (3, None, "1"), (1, None, "1"), (8, "5", "5")]
    )
    def test_cores_are_shared_unless_the_user_has_said_how(
        self, interpreter, capsys, monkeypatch, cores, own, expected
    ):
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        if own:
            monkeypatch.setenv("OMP_NUM_THREADS", own)
        monkeypatch.setattr(os, "cpu_count", lambda: cores)
        interpreter("print(os.environ['OMP_NUM_THREADS'], end='')")
        launch.launch("m", [], 2)
        assert capsys.readouterr().err == expected

    def test_standard_input_stays_open_while_it_runs(self, interpreter, capsys):
        """Its end is what tells the processes that this one is gone."""
        interpreter("import select; print(select.select([0], [], [], 0.3)[0])")
        launch.launch("m", [], 2)
        assert capsys.readouterr().err == "[]\n"

    @pytest.mark.parametrize(("gpus", "asked"), [(1, 2), (4, 5)])
    def test_more_processes_than_gpus_are_refused(self, monkeypatch, gpus, asked):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(subprocess, "Popen", lambda *given, **more: pytest.fail("started"))
        message = f"{asked} processes need as many GPUs, found {gpus}; expected at most {gpus}"
        with pytest.raises(ValueError, match=message):
            launch.launch("m", [], asked)

    def test_as_many_processes_as_gpus_are_started(self, monkeypatch, interpreter, capsys):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        interpreter("print('started')")
        launch.launch("m", [], 2)
        assert capsys.readouterr().err == "started\n"

    def test_an_interrupted_call_ends_it_though_it_watches_nothing(self, interpreter, tmp_path):
        interpreter(f"open({str(tmp_path / 'its.pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)")

        def interrupted(stream):
            assert soon(lambda: waiting(tmp_path), 20)
            raise KeyboardInterrupt

        begun = time.monotonic()
        with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(launch, "_pass_on", interrupted)
            launch.launch("m", [], 2)
        assert time.monotonic() - begun < 30 and not alive(*waiting(tmp_path))


class TestWords:
    def test_both_streams_are_passed_on_with_carriage_returns(self, interpreter, capsys):
        interpreter("print('\\r 50%', end='', flush=True); print('\\r100%', file=sys.stderr)")
        launch.launch("m", [], 2)
        said = capsys.readouterr()
        assert (said.out, said.err) == ("", "\r 50%\r100%\n")

    def test_it_comes_while_the_process_runs(self, capsys):
        """The writer waits for its first words to have arrived before it ends."""
        read, write = os.pipe()
        heard = threading.Event()

        def writer():
            os.write(write, b"step 1\r")
            heard.wait(20)
            os.close(write)

        def listens(text):
            heard.set()
            return written(text)

        written = sys.stderr.write
        with pytest.MonkeyPatch.context() as patch, os.fdopen(read, "rb") as stream:
            patch.setattr(sys.stderr, "write", listens)
            thread = threading.Thread(target=writer)
            thread.start()
            assert launch._pass_on(stream) == "step 1\r"
            thread.join()
        assert heard.is_set() and capsys.readouterr().err == "step 1\r"

    def test_a_letter_that_comes_in_two_parts_is_one_and_a_broken_one_stops_nothing(
        self, interpreter, capsys
    ):
        interpreter(
            "for part in (b'caf', b'\\xc3', b'\\xa9 ', b'\\xff', b' end'): "
            "out.write(part), out.flush(), time.sleep(0.1)"
        )
        launch.launch("m", [], 2)
        assert capsys.readouterr().err == "café � end"

    @pytest.mark.parametrize(
        ("report", "expected"),
        [({"message": "ValueError: no", "extraInfo": {}}, "ValueError: no"), ("stopped", "stopped")],
    )
    def test_an_error_report_is_the_message(self, interpreter, report, expected):
        interpreter("print('noise')\n" + failing(report))
        with pytest.raises(RuntimeError) as raised:
            launch.launch("m", [], 2)
        assert str(raised.value) == f"one of 2 processes failed: {expected}"

    def test_without_one_the_end_of_the_output_is_quoted(self, interpreter):
        letters = "".join(str(number % 10) for number in range(3000))
        interpreter(f"print({letters!r}, end='', flush=True)\nsys.exit(5)")
        with pytest.raises(RuntimeError) as raised:
            launch.launch("m", [], 4)
        assert str(raised.value) == (
            f"one of 4 processes failed: exit status 5; the last of its output:\n{letters[1000:]}"
        )

    def test_an_error_report_of_a_run_that_ended_well_is_none(self, interpreter):
        interpreter(failing("overcome").replace("sys.exit(3)", "sys.exit(0)"))
        launch.launch("m", [], 2)

    def test_reports_are_looked_for_in_a_folder_of_the_call(self, interpreter, capsys, monkeypatch):
        """One that the environment names already, as where a launcher started this process, is left alone."""
        monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", "elsewhere.json")
        interpreter("print(os.environ['TORCHELASTIC_ERROR_FILE'], end='')")
        launch.launch("m", [], 2)
        file = Path(capsys.readouterr().err)
        assert file.is_absolute() and not file.parent.exists()


def waiting(folder: Path) -> list[int]:
    """The processes that have said that they wait."""
    return [int(file.read_text()) for file in sorted(folder.glob("*.pid")) if file.read_text()]


@pytest.mark.slow
class TestProcesses:
    def test_all_are_started_and_heard(self, tmp_path, capsys):
        launch.launch("in_processes", ["ends", "done", str(tmp_path)], 2)
        said = capsys.readouterr().err
        assert "\rprocess 0 is here" in said and "\rprocess 1 is here" in said

    @pytest.mark.parametrize(
        ("how", "said"),
        [
            ("raise", r"LookupError: the café is closed$"),
            ("leave", r"exit status 1; the last of its output:\n(?s:.*)exitcode\s*: 7"),
        ],
    )
    def test_one_that_raises_or_goes_is_quoted_and_ends_the_other(self, tmp_path, how, said):
        with pytest.raises(RuntimeError, match=rf"^one of 2 processes failed: {said}"):
            launch.launch("in_processes", ["ends", how, str(tmp_path)], 2)
        (other,) = waiting(tmp_path)
        assert not alive(other)

    @pytest.mark.parametrize("how", ["kill", "interrupt"])
    def test_none_outlives_the_process_that_started_them(self, tmp_path, how):
        # a shell without job control lets what it starts in the background ignore interrupts, tests too
        program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        program += (
            f"from barnlib.launch import launch; launch('in_processes', ['wait', {str(tmp_path)!r}], 2)"
        )
        starter = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
        assert soon(lambda: len(waiting(tmp_path)) == 2, 90)
        starter.send_signal({"kill": signal.SIGKILL, "interrupt": signal.SIGINT}[how])
        _, said = starter.communicate(timeout=45)
        assert ("KeyboardInterrupt" in said) == (how == "interrupt")
        assert soon(lambda: not any(map(alive, waiting(tmp_path))), 15 if how == "kill" else 0.2)
