"""The built book in a real browser: every page, from file://, with networking off.

A small study (two backbones, one seed, one run missing) with hand-made executed notebooks goes through the real book
source, so that prose, configuration, theme and scripts are those that readers get. Needs Chromium and its driver.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from small_book import HOSTILE, LONG_TABLE, write_study

from barnlib import parameters
from barnlib.paths import ROOT
from barnlib.report import book
from barnlib.report.theme import DARK, INK
from tests.in_browser import AXE, LOCAL, PHONE, opened, requests, until

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
        yield book.build("smoke", notebooks=sources, source=with_a_hub(folder / "source")).parent


def with_a_hub(folder: Path) -> Path:
    """The book's own source, its configuration naming a JupyterHub."""
    shutil.copytree(ROOT / "book", folder, ignore=shutil.ignore_patterns("_build"))
    path = folder / "_config.yml"
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    config["launch_buttons"]["jupyterhub_url"] = "https://hub.example.org"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


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


def test_pages_are_accessible(html, browser):
    """axe finds nothing serious, light or dark."""
    script = AXE.read_text(encoding="utf-8")
    for path in pages(html):
        for dark in (False, True):
            opened(browser, path, dark=dark)
            browser.execute_script(script)
            found = browser.execute_async_script(
                "const done = arguments[arguments.length - 1];"
                "axe.run({runOnly: ['wcag2a', 'wcag2aa']}).then(done, (error) => done({error: error.message}));"
            )
            assert "error" not in found, found["error"]
            serious = [
                f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
                for one in found["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert not serious, f"{path.relative_to(html)} {'dark' if dark else 'light'}: {serious}"


def test_tables_are_sorted_and_filtered_by_keyboard(html, browser):
    from selenium.webdriver.common.keys import Keys

    opened(browser, html / "notebooks" / "verdicts.html")
    table = (
        "[...document.querySelectorAll('article table')].find((one) => one.textContent.includes('row 12'))"
    )
    column = f"return [...{table}.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[1].textContent)"
    first = browser.execute_script(column)
    assert first == [value for _, value in LONG_TABLE]
    numbers = sorted(float(value.removesuffix(" %")) for _, value in LONG_TABLE if value != "–")
    browser.execute_script(f"{table}.tHead.rows[0].cells[1].querySelector('button').focus()")
    for order, state in ((numbers, "ascending"), (numbers[::-1], "descending")):
        browser.switch_to.active_element.send_keys(Keys.ENTER)
        sorted_now = browser.execute_script(column)
        assert [float(value.removesuffix(" %")) for value in sorted_now[:-1]] == order
        assert sorted_now[-1] == "–", "what is missing stays last"
        assert (
            browser.execute_script(f"return {table}.tHead.rows[0].cells[1].getAttribute('aria-sort')")
            == state
        )
    browser.switch_to.active_element.send_keys(Keys.ENTER)
    assert browser.execute_script(column) == first
    field = browser.find_element("css selector", ".table-filter input")
    field.send_keys("ROW 12")
    left = [value for name, value in LONG_TABLE if "12" in name + value]
    assert browser.execute_script(column) == left and len(left) < len(LONG_TABLE)
    assert (
        browser.execute_script("return document.querySelector('.table-filter [role=status]').textContent")
        == f"{len(left)} of 13 rows"
    )


def test_the_explorer_is_loaded_where_it_is_shown_only(html, browser):
    opened(browser, html / "notebooks" / "explorer.html")
    until(
        browser, "return document.querySelectorAll('.explorer-items > li').length === 1", "no item is shown"
    )
    assert HOSTILE in browser.execute_script("return document.querySelector('.explorer').textContent")
    picture = "const image = document.querySelector('.explorer img'); return image.complete && image.naturalWidth > 0"
    until(browser, picture, "the picture is not loaded")
    others = [path for path in pages(html) if "explorer/items.js" in path.read_text(encoding="utf-8")]
    assert others == [html / "notebooks" / "explorer.html"]


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


def test_the_contents_of_the_reference_list_modules(html):
    soup = BeautifulSoup((html / "api" / "tasks.html").read_text(encoding="utf-8"), "html.parser")
    listed = [link.text.strip() for link in soup.select(".bd-sidebar-secondary .toc-entry a")]
    assert "barnlib.tasks.registry" in listed and all(name.startswith("barnlib.") for name in listed)
    assert soup.select("article h3")


def test_runs_have_pages_and_missing_ones_are_marked(html):
    text = (html / "runs.html").read_text(encoding="utf-8")
    assert text.count("evaluation <em>missing</em>") == 1
    assert "training <em>missing</em>" not in text
    assert (html / "runs" / "train-llama3-seed0.html").exists()
    assert not (html / "runs" / "evaluate-llama3-seed0.html").exists()


def test_launch_buttons_open_sources(html):
    repository, opened_pages = quote("https://github.com/someone/barn", safe="/"), 0
    for path in pages(html):
        soup = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        hosts = ("colab.research", "mybinder", "hub.example.org")
        links = {a["href"] for a in soup.select("a[href]") if any(host in a["href"] for host in hosts)}
        page = path.relative_to(html).with_suffix("").as_posix()
        if page.split("/")[0] not in ("notebooks", "runs") or "/" not in page:
            assert not links, f"{page} is no notebook"
            continue
        source = f"notebooks/{path.stem.split('-')[0]}.ipynb"
        assert links == {
            f"https://colab.research.google.com/github/someone/barn/blob/main/{source}",
            f"https://mybinder.org/v2/gh/someone/barn/main?urlpath=lab/tree/{source}",
            f"https://hub.example.org/hub/user-redirect/git-pull?repo={repository}"
            f"&urlpath=lab/tree/barn/{source}&branch=main",
        }, page
        opened_pages += 1
    assert opened_pages == len(list(html.glob("notebooks/*.html"))) + len(list(html.glob("runs/*.html")))
    assert opened_pages > 3


def test_the_cell_for_colab_is_not_shown(html):
    assert "REPOSITORY = " in (html / "_sources" / "notebooks" / "data.ipynb").read_text(encoding="utf-8")
    for path in [path for path in pages(html) if path.parent.name in ("notebooks", "runs")]:
        assert "google.colab" not in path.read_text(encoding="utf-8"), path.name


def test_the_book_folder_leads_to_its_first_page(html):
    entrance = html.parents[1] / "index.html"
    assert "url=_build/html/index.html" in entrance.read_text(encoding="utf-8")
    assert (entrance.parent / "_build/html/index.html").exists()


def test_nothing_of_the_machine_is_in_the_pages(html):
    for path in [*pages(html), *html.rglob("*.ipynb")]:
        assert "/home/somebody" not in path.read_text(encoding="utf-8"), path.name
