"""The reference of barnlib, from its docstrings, without importing it.

In:  the sources of a package.
Out: MyST pages, one for each package: of each module its docstring, then each public class and function with its
     signature and docstring.
Next: ``barnlib.report.book`` puts them into the book under ``api/``. A page for each module would be several times as
many pages as the rest of the book has, and the theme writes the whole table of contents into every page. For the
same reason a page's contents list its modules and not all that is in them: Sphinx copies them for every other page.

Sources are parsed, not imported: the book is built where there may be no torch, and nothing runs. A docstring is text,
not markup: it is escaped but for what is set in backticks, so that no docstring can break a page or the build.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SECTIONS = {"Args", "Attributes", "Raises", "Returns", "Yields"}
LISTED = {"Args", "Attributes", "Raises"}  # "name: what it is", one or several
FLOW = re.compile(r"^(In|Out|Next):\s+")  # of a module: what flows in, what flows out, where it goes next
CODE = re.compile(r":\w+:`~?([^`]+)`|``([^`]+)``|`([^`]+)`|\b([\w/]+\.py)\b")
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
CONTENTS = "---\ntocdepth: 2\n---\n\n"  # the page's own contents end at the second level of headings
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """One module: its name without the package's, its docstring, and its syntax tree."""

    name: str
    docstring: str
    tree: ast.Module

    @property
    def page(self) -> str:
        """The page that it stands on, without suffix."""
        return f"api/{self.name.rpartition('.')[0] or 'barnlib'}"

    @property
    def target(self) -> str:
        """What a link to it names."""
        return f"api-{self.name}"

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        return self.docstring.split("\n\n")[0].replace("\n", " ").strip()


