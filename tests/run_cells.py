"""A notebook's cells run in this process: quicker than a kernel, for the tests of what a page does with odd studies."""

import ast
from pathlib import Path
from typing import Any

import altair as alt
import nbformat


def run_cells(path: Path, **parameters: object) -> list[Any]:
    """Run all code cells with these parameters; what each shows is rendered and returned.

    Raises:
        whatever a cell, or the drawing of what it shows, raises.
    """
    names: dict[str, Any] = {}
    shown = []
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        body = ast.parse(cell.source).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        exec(compile(ast.Module(body, []), f"{path.name}, cell {cell.id}", "exec"), names)
        if "parameters" in cell.metadata.get("tags", []):
            names |= parameters
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"{path.name}, cell {cell.id}", "eval"), names)
            shown.append(_rendered(value))
    return shown


def _rendered(value: Any) -> Any:
    if isinstance(value, alt.TopLevelMixin):
        return value.to_json()
    for method in ("_repr_html_", "_repr_markdown_"):
        text = getattr(value, method, lambda: None)()
        if text:
            return text
    return repr(value)
