"""CITATION.cff is valid, and the page on citing says what it says."""

import re

import pytest
import yaml

from barnlib.paths import ROOT
from barnlib.report import citation

FILE = ROOT / "book" / "CITATION.cff"


def test_the_file_has_what_the_format_requires():
    read = citation.read_citation(FILE)
    assert read["cff-version"] == "1.2.0" and read["type"] in ("software", "dataset")
    for work in (read, *read["references"]):
        assert work["title"] and work["type"] in citation.KINDS
        assert all("name" in author or "family-names" in author for author in work["authors"])


def test_version_and_licence_are_the_projects():
    read, project = citation.read_citation(FILE), (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for key in ("version", "license"):
        assert re.search(rf'^{key} = "(.*)"$', project, re.MULTILINE)[1] == read[key]


def test_the_paper_is_the_one_of_the_bibliography():
    (paper,) = citation.read_citation(FILE)["references"]
    entry = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert paper["url"] in entry and str(paper["year"]) in entry
    assert all(author["family-names"] in entry for author in paper["authors"])


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "CITATION.cff"
    path.write_text(yaml.safe_dump({"cff-version": "1.2.0", "message": "cite", "title": "it"}))
    with pytest.raises(ValueError, match="requires 'authors'"):
        citation.read_citation(path)


def test_the_page_has_words_and_bibtex():
    work = {
        "type": "article",
        "title": "On barns",
        "authors": [{"family-names": "Ox"}, {"name": "The Farm"}],
        "year": 2026,
        "url": "https://example.org",
    }
    assert citation.words(work) == "Ox, The Farm. 2026. *On barns*. https://example.org."
    entry = citation.bibtex(work)
    assert entry.startswith("@misc{ox2026,\n") and "author = {Ox and {The Farm}}" in entry
    page = citation.page(citation.read_citation(FILE))
    assert page.count("```bibtex") == 2 and "## This study" in page and "## The paper" in page