def modules(package: Path) -> list[Module]:
    """The package's modules that have something public, in order of their names.

    Raises:
        ValueError: a module without a docstring; names it.
    """
    found = []
    for path in sorted(package.rglob("*.py")):
        name = ".".join(path.relative_to(package).with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        docstring = ast.get_docstring(tree)
        if not docstring:
            raise ValueError(
                f"{path} has no docstring: say what flows in, what flows out, where it goes next"
            )
        if path.stem != "__init__" and any(_public(tree.body)):
            found.append(Module(name, docstring, tree))
    return found


def index(found: Sequence[Module]) -> str:
    """A table of all modules, each with its link and the first line of its docstring."""
    lines = ["| Module | What it does |", "| --- | --- |"]
    lines += [
        f"| [{one.name}](#{one.target}) | {_inline(one.summary, {}).replace('|', '&#124;')} |"
        for one in found
    ]
    return "\n".join(lines) + "\n"


def pages(found: Sequence[Module]) -> dict[str, str]:
    """Page without suffix -> its text: the sections of a package's modules, in their order."""
    made: dict[str, str] = {}
    for module in found:
        package = ".".join(["barnlib", *module.name.split(".")[:-1]])
        made[module.page] = made.get(module.page, f"{CONTENTS}# {package}\n") + "\n" + section(module, found)
    return made


def section(module: Module, others: Sequence[Module]) -> str:
    """What a page says of one module; mentions of other modules become links."""
    targets = _mentioned(other for other in others if other.name != module.name)
    parts = [f"({module.target})=", f"## barnlib.{module.name}", text(module.docstring, targets)]
    for node in _public(module.tree.body):
        parts += [
            f"### `{node.name}`",
            _listing(signature(node)),
            text(ast.get_docstring(node) or "", targets),
        ]
        if isinstance(node, ast.ClassDef):
            for method in _public(node.body):
                parts += [f"#### `{node.name}.{method.name}`", _listing(signature(method))]
                parts.append(text(ast.get_docstring(method) or "", targets))
    return "\n\n".join(part for part in parts if part) + "\n"


def signature(node: ast.AST) -> str:
    """A function's first line with its decorators that matter, or a class with its fields, as Python source."""
    if isinstance(node, Function):
        decorators = [f"@{ast.unparse(one)}\n" for one in node.decorator_list if _tells(one)]
        returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        one_line = f"def {node.name}({ast.unparse(node.args)}){returns}"
        if len(one_line) > 88:
            one_line = f"def {node.name}(\n    {_wrapped(node.args)},\n){returns}"
        return "".join(decorators) + one_line
    assert isinstance(node, ast.ClassDef)
    bases = f"({', '.join(ast.unparse(base) for base in node.bases)})" if node.bases else ""
    fields = [f"    {ast.unparse(field)}" for field in node.body if _is_field(field)]
    return "\n".join([f"class {node.name}{bases}:" if fields else f"class {node.name}{bases}", *fields])


def text(docstring: str, targets: Mapping[str, str]) -> str:
    """A docstring as MyST: paragraphs, lists of arguments and errors, and indented lines as they are.

    Args:
        targets: what a link to a module names, by how a docstring mentions it.
    """
    blocks = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        blocks += list(_block(block, targets))
    return "\n\n".join(blocks)


def _block(block: str, targets: Mapping[str, str]) -> Iterator[str]:
    head, _, rest = block.partition("\n")
    if head.rstrip(":") in SECTIONS and head.endswith(":"):
        yield f"**{head.rstrip(':')}**"
        body = textwrap.dedent(rest).strip()
        entries = re.split(r"\n(?=\S)", body) if head.rstrip(":") in LISTED else [body]
        yield "\n".join(_entry(entry, head.rstrip(":") in LISTED, targets) for entry in entries)
    elif head.startswith("    "):
        yield f"```text\n{textwrap.dedent(block)}\n```"
    elif head.startswith("|"):
        rows = [line.strip().strip("|").split("|") for line in block.split("\n")]
        yield "\n".join(f"| {' | '.join(_cell(cell, targets) for cell in row)} |" for row in rows)
    elif FLOW.match(head):
        for part in re.split(r"\n(?=(?:In|Out|Next):)", block):
            label, _, said = part.partition(":")
            yield f"**{label}**: {_inline(said, targets)}"
    else:
        yield _inline(block, targets)


def _cell(words: str, targets: Mapping[str, str]) -> str:
    """A cell of a table; the hyphens under its head stay as they are."""
    return words.strip() if set(words.strip()) <= set("-:") else _inline(words, targets)


def _entry(entry: str, listed: bool, targets: Mapping[str, str]) -> str:
    name, colon, said = entry.partition(": ")
    if listed and colon and re.fullmatch(r"[\w, *]+", name):
        return f"- **{_escaped(name)}**: {_inline(said, targets)}"
    return f"- {_inline(entry, targets)}" if listed else _inline(entry, targets)


def _inline(words: str, targets: Mapping[str, str]) -> str:
    """Running text: what names a module is linked, what else is in backticks is code, everything else is escaped."""
    words = " ".join(words.split())
    parts, end = [], 0
    for found in CODE.finditer(words):
        parts.append(_escaped(words[end : found.start()]))
        code = next(group for group in found.groups() if group)
        mention = code.removesuffix(".py").replace("/", ".").removeprefix("barnlib.")
        if mention in targets and (code.startswith("barnlib.") or code.endswith(".py")):
            parts.append(f"[`{code}`](#{targets[mention]})")
        else:
            parts.append(f"`{code}`" if "`" in found[0] else _escaped(code))
        end = found.end()
    return "".join([*parts, _escaped(words[end:])])


def _mentioned(found: Iterable[Module]) -> dict[str, str]:
    """How a docstring may mention a module -> what a link to it names: in full, or by what only its name ends in."""
    listed = list(found)
    ends = [one.name.rpartition(".")[2] for one in listed]
    by_end = {end: one.target for end, one in zip(ends, listed, strict=True) if ends.count(end) == 1}
    return by_end | {one.name: one.target for one in listed}


def _escaped(words: str) -> str:
    return PUNCTUATION.sub(r"\\\1", words)


def _listing(code: str) -> str:
    return f"```python\n{code}\n```"


def _public(body: Sequence[ast.stmt]) -> Iterator[ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_":
            yield node


def _is_field(node: ast.stmt) -> bool:
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id[0] != "_"


def _tells(decorator: ast.expr) -> bool:
    return ast.unparse(decorator) in ("property", "staticmethod", "classmethod")


def _wrapped(arguments: ast.arguments) -> str:
    """Arguments one a line: split at the commas that no bracket holds."""
    depth, parts, start, source = 0, [], 0, ast.unparse(arguments)
    for place, character in enumerate(source):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append(source[start:place].strip())
            start = place + 1
    return ",\n    ".join([*parts, source[start:].strip()])
