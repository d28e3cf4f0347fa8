"""Sphinx extension: what a stock Jupyter Book needs to be complete without a network, and honest about its sources.

In:  the book while Sphinx builds it (named in ``book/_config.yml``).
Out: pages whose mathematics is MathML (no MathJax, no script), without thebe (it names a CDN), and whose launch
     buttons open the notebook in git that a page was executed from, not the page's own path.
"""

from typing import Any

from docutils import nodes
from latex2mathml.converter import convert


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx. ``launch_sources`` maps a page's name to the path of its source notebook in git."""
    app.add_config_value("launch_sources", {}, "html")
    app.add_html_math_renderer("mathml", (_inline_math, None), (_display_math, None))
    app.connect("env-updated", _drop_thebe_scripts)
    app.connect("doctree-resolved", _drop_thebe_nodes, priority=900)
    app.connect("html-page-context", _point_launch_buttons, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def mathml(source: str, *, display: bool) -> str:
    r"""MathML of one LaTeX formula.

    Args:
        source: LaTeX without delimiters, for example ``\frac{a}{b}``.
        display: on its own line.
    """
    return convert(source.strip(), display="block" if display else "inline")


def source_of(url: str, page: str, source: str) -> str:
    """The launch URL with the page's own path exchanged for the path of its source notebook."""
    return url.replace(f"{page}.ipynb", source)


def _inline_math(translator: Any, node: nodes.Element) -> None:
    translator.body.append(mathml(node.astext(), display=False))
    raise nodes.SkipNode


def _display_math(translator: Any, node: nodes.Element) -> None:
    translator.body.append(f'<div class="math-display">{mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def _drop_thebe_scripts(app: Any, env: Any) -> None:
    """Take thebe's scripts out of every page; Jupyter Book loads the extension whether it is wanted or not."""
    scripts = getattr(app.builder, "_js_files", [])
    kept = [script for script in scripts if not _is_thebe(script)]
    scripts[:] = kept
    app.registry.js_files[:] = [
        (name, attributes)
        for name, attributes in app.registry.js_files
        if "thebe" not in f"{name} {attributes.get('body', '')}".lower()
    ]


def _is_thebe(script: Any) -> bool:
    body = getattr(script, "attributes", {}).get("body") or ""
    return "thebe" in f"{getattr(script, 'filename', script)} {body}".lower()


def _drop_thebe_nodes(app: Any, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(nodes.raw)):
        if "thebe" in node.astext():
            node.parent.remove(node)


def _point_launch_buttons(app: Any, pagename: str, templatename: str, context: dict, doctree: Any) -> None:
    source = app.config.launch_sources.get(pagename)
    if source is None:
        return
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("url", "").startswith("https://"):  # not the download of the page as executed
                button["url"] = source_of(button["url"], pagename, source)
