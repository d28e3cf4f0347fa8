"""Vega-Lite charts in the book, complete without a network.

In:  the Vega-Lite specification that a notebook stored as an output (``application/vnd.vegalite.v6+json``).
Out: HTML: the title and subtitle as text, the specification beside an empty view; and one script that holds
     vega, vega-lite, vega-embed (from vl-convert) and ``vega.js``, loaded only by pages that have a chart.
Next: ``vega.js`` draws each chart in the reader's browser, as wide as the page and in its colour mode.

``VegaRenderer`` is registered under ``myst_nb.mime_renderers`` in pyproject.toml; the Sphinx extension
(:func:`setup`) is named in ``book/_config.yml``.
"""

import html
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import vl_convert
from docutils import nodes

from barnlib.report.page_scripts import add_script

MIME_TYPES = ("application/vnd.vegalite.v6+json", "application/vnd.vegalite.v5+json")
VEGALITE_VERSION = "6.4"  # of the bundle; a chart that altair 6 wrote for 6.1 is drawn by it unchanged
SCRIPT = "charts.js"


class VegaRenderer:
    """Draws a Vega-Lite output as a figure; other builders than HTML take the PNG that lies beside it."""

    mime_priority_overrides: ClassVar[list[tuple[str, str, int | None]]] = [
        (builder, mime_type, 1) for builder in ("html", "dirhtml", "singlehtml") for mime_type in MIME_TYPES
    ]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[nodes.Element] | None:
        """HTML figure for a Vega-Lite output; None for anything else (the next renderer takes it).

        Args:
            renderer: myst-nb's renderer, not used.
            data: myst-nb's ``MimeData``; its content is the specification, as a dictionary or as JSON text.
            inline: whether the place takes inline elements only; a figure is none.
        """
        if inline or data.mime_type not in MIME_TYPES:
            return None
        content = data.content
        spec = content if isinstance(content, Mapping) else json.loads(content)
        return [nodes.raw(text=figure(spec), format="html", classes=["output", "chart-output"])]


def figure(spec: Mapping[str, Any]) -> str:
    """HTML of one chart.

    Title and subtitle leave the drawing and become text, so that they wrap on a phone and can be searched. Every
    text from the specification is escaped, and ``<`` cannot end the script element that carries it.

    Args:
        spec: Vega-Lite specification; ``title`` a text or ``{text, subtitle}``, ``description`` its alt text.

    Raises:
        ValueError: the specification has no description.
    """
    spec = dict(spec)
    title, subtitle = _titles(spec.pop("title", None))
    description = spec.get("description")
    if not description:
        raise ValueError(
            f"chart '{title or 'without a title'}' has no description; set .properties(description=...)"
        )
    caption = "".join(
        f'<span class="chart-{part}">{html.escape(text)}</span>'
        for part, text in (("title", title), ("subtitle", subtitle))
        if text
    )
    # Inside <script> only "<" matters: as < it is the same JSON and cannot open or close an element.
    data = json.dumps(spec, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    alt = html.escape(str(description), quote=True)
    return (
        f'<figure class="chart"><figcaption>{caption}</figcaption>'
        f'<div class="chart-view" role="img" aria-label="{alt}"></div>'
        f'<script type="application/json">{data}</script>'
        f"<noscript><p>{alt}</p></noscript></figure>"
    )


def bundle() -> str:
    """JavaScript that draws every chart of a page: vega, vega-lite, vega-embed and ``vega.js``, about 0.9 MB."""
    # None is allowed and gives the libraries alone; vl_convert's annotation says otherwise.
    libraries = vl_convert.javascript_bundle(cast(Any, None), vl_version=VEGALITE_VERSION)
    own = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")
    # The bundle declares one-letter globals that Sphinx's scripts also use: a function keeps them apart.
    return f"(function () {{\n{libraries}\n}})();\n{own}"


def setup(app: Any) -> dict[str, bool]:
    """Sphinx extension: write the script once, and add it to the pages that have a chart."""
    return add_script(app, SCRIPT, bundle, where='class="chart-view"')


def _titles(title: Any) -> tuple[str, str]:
    """Title and subtitle as one line each, from any form that Vega-Lite allows."""
    if isinstance(title, Mapping):
        return _line(title.get("text")), _line(title.get("subtitle"))
    return _line(title), ""


def _line(text: Any) -> str:
    return " ".join(map(str, text)) if isinstance(text, list) else str(text or "")
