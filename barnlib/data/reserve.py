"""Which scenes and earthquakes may be told in the text corpus, and which may be drawn.

In:  a scene or an earthquake. Out: whether it is on the text's side. Next: corpus.py writes only what is on
the text's side, and pictures.py may draw only the rest, so that no backbone has read the facts of a picture that
it is asked about.

The side is one bit of the SHA-256 of what a caption can say. It is a property of the scene or earthquake
itself, so it holds for every seed and study, and it is independent of every attribute, so that nothing is
unbalanced by it.
"""

import hashlib
import json

from barnlib.data.earthquakes import Earthquake
from barnlib.data.scenes import Scene


def scene_key(scene: Scene) -> str:
    """What a caption says of a scene, whatever the wording: attributes and position of every thing."""
    things = sorted((t.position, t.size, t.texture, t.colour, t.shape) for t in scene.things)
    return json.dumps(things)


def earthquake_key(earthquake: Earthquake) -> str:
    """Epicentre and station to 0.1 degrees: earthquakes with the same key lie at the same distance."""
    places = (
        earthquake.latitude_deg,
        earthquake.longitude_deg,
        earthquake.station_latitude_deg,
        earthquake.station_longitude_deg,
    )
    return json.dumps([f"{place:.1f}" for place in places])


def told_in_text(made: Scene | Earthquake) -> bool:
    """True: it may be in the text corpus and is never drawn. False: it may be drawn and is in no corpus."""
    key = scene_key(made) if isinstance(made, Scene) else earthquake_key(made)
    return hashlib.sha256(key.encode()).digest()[0] < 128
