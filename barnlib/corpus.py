"""The text that a backbone made here reads before it sees an image: five kinds of documents from a seed.

In:  a seed, `barnlib.data` (scenes and questions, earthquakes and descriptions) and the sources of installed
     packages.
Out: endless streams of `Document`, one for each kind, which tokenization.py learns from and pretrain.py
     packs. The shares of the kinds are the generation's own (``corpus`` in ``params/backbones/NAME.yaml``).

- ``prose``: English documentation: docstrings of pandas, scipy, scikit-learn and ObsPy.
- ``scenes``: the dense caption of a scene, then questions on it with their answers in the layout of the later
  prompt, and the caption again, or single things of it, on request. No scene shows a held-out pair of colour and
  shape.
- ``seismic``: the caption of an event card, then questions with answers in words: the description task's own,
  single facts, and the epicentre's coordinates in words; in half of the texts the caption again, on request; and
  sentences that tie region names to coordinates.
  Captions are of regions that are not held out; the sentences name all regions, as a world atlas would.
- ``structured``: half Python code of the same packages, half JSON records. Only here does the format
  ``{"latitude": .., "longitude": ..}`` occur, and never as the answer to a question about an epicentre.
- ``repeats``: words of the prose in random order, written two or three times. Finding an earlier occurrence and
  copying what followed is what answering from a caption needs (Olsson et al. 2022, arXiv 2209.11895), and
  templated text teaches it late: every word of a caption has many different successors.

No document tells a scene or an earthquake that a study may draw (`barnlib.data.reserve`), whatever the seeds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from barnlib.data import descriptions, earthquakes, questions, scenes
from barnlib.data.reserve import told_in_text
from barnlib.library_text import code, common_words, prose
from barnlib.structured_text import records

KINDS = ("prose", "scenes", "seismic", "structured", "repeats")
WHOLE = ("scenes", "seismic", "repeats")
"""Kinds whose documents are never cut: an answer without its caption would teach guessing."""
QUESTIONS = (4, 7)
"""Fewest and most questions on one scene, beside what is asked about its caption."""
AGAIN_SHARE = 0.5
"""Share of captions that are asked for as a whole, later in the same document."""
REPEATED_WORDS, REPEATS = (6, 25), (2, 3)
"""Fewest and most words of a repeated text, and how often it stands there."""
ATLAS_SHARE = 0.2
"""Share of seismic documents that are about regions instead of one earthquake."""

AGAIN_QUESTIONS = ("repeat the description.", "say again what is there.", "list the things.")
CARD_AGAIN_QUESTIONS = ("Repeat the text.", "Say it again.")
WORD_QUESTIONS = (
    "Where is the epicentre? Answer in words.",
    "Give the coordinates of the epicentre in words.",
    "At which latitude and longitude did the earthquake happen?",
)
FACT_QUESTIONS = {
    "magnitude_class": ("How strong is the earthquake?", "What is the magnitude class?"),
    "depth_class": ("How deep is the earthquake?", "What is the depth class?"),
    "region": ("In which region is the epicentre?", "What is the region?"),
    "p_time_s": ("When does P arrive, in seconds?", "What is the P time in seconds?"),
    "s_minus_p_s": ("How many seconds after P does S arrive?", "What is the S minus P time in seconds?"),
}
ATLAS_WORDINGS = (
    "{region} lies in the {north_south} and the {east_west} of the map, near {at}.",
    "A point at {at} belongs to the region {region}.",
    "The point at {at} lies at the {position} of the map, {north_south} and {east_west}.",
    "Question: Which region is at {at}?\nAnswer: {region}",
    "Question: Where does the region {region} lie?\nAnswer: Near {at}, {north_south} and {east_west}.",
)


@dataclass(frozen=True)
class Document:
    """One text of the corpus; `kind` is one of `KINDS`."""

    kind: str
    text: str


def documents(kind: str, seed: int, *, held_out: bool = False) -> Iterator[Document]:
    """Documents of one kind without end; the same seed gives the same stream.

    Args:
        kind: one of `KINDS`; each has a random stream of its own.
        seed: of the generation.
        held_out: another stream, for measuring: other scenes, earthquakes and records, and source files that
            the training stream never reads.

    Raises:
        ValueError: unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no kind of text '{kind}': there are {', '.join(KINDS)}")
    rng = np.random.default_rng([seed, KINDS.index(kind), int(held_out)])
    if kind == "prose":
        texts = prose(rng, held_out=held_out)
    elif kind == "structured":
        texts = _in_turn(code(rng, held_out=held_out), records(rng))
    else:
        writers: dict[str, Callable[[np.random.Generator], str]] = {
            "scenes": scene_text,
            "seismic": seismic_text,
            "repeats": repeated_text,
        }
        texts = iter(lambda: writers[kind](rng), None)
    return (Document(kind, text) for text in texts)


