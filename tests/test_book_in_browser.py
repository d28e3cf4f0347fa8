"""The built book in a real browser: every page, from file://, with networking off.

A small study (two backbones, one seed, one run missing) with hand-made executed notebooks goes through the real book
source, so that prose, configuration, theme and scripts are those that readers get. Needs Chromium and its driver.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from in_browser import LOCAL, PHONE, opened, requests, until
from small_book import HOSTILE, write_study

from barnlib import book, parameters
from barnlib.chart_parts import DARK, INK

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Folder of the built book."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copytree(parameters.PARAMS, folder / "params", ignore=shutil.ignore_patterns("checkpoints"))
    path = folder / "params" / "studies" / "smoke.yaml"
    study_file = yaml.safe_load(path.read_text(encoding="utf-8")) | {
        "backbones": ["llama1", "llama3"],
        "seeds": [0],
    }
    path.write_text(yaml.safe_dump(study_file), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parameters, "PARAMS", folder / "params")
        patch.setenv("BARNLIB_RUNS", str(folder / "runs"))
        patch.setattr(book, "repository_url", lambda root: "https://github.com/someone/barn")
        study = parameters.load_study("smoke")
        sources = write_study(study, missing=("evaluate-llama3-seed0",))
        yield book.build("smoke", notebooks=sources).parent


def pages(html: Path) -> list[Path]:
    """Every page of the book."""
    return sorted(path for path in html.rglob("*.html") if not {"_static", "_sources"} & set(path.parts))


def test_every_page_opens_without_an_error_or_a_request(html, browser):
    assert len(pages(html)) >= 20
    for path in pages(html):
        for dark in (False, True):
            opened(browser, path, dark=dark)
            shown = path.relative_to(html)
            complaints = [
                entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
            ]
            assert not complaints, f"{shown}: {complaints}"
            outside = [url for url in requests(browser) if not url.startswith(LOCAL)]
            assert not outside, f"{shown} asks for {outside}"
            assert browser.execute_script("return document.title") != "owned", (
                f"{shown}: a model's text ran as a script"
            )


def test_no_page_scrolls_sideways_on_a_phone(html, browser):
    for path in pages(html):
        opened(browser, path, size=PHONE)
        wide = browser.execute_script(
            "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
        )
        assert wide <= 1, f"{path.relative_to(html)} is {wide} pixels wider than the screen"


def test_charts_follow_the_width_and_the_colour_mode(html, browser):
    page = html / "notebooks" / "results.html"
    widths = "[...document.querySelectorAll('.chart-view svg')].map(svg => svg.getBoundingClientRect().width)"
    inks = "[...document.querySelectorAll('.chart-view svg text')].map(text => text.getAttribute('fill'))"
    light = f"return ({inks}).includes('{INK}') && !({inks}).includes('{DARK[INK]}')"
    dark = f"return ({inks}).includes('{DARK[INK]}') && !({inks}).includes('{INK}')"
    opened(browser, page)
    until(browser, light, "a chart is not drawn in light mode's inks")
    desk = browser.execute_script(f"return {widths}")
    opened(browser, page, size=PHONE, dark=True)
    until(browser, dark, "a chart is not drawn in dark mode's inks")
    phone = browser.execute_script(f"return {widths}")
    assert len(desk) == len(phone) == 6
    assert all(width <= PHONE[0] for width in phone) and all(width > PHONE[0] for width in desk)
    browser.execute_script("document.documentElement.dataset.theme = 'light'")
    until(browser, light, "a chart keeps dark mode's inks after a change of mode")


def test_outputs_take_the_colours_of_the_page(html, browser):
    opened(browser, html / "notebooks" / "data.html", dark=True)
    outputs = (
        "[...document.querySelectorAll('.cell_output .text_html')].map(output => getComputedStyle(output))"
    )
    grounds = browser.execute_script(f"return {outputs}.map(style => style.backgroundColor)")
    inks = browser.execute_script(f"return {outputs}.map(style => style.color)")
    assert grounds == ["rgba(0, 0, 0, 0)"] * 2
    assert set(inks) == {browser.execute_script("return getComputedStyle(document.body).color")}


def test_text_from_data_and_models_is_inert(html, browser):
    opened(browser, html / "notebooks" / "probing.html")
    assert browser.execute_script("return document.querySelector('.chart-title').textContent") == HOSTILE
    assert browser.execute_script("return document.querySelectorAll('figure.chart img').length") == 0
    opened(browser, html / "notebooks" / "data.html")
    assert HOSTILE in browser.execute_script("return document.querySelector('article').textContent")


def test_search_works_from_a_file(html, browser):
    opened(browser, html / "search.html", query="?q=preflight")
    until(
        browser, "return document.querySelectorAll('#search-results li a').length > 0", "search finds nothing"
    )


def test_every_link_leads_somewhere(html):
    soups = {path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser") for path in pages(html)}
    anchors = {path: {tag["id"] for tag in soup.find_all(id=True)} for path, soup in soups.items()}
    for path, soup in soups.items():
        for link in soup.select("a[href], img[src], script[src], link[rel=stylesheet]"):
            address = urlsplit(link.get("href") or link.get("src") or "")
            if address.scheme:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            assert target.exists(), f"{path.relative_to(html)} links to {address.path}, which does not exist"
            if address.fragment and target in anchors and link.name == "a":
                assert unquote(address.fragment) in anchors[target], (
                    f"{path.relative_to(html)}: no #{address.fragment}"
                )


def test_pages_can_be_read_without_seeing_them(html):
    for path in pages(html):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        shown = path.relative_to(html)
        assert soup.html.get("lang"), shown
        assert soup.title and soup.title.string, shown
        assert all(view.get("aria-label") for view in soup.select(".chart-view")), (
            f"{shown}: a chart without words"
        )
        if path.name not in ("search.html", "genindex.html"):
            assert len(soup.select("article h1")) == 1, (
                f"{shown} has {len(soup.select('article h1'))} main headings"
            )


def test_runs_have_pages_and_missing_ones_are_marked(html):
    text = (html / "runs.html").read_text(encoding="utf-8")
    assert text.count("evaluation <em>missing</em>") == 1
    assert "training <em>missing</em>" not in text
    assert (html / "runs" / "train-llama3-seed0.html").exists()
    assert not (html / "runs" / "evaluate-llama3-seed0.html").exists()


def test_launch_buttons_open_sources(html):
    for page, source in (
        ("runs/train-llama1-seed0", "notebooks/train.ipynb"),
        ("notebooks/data", "notebooks/data.ipynb"),
    ):
        text = (html / f"{page}.html").read_text(encoding="utf-8")
        assert f"https://colab.research.google.com/github/someone/barn/blob/main/{source}" in text
        assert f"https://mybinder.org/v2/gh/someone/barn/main?urlpath=lab/tree/{source}" in text


def test_the_book_folder_leads_to_its_first_page(html):
    entrance = html.parents[1] / "index.html"
    assert "url=_build/html/index.html" in entrance.read_text(encoding="utf-8")
    assert (entrance.parent / "_build/html/index.html").exists()


def test_nothing_of_the_machine_is_in_the_pages(html):
    for path in [*pages(html), *html.rglob("*.ipynb")]:
        assert "/home/somebody" not in path.read_text(encoding="utf-8"), path.name
