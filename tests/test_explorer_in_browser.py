"""The explorer in a real browser, from file://, without a network: its choices, hostile texts, thousands of items."""

import base64
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from barnlib.report import explorer
from tests.in_browser import LOCAL, PHONE, opened, requests, until

pytestmark = pytest.mark.slow
HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
MOST_SECONDS = 2.0  # of one choice among thousands of items, on a busy machine; about a tenth of it is usual
COUNT = "document.querySelector('.explorer-count').textContent"


def item(number: int, right: tuple[bool, bool], answer: str = "red", **given: str) -> list:
    """One item with two backbones and two seeds; the second seed is right where the first is wrong."""
    plain = {
        "question": f"what colour is thing {number}?",
        "reference": "red",
        "id": f"item-{number}",
    } | given
    answers = [[[answer, int(one), 0.5 + number % 50 / 100], ["blue", int(not one), None]] for one in right]
    kind = ("colour", "count")[number % 2]
    about = [number % 2, "test", kind, "easy", "images/a.png", plain["question"], plain["reference"]]
    return [plain["id"], *about, answers]


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, browser) -> Callable[[list], Path]:
    """Writes a page with these items and opens it."""

    def show(items: list, **how) -> Path:
        folder = tmp_path_factory.mktemp("explorer")
        (folder / "images").mkdir()
        (folder / "images" / "a.png").write_bytes(base64.b64decode(PIXEL))
        names = [("one", "First", "#0072B2"), ("two", "Second", "#D55E00")]
        backbones = [{"name": name, "title": title, "colour": colour} for name, title, colour in names]
        tasks = [["vqa_scene", "VQA-Scene"], ["seismic_coordinates", "Coordinates"]]
        data = {"backbones": backbones, "seeds": [0, 1], "tasks": tasks, "items": items}
        (folder / "items.js").write_text(explorer.script(data), encoding="utf-8")
        for name in explorer.OWN:
            (folder / name).write_text((Path(explorer.__file__).parent / name).read_text(encoding="utf-8"))
        (folder / "index.html").write_text(explorer.PAGE.format(title="Made up"), encoding="utf-8")
        requests(browser)
        opened(browser, folder / "index.html", **how)
        return folder

    return show


def choose(browser, control: str, value: str) -> None:
    """Choose as a reader does: the value changes, and the page is told."""
    browser.execute_script(
        "const control = document.getElementById(arguments[0]); control.value = arguments[1];"
        "control.dispatchEvent(new Event('change'));",
        f"explorer-{control}",
        value,
    )


def count(browser) -> str:
    return browser.execute_script(f"return {COUNT}")


def test_items_are_chosen_by_task_type_and_who_is_right(shown, browser):
    shown([item(0, (True, True)), item(1, (True, False)), item(2, (False, True)), item(3, (False, False))])
    assert count(browser) == "4 of 4 items"
    choose(browser, "is-one", "right")
    assert count(browser) == "2 of 4 items"
    choose(browser, "is-two", "wrong")
    assert count(browser) == "1 of 4 items"
    assert "thing 1?" in browser.execute_script(
        "return document.querySelector('.explorer-items').textContent"
    )
    choose(browser, "seed", "1")  # where the other seed is right, the first was wrong
    assert "thing 2?" in browser.execute_script(
        "return document.querySelector('.explorer-items').textContent"
    )
    choose(browser, "is-two", "")
    choose(browser, "is-one", "")
    choose(browser, "task", "vqa_scene")
    assert count(browser) == "2 of 4 items"
    kinds = "return [...document.getElementById('explorer-type').options].map(option => option.text)"
    assert browser.execute_script(kinds) == ["any", "colour"]
    choose(browser, "type", "colour")
    address = browser.execute_script("return location.hash")
    assert "task=vqa_scene" in address and "seed=1" in address
    browser.refresh()
    until(browser, f"return {COUNT} === '2 of 4 items'", "the address does not keep the choices")


def test_answers_and_confidence_are_shown_for_every_backbone_and_seed(shown, browser):
    shown([item(0, (True, False), "red")])
    cells = (
        "return [...document.querySelectorAll('.explorer tbody tr')].map(row => row.innerText.split('\\t'))"
    )
    assert browser.execute_script(cells) == [
        ["First", "red", "✓ right", "50 %"],
        ["Second", "red", "✗ wrong", "50 %"],
    ]
    choose(browser, "seed", "")
    assert browser.execute_script(cells) == [
        ["First, seed 0", "red", "✓ right", "50 %"],
        ["First, seed 1", "blue", "✗ wrong", "–"],
        ["Second, seed 0", "red", "✗ wrong", "50 %"],
        ["Second, seed 1", "blue", "✓ right", "–"],
    ]


def test_hostile_texts_stay_text(shown, browser):
    hostile = item(0, (True, False), HOSTILE, question=HOSTILE, reference=HOSTILE, id=HOSTILE)
    shown([hostile])
    text = browser.execute_script("return document.querySelector('.explorer').textContent")
    assert text.count("onerror=") == 5, "question, reference, id and two answers are all there"
    assert browser.execute_script("return document.querySelectorAll('.explorer script').length") == 0
    assert browser.execute_script("return document.querySelectorAll('.explorer img').length") == 1
    assert browser.execute_script("return document.title") == "Explorer: Made up"
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_five_thousand_items_do_not_freeze_it(shown, browser):
    items = [item(n, (n % 3 == 0, n % 5 == 0), "words " * 20) for n in range(5000)]
    shown(items)
    assert count(browser) == "5,000 of 5,000 items"
    assert browser.execute_script("return document.querySelectorAll('.explorer-items > li').length") == 20
    for control, value in (
        ("task", "vqa_scene"),
        ("is-one", "wrong"),
        ("order", "sure"),
        ("seed", ""),
        ("task", ""),
    ):
        start = time.monotonic()
        choose(browser, control, value)
        assert time.monotonic() - start < MOST_SECONDS, control
    browser.execute_script("document.querySelector('.explorer-choices button').click()")
    start = time.monotonic()
    browser.execute_script(
        "const search = document.getElementById('explorer-words'); search.value = 'thing 4321?';"
        "search.dispatchEvent(new Event('input'));"
    )
    until(browser, f"return {COUNT} === '1 of 5,000 items'", "the search finds nothing", seconds=10)
    assert time.monotonic() - start < MOST_SECONDS + 0.3, "words"
    outside = [url for url in requests(browser) if not url.startswith(LOCAL)]
    assert not outside


def test_pages_are_turned_by_keyboard(shown, browser):
    shown([item(n, (True, True)) for n in range(45)])
    browser.execute_script("document.querySelectorAll('.explorer-pages button')[1].focus()")
    from selenium.webdriver.common.keys import Keys

    browser.switch_to.active_element.send_keys(Keys.ENTER)
    where = "return document.querySelector('.explorer-pages span').textContent"
    assert browser.execute_script(where) == "Page 2 of 3"
    assert browser.execute_script("return document.querySelectorAll('.explorer-items > li').length") == 20


def test_nothing_to_show_is_said_and_a_phone_scrolls_one_way(shown, browser):
    shown([item(0, (True, True))], size=PHONE)
    wide = "const page = document.documentElement; return page.scrollWidth - page.clientWidth"
    assert browser.execute_script(wide) <= 1
    choose(browser, "is-two", "wrong")
    assert count(browser) == "0 of 1 items"
    assert "No item meets" in browser.execute_script(
        "return document.querySelector('.explorer-items').textContent"
    )
