"""What one part of a picture shows, and where: what scenes and cards say about themselves.

Out: :class:`Phrase`, kept with a :class:`~barnlib.data.records.Picture`; the encoder learns from it, probes read it.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """What one part of a picture shows; ``box`` is (x0, y0, x1, y1) as fractions of the picture, y down."""

    text: str
    box: tuple[float, float, float, float]
