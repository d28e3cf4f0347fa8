"""barnlib.report.accessible: a bibliography is a list of list items; nothing else changes."""

from barnlib.report.accessible import mended


def test_a_bibliography_is_a_list_of_items():
    entry = '<div role="list" class="citation-list"><div class="citation" role="doc-biblioentry">A book</div></div>'
    assert mended(entry) == entry.replace("doc-biblioentry", "listitem")
    assert mended('<p role="note">text</p>') == '<p role="note">text</p>'
