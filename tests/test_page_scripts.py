"""barnlib.report.page_scripts: a script is written once for an HTML book and loaded where it is needed alone."""

from small_sphinx import Sphinx

from barnlib.report import vega
from barnlib.report.page_scripts import add_script


def test_a_script_is_written_for_html_and_for_nothing_else(tmp_path):
    for format, written in (("html", True), ("latex", False)):
        app = Sphinx(tmp_path / format, format)
        assert add_script(app, "own.js", lambda: "“draw”;", where="<b>") == {
            "parallel_read_safe": True,
            "parallel_write_safe": True,
        }
        script = app.build() / "own.js"
        assert script.exists() == written
    assert (tmp_path / "html/built/_static/own.js").read_text(encoding="utf-8") == "“draw”;"


def test_pages_load_the_script_that_they_need(tmp_path):
    app = Sphinx(tmp_path)
    add_script(app, "own.js", lambda: "", where="<b>")
    assert app.page(body="<p><b>bold</b></p>") == ["own.js"]
    assert app.page(body="<p>&lt;b&gt;</p>") == []
    assert app.page() == [], "a page without a body, such as the index"


def test_charts_are_drawn_where_they_are(tmp_path):
    app = Sphinx(tmp_path)
    vega.setup(app)
    assert (app.build() / "charts.js").read_text(encoding="utf-8").startswith("(function () {")
    assert app.page(body=vega.figure({"description": "A chart.", "mark": "point"})) == ["charts.js"]
    assert app.page(body="<p>words</p>") == []
