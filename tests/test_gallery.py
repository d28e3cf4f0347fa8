"""The gallery: nothing from data or models becomes markup, no image from elsewhere is shown."""

import pytest
from PIL import Image

from barnlib.report.gallery import Entry, Line, gallery

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture
def folder(tmp_path):
    Image.new("RGB", (4, 4), "red").save(tmp_path / "one.png")
    (tmp_path / "text.png").write_text("<svg onload=alert(1)>")
    return tmp_path


def test_texts_are_escaped(folder):
    entry = Entry("one.png", HOSTILE, (Line(HOSTILE, HOSTILE, True), Line("model", "red", False)))
    page = gallery(folder, [entry]).data
    assert "<script" not in page and page.count("<img") == 1
    assert "&lt;script&gt;" in page and "✓" in page and "✗ red" in page
    assert 'src="data:image/png;base64,' in page and "http" not in page


def test_a_picture_that_was_just_drawn(folder):
    page = gallery(folder, [Entry(Image.new("RGB", (4, 4), "blue"), "blue", ())]).data
    assert "data:image/png;base64,iVBORw0KGgo" in page and 'alt="blue"' in page


@pytest.mark.parametrize("image", ["../one.png", "text.png", "none.png", "/etc/hostname"])
def test_only_png_files_inside_the_folder(folder, image):
    inner = folder / "inner"
    inner.mkdir()
    with pytest.raises(ValueError, match="expected a PNG file"):
        gallery(inner if image == "../one.png" else folder, [Entry(image, "", ())])
