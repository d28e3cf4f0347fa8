"""Pictures with what was asked and answered, as HTML in a notebook's output.

In:  images of a data folder, or just drawn, and texts about them from data files or models: nothing is trusted.
Out: one HTML fragment; images are embedded, every text is escaped, no script, no request.
"""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from IPython.display import HTML
from PIL.Image import Image

MARKS = {True: "✓ ", False: "✗ ", None: ""}
FIGURE = "margin:0;max-width:100%;display:flex;gap:.8rem;align-items:flex-start"
CAPTION = 180  # pixels beside a picture
GRID = "display:flex;flex-wrap:wrap;gap:1.2rem"
LABEL = "opacity:.75;font-size:.85em"


@dataclass(frozen=True)
class Line:
    """One text under a picture: who says it, what, and whether it is right (None where that is no question)."""

    label: str
    text: str
    right: bool | None = None


@dataclass(frozen=True)
class Entry:
    """One picture and its lines; ``image`` is a path relative to the gallery's folder, ``alt`` says what it shows."""

    image: str | Image
    alt: str
    lines: tuple[Line, ...]


def gallery(folder: Path, entries: Sequence[Entry], *, width: int = 128) -> HTML:
    """Pictures side by side, each with its lines; wraps on a narrow screen.

    Args:
        folder: where the images lie.
        entries: what to show.
        width: pixels on screen; small images are enlarged without smoothing.

    Raises:
        ValueError: an image that is not a PNG file inside the folder; names it.
    """
    figures = "".join(_figure(folder, entry, width) for entry in entries)
    return HTML(f'<div class="gallery" style="{GRID}">{figures}</div>')


def _figure(folder: Path, entry: Entry, width: int) -> str:
    png = png_bytes(folder, entry.image)
    # Enlarged pixels stay sharp; a picture that is shown smaller than it is gets smoothed.
    rendering = "pixelated" if int.from_bytes(png[16:20]) <= width else "auto"
    picture = (
        f'<img src="data:image/png;base64,{base64.b64encode(png).decode()}" alt="{html.escape(entry.alt, quote=True)}" '
        f'width="{width}" height="{width}" style="image-rendering:{rendering};flex:none">'
    )
    lines = "".join(
        f'<div><span style="{LABEL}">{html.escape(line.label)}</span> {MARKS[line.right]}{html.escape(line.text)}</div>'
        for line in entry.lines
    )
    caption = f'<figcaption style="overflow-wrap:anywhere">{lines}</figcaption>'
    return f'<figure style="{FIGURE};width:{width + CAPTION}px">{picture}{caption}</figure>'


def png_bytes(folder: Path, image: str | Image) -> bytes:
    """Bytes of a PNG file inside the folder, or of a picture just drawn. Raises as :func:`gallery`."""
    if isinstance(image, Image):
        buffer = BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()
    path = (folder / image).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"{image!r}: expected a PNG file inside {folder}")
    content = path.read_bytes()
    if not content.startswith(b"\x89PNG\r\n\x1a\n"):
        raise ValueError(f"{path}: expected a PNG file, found one that starts with {content[:8]!r}")
    return content
