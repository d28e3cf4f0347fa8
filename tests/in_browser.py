"""Headless Chromium without a network, for the tests of pages: starting it, opening a page, what it asked for."""

import json
import os
import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

PHONE, DESK = (390, 844), (1280, 900)
LOCAL = ("file:", "data:", "blob:", "about:", "chrome:")
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
AXE = files("axe_core_python").joinpath("axe.min.js")  # the accessibility checker, as its package brings it


def started(*, server: bool = False) -> Iterator[object]:
    """A browser, ended after use; tests that need one are skipped where there is none, but on a CI machine fail.

    Args:
        server: pages of a server on this machine, at 127.0.0.1, may be opened; nothing else outside of files ever.
    """
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        reason = (
            "chromium or chromedriver is not installed (Debian: apt-get install chromium chromium-driver)"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    here = ", EXCLUDE 127.0.0.1" if server else ""
    options.add_argument(f"--host-resolver-rules=MAP * ~NOTFOUND{here}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(300)
    browser.set_script_timeout(300)  # axe over a page of the reference takes half a minute on a busy machine
    browser.execute_cdp_cmd("Network.enable", {})
    if not server:
        browser.execute_cdp_cmd("Network.emulateNetworkConditions", OFFLINE)
    yield browser
    browser.quit()


def opened(browser, path: Path, *, size: tuple[int, int] = DESK, dark: bool = False, query: str = "") -> None:
    """Open a page and wait until its charts are drawn."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    scheme = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", scheme)
    browser.get(path.as_uri() + query)
    waiting = (
        "return document.readyState !== 'complete' || "
        "[...document.querySelectorAll('.chart-view')].some(view => !view.querySelector('svg'))"
    )
    until(browser, f"{waiting.replace('return ', 'return !(', 1)})", f"{path.name}: a chart was not drawn")


def until(browser, script: str, message: str, seconds: float = 180) -> None:
    """Wait until a script returns true."""
    end = time.monotonic() + seconds
    while not browser.execute_script(script):
        assert time.monotonic() < end, f"{message}; console: {browser.get_log('browser')}"
        time.sleep(0.1)


def requests(browser) -> list[str]:
    """Addresses that the browser has asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
