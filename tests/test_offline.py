"""barnlib.report.offline: formulas without a script, launch links to sources, no thebe."""

import xml.etree.ElementTree as ElementTree
from types import SimpleNamespace

import pytest

from barnlib.report import offline

NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"


@pytest.mark.parametrize("formula", ["a^2", r"\frac{a}{b}", r"\sum_{i=1}^n p_i \log p_i", r"\hat{p} \le 0.5"])
@pytest.mark.parametrize("display", [True, False])
def test_a_formula_becomes_well_formed_mathml(formula, display):
    root = ElementTree.fromstring(offline.mathml(f" {formula} ", display=display))
    assert root.tag == f"{NAMESPACE}math"
    assert root.get("display") == ("block" if display else "inline")


def test_a_formula_keeps_its_symbols():
    root = ElementTree.fromstring(offline.mathml(r"\frac{a}{b} < 2", display=True))
    assert root.find(f".//{NAMESPACE}mfrac") is not None
    assert "".join(root.itertext()) == "ab<2"


def test_launch_buttons_open_the_source_notebook():
    colab = "https://colab.research.google.com/github/o/r/blob/main/runs/train-llama3-seed0.ipynb"
    download = {"type": "link", "url": "../_sources/runs/train-llama3-seed0.ipynb"}
    buttons = [{"type": "link", "url": colab}, {"type": "javascript"}, dict(download)]
    app = SimpleNamespace(
        config=SimpleNamespace(launch_sources={"runs/train-llama3-seed0": "notebooks/train.ipynb"})
    )
    context = {"header_buttons": [{"type": "group", "buttons": buttons}, {"type": "link", "url": "x"}]}
    offline._point_launch_buttons(app, "runs/train-llama3-seed0", "page.html", context, None)
    assert buttons[0]["url"] == "https://colab.research.google.com/github/o/r/blob/main/notebooks/train.ipynb"
    assert buttons[2] == download
    offline._point_launch_buttons(app, "notebooks/data", "page.html", context, None)  # has no other source


def test_thebes_scripts_are_recognised():
    assert offline._is_thebe(SimpleNamespace(filename="sphinx-thebe.js", attributes={}))
    assert offline._is_thebe(
        SimpleNamespace(filename=None, attributes={"body": 'const THEBE_JS_URL = "https://…"'})
    )
    assert not offline._is_thebe(SimpleNamespace(filename="charts.js", attributes={"body": None}))
