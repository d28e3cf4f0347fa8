"""How to cite the study, from its ``CITATION.cff``.

In:  ``book/CITATION.cff``, in the Citation File Format 1.2.0.
Out: MyST for the book: the citation in words and as BibTeX, of the study and of the paper whose question it repeats.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REQUIRED = ("cff-version", "message", "title", "authors")  # by the format
KINDS = {"software": "software", "article": "misc"}  # BibTeX; the paper is known as a preprint


def read_citation(path: Path) -> dict[str, Any]:
    """The file's content.

    Raises:
        ValueError: a key that the format requires is missing; names it.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    missing = [key for key in REQUIRED if not content.get(key)]
    if missing:
        raise ValueError(f"{path}: the Citation File Format requires '{missing[0]}'")
    return content


def page(citation: Mapping[str, Any]) -> str:
    """MyST: the message, then each work in words and as BibTeX."""
    works = [citation, *citation.get("references", [])]
    parts = [str(citation["message"])]
    for heading, work in zip(("This study", *["The paper"] * (len(works) - 1)), works, strict=True):
        parts += [f"## {heading}", words(work), f"```bibtex\n{bibtex(work)}\n```"]
    return "\n\n".join(parts) + "\n"


def words(work: Mapping[str, Any]) -> str:
    """One sentence: authors, year, title, version, address; what is not there is left out."""
    title = f"*{work['title']}*" + (f", version {work['version']}" if "version" in work else "")
    parts = [", ".join(_names(work)), str(work.get("year", "")), title, work.get("url", "")]
    return ". ".join(part for part in parts if part) + "."


def bibtex(work: Mapping[str, Any]) -> str:
    """A BibTeX entry; its key is the first author's last word and the year or version."""
    key = _names(work)[0].split()[-1].lower() + str(work.get("year", work.get("version", ""))).replace(
        ".", ""
    )
    fields = {
        "title": work["title"],
        "author": " and ".join(f"{{{name}}}" if " " in name else name for name in _names(work)),
        **{name: str(work[name]) for name in ("year", "version", "url") if name in work},
    }
    lines = [f"  {name} = {{{value}}}" for name, value in fields.items()]
    return f"@{KINDS[work['type']]}{{{key},\n" + ",\n".join(lines) + "\n}"


def _names(work: Mapping[str, Any]) -> list[str]:
    return [author.get("name") or author["family-names"] for author in work["authors"]]
