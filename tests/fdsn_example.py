"""The request for recorded earthquakes that the book's page on extending shows, and variants of it."""

import re
from typing import Any

import yaml

from barnlib.paths import ROOT

PAGE = (ROOT / "book" / "extend.md").read_text(encoding="utf-8")
(EXAMPLE,) = re.findall(r"```{code-block} yaml\n:caption: march/earthquakes\.yaml\n(.*?)```", PAGE, re.DOTALL)


def example(**changes: Any) -> dict[str, Any]:
    """What the page's YAML holds; ``events__x`` changes a nested key, and None takes a key away."""
    request = yaml.safe_load(EXAMPLE)
    for key, value in changes.items():
        *outer, last = key.split("__")
        part = request
        for name in outer:
            part = part[name]
        part[last] = value
        if value is None:
            del part[last]
    return request