def sample_text(shares: Mapping[str, float], seed: int, characters: int) -> Iterator[str]:
    """Texts of all kinds in the given shares, about `characters` in all: what a tokenizer learns from."""
    for kind in KINDS:
        left = characters * shares[kind]
        stream = documents(kind, seed)
        while left > 0:
            text = next(stream).text
            left -= len(text)
            yield text


def ask_in_text(question: str, answer: str) -> str:
    """A question and its answer as the uniform prompt lays them out, to follow a text."""
    return f"\nQuestion: {question}\nAnswer: {answer}"


def scene_text(rng: np.random.Generator) -> str:
    """Caption, questions and answers of one scene on the text's side, without held-out pairs."""
    scene = text_scene(rng)
    caption = scenes.scene_caption(scene, rng)
    asked = [
        (one.question, one.answer)
        for one in questions.ask(scene, rng, int(rng.integers(QUESTIONS[0], QUESTIONS[1] + 1)))
    ]
    things = scenes.in_reading_order(scene)
    if rng.random() < AGAIN_SHARE:
        asked.append((_pick(AGAIN_QUESTIONS, rng), scenes.list_things(scene)))
    else:
        for index in rng.permutation(len(things))[:2]:
            thing = things[int(index)]
            asked.append((f"what is {scenes.place(thing.position)}?", f"a {scenes.describe(thing)}"))
    return caption + _in_any_order(asked, rng)


def seismic_text(rng: np.random.Generator) -> str:
    """A card in words and questions on it, or, in `ATLAS_SHARE` of the documents, where regions lie."""
    return atlas_text(rng) if rng.random() < ATLAS_SHARE else card_text(rng)


def card_text(rng: np.random.Generator) -> str:
    """Caption of one event card; then, in random order, description, coordinates in words and three facts."""
    earthquake = text_earthquake(rng)
    facts = descriptions.description_facts(earthquake)
    asked = [
        (descriptions.description_questions(rng), descriptions.write_description(facts, rng)),
        (_pick(WORD_QUESTIONS, rng), coordinates_in_words(earthquake.latitude_deg, earthquake.longitude_deg)),
    ]
    for name in rng.permutation(list(FACT_QUESTIONS))[:3]:
        asked.append((_pick(FACT_QUESTIONS[str(name)], rng), str(facts[str(name)])))
    caption = descriptions.card_caption(earthquake, rng)
    if rng.random() < AGAIN_SHARE:
        asked.append((_pick(CARD_AGAIN_QUESTIONS, rng), caption))
    return caption + _in_any_order(asked, rng)


def repeated_text(rng: np.random.Generator) -> str:
    """Words in random order, a line of them two or three times."""
    words, count = common_words(), int(rng.integers(REPEATED_WORDS[0], REPEATED_WORDS[1] + 1))
    line = " ".join(words[int(index)] for index in rng.integers(len(words), size=count))
    return "\n".join([line] * int(rng.integers(REPEATS[0], REPEATS[1] + 1)))


def coordinates_in_words(latitude_deg: float, longitude_deg: float) -> str:
    """`The epicentre is near latitude -12.4, longitude 143.9.`, one decimal each."""
    return f"The epicentre is near latitude {latitude_deg:.1f}, longitude {longitude_deg:.1f}."


def atlas_text(rng: np.random.Generator) -> str:
    """Where three regions lie, each by a point in it: a statement, or a question and its answer."""
    lines = []
    for _ in range(3):
        held_out = bool(rng.random() < len(earthquakes.HELD_OUT_REGIONS) / len(earthquakes.REGIONS))
        point = text_earthquake(rng, held_out=held_out)
        wording = ATLAS_WORDINGS[int(rng.integers(len(ATLAS_WORDINGS)))]
        lines.append(
            descriptions.filled(
                wording,
                {
                    "region": point.region,
                    "at": f"latitude {point.latitude_deg:.1f}, longitude {point.longitude_deg:.1f}",
                    **descriptions.coarse_place(point.latitude_deg, point.longitude_deg),
                },
            )
        )
    return "\n".join(lines)


def text_scene(rng: np.random.Generator) -> scenes.Scene:
    """A scene on the text's side, without held-out pairs of colour and shape."""
    while not told_in_text(scene := scenes.sample_scene(rng, held_out=False)):
        pass
    return scene


def text_earthquake(rng: np.random.Generator, *, held_out: bool = False) -> earthquakes.Earthquake:
    """An earthquake on the text's side, from the held-out regions or from the others."""
    while not told_in_text(earthquake := earthquakes.sample_earthquake(rng, held_out=held_out)):
        pass
    return earthquake


def _in_any_order(asked: Sequence[tuple[str, str]], rng: np.random.Generator) -> str:
    return "".join(ask_in_text(*asked[int(index)]) for index in rng.permutation(len(asked)))


def _in_turn(*streams: Iterator[str]) -> Iterator[str]:
    """One text of each stream after another: equally many documents, not characters, of each."""
    while True:
        for stream in streams:
            yield next(stream)


def _pick(wordings: Sequence[str], rng: np.random.Generator) -> str:
    return wordings[int(rng.integers(len(wordings)))]
