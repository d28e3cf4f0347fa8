"""A notebook opened and run in a real JupyterLab, by its menu, in headless Chromium.

The notebook lies alone in a folder that has nothing to do with the project, which is also where the server was started.
JupyterLab is in an environment of its own (pyproject.toml says why); the notebook's kernel is in the project's.
"""

import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest

from barnlib.paths import ROOT
from tests.in_browser import LOCAL, requests, started, until

pytestmark = pytest.mark.slow
JUPYTERLAB = ROOT / ".venv-lab" / "bin" / "jupyter-lab"
NOTEBOOK = "recorded.ipynb"  # needs no run of a study
START_S, OPEN_S, RUN_S, END_S = 120, 120, 240, 30
READY = "document.body.textContent.includes('Python 3 (ipykernel) | Idle')"  # in the status bar
MENU = "[...document.querySelectorAll('.lm-MenuBar-itemLabel')].find((label) => label.textContent === 'Run')"
RUN_ALL = ".lm-Menu-item[data-command='runmenu:run-all']"


@dataclass(frozen=True)
class Lab:
    """A server: its address, the token that it asks for, and the folder that it was started in and shows."""

    address: str
    token: str
    folder: Path


@pytest.fixture
def browser() -> Iterator[object]:
    """Headless Chromium that reaches this machine, and nothing else."""
    yield from started(server=True)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """JupyterLab with nobody's settings, ended with its kernels after the test."""
    if not JUPYTERLAB.exists():
        pytest.skip(f"{JUPYTERLAB} is not there: `make test` installs it before it runs the tests")
    folder, log = tmp_path / "elsewhere", tmp_path / "log.txt"
    folder.mkdir()
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, folder)
    quiet = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    asked = json.dumps({"checkForUpdates": False, "fetchNews": "false"})
    (quiet / "notification.jupyterlab-settings").write_text(asked, encoding="utf-8")
    token, port = secrets.token_hex(16), free_port()
    own = ("CONFIG", "DATA", "RUNTIME")
    environment = os.environ | {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in own}
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "IdentityProvider.token": token,
        "LabApp.user_settings_dir": tmp_path / "settings",
        "LabApp.workspaces_dir": tmp_path / "workspaces",
    }
    command = [str(JUPYTERLAB), "--no-browser", "--allow-root"]
    command += [f"--{name}={value}" for name, value in options.items()]
    with log.open("w") as out:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=subprocess.STDOUT)
    try:
        found = Lab(f"http://127.0.0.1:{port}", token, folder)
        wait_for(found, server, log)
        yield found
    finally:
        server.terminate()
        try:
            server.wait(END_S)
        except subprocess.TimeoutExpired:
            server.kill()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def wait_for(lab: Lab, server: subprocess.Popen, log: Path) -> None:
    """Wait until the server answers."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + START_S
    while True:
        try:
            direct.open(f"{lab.address}/api/status?token={lab.token}", timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            assert server.poll() is None, f"JupyterLab ended: {log.read_text()[-3000:]}"
            assert time.monotonic() < end, f"JupyterLab did not answer: {log.read_text()[-3000:]}"
            time.sleep(0.2)


def saved(lab: Lab) -> list:
    """The code cells of the notebook as it lies on the disk; none while it is being written."""
    try:
        cells = nbformat.read(lab.folder / NOTEBOOK, as_version=4).cells
    except nbformat.reader.NotJSONError:
        return []
    return [cell for cell in cells if cell.cell_type == "code"]


def run_to_the_end(browser, lab: Lab) -> list:
    """Save, as a user would, until every code cell has been executed or one has failed; returns the cells."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    end = time.monotonic() + RUN_S
    while True:
        ActionChains(browser).key_down(Keys.CONTROL).send_keys("s").key_up(Keys.CONTROL).perform()
        time.sleep(1)
        cells = saved(lab)
        failed = any(output.output_type == "error" for cell in cells for output in cell.outputs)
        if failed or (cells and all(cell.execution_count for cell in cells)):
            return cells
        counts = [cell.execution_count for cell in cells]
        assert time.monotonic() < end, (
            f"not run to the end in {RUN_S} s: {counts}; {browser.get_log('browser')}"
        )


def test_a_notebook_runs_in_jupyterlab_from_a_folder_of_its_own(lab, browser):
    from selenium.webdriver.common.by import By

    browser.get(f"{lab.address}/lab/tree/{NOTEBOOK}?token={lab.token}")
    until(browser, f"return {READY}", "the kernel is not ready", OPEN_S)
    browser.execute_script(f"return {MENU}").click()
    until(browser, f'return document.querySelector("{RUN_ALL}") !== null', "no Run All Cells", OPEN_S)
    browser.find_element(By.CSS_SELECTOR, RUN_ALL).click()
    cells = run_to_the_end(browser, lab)

    errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert not errors, errors
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    pages = "".join(output.get("data", {}).get("text/html", "") for cell in cells for output in cell.outputs)
    assert "gallery" in pages
    outside = [url for url in requests(browser) if not url.startswith((*LOCAL, lab.address))]
    assert not outside, outside
