"""The text corpus: kinds, streams, and what must not be in it."""

import re
from itertools import islice

import numpy as np
import pytest

from barnlib import corpus
from barnlib.corpus import KINDS, ask_in_text, card_text, documents, sample_text, scene_text
from barnlib.data.answers import extract_facts, find_coordinates
from barnlib.data.descriptions import COORDINATE_QUESTIONS
from barnlib.data.earthquakes import HELD_OUT_REGIONS, REGIONS
from barnlib.data.reserve import told_in_text
from barnlib.data.scenes import ATTRIBUTES, HELD_OUT, Scene
from barnlib.library_text import common_words
from barnlib.prompts import UNIFORM

THING = re.compile(r"a (small|large) (solid|striped) (\w+) (\w+) (?:at the ([\w ]+)|in the (centre))")

ASKED = re.compile(
    r"(?:what|name the) (size|texture|colour|shape) (?:is|of) the thing (?:at|in) the ([a-z ]+)[?.]"
)
AT = re.compile(r"what is ((?:at|in) the [a-z ]+)\?")


@pytest.fixture(scope="module")
def texts() -> dict[str, list[str]]:
    return {kind: [one.text for one in islice(documents(kind, 7), 150)] for kind in KINDS}


def test_a_stream_repeats_and_others_differ():
    for kind in KINDS:
        one, again, seed, held_out = (
            [document.text for document in islice(documents(kind, *args, **options), 4)]
            for args, options in (((1,), {}), ((1,), {}), ((2,), {}), ((1,), {"held_out": True}))
        )
        assert one == again
        assert one != seed
        assert not set(one) & set(held_out)


def test_unknown_kind_is_refused():
    with pytest.raises(
        ValueError, match="no kind of text 'poems': there are prose, scenes, seismic, structured, repeats"
    ):
        documents("poems", 1)


def test_layout_is_the_uniform_prompt():
    template = UNIFORM
    expected = (
        template.prefix.removeprefix("<image>")
        + template.before_question
        + "Is it?"
        + template.after_question
        + template.before_answer
        + "yes"
    )
    assert ask_in_text("Is it?", "yes") == expected


def test_scene_texts_show_no_held_out_pair_and_answer_what_the_caption_says(texts: dict[str, list[str]]):
    checked = 0
    for text in texts["scenes"]:
        caption, *turns = text.split("\nQuestion: ")
        things = [match.groups() for match in THING.finditer(caption)]
        assert 3 <= len(things) <= 6
        assert not {(colour, shape) for _, _, colour, shape, *_ in things} & HELD_OUT
        pairs = [turn.split("\nAnswer: ") for turn in turns]
        about = [question for question, _ in pairs if not AT.fullmatch(question)]
        about = [question for question in about if question not in corpus.AGAIN_QUESTIONS]
        assert corpus.QUESTIONS[0] <= len(about) <= corpus.QUESTIONS[1]
        assert len(pairs) - len(about) in (1, 2), "the whole caption again, or two things of it"
        for question, answer in pairs:
            if question in corpus.AGAIN_QUESTIONS:
                assert caption.endswith(f"{answer}.")
            if where := AT.fullmatch(question):
                assert f"{answer} {where[1]}" in caption
            asked = ASKED.fullmatch(question)
            if asked:
                (here,) = [thing for thing in things if asked[2] in thing[4:]]
                assert here[list(ATTRIBUTES).index(asked[1])] == answer
                checked += 1
    assert checked > 50


def test_held_out_pairs_are_never_named_in_scene_texts(texts: dict[str, list[str]]):
    for text in texts["scenes"]:
        assert not any(f"{colour} {shape}" in text for colour, shape in HELD_OUT)


def test_only_the_text_side_is_told(monkeypatch: pytest.MonkeyPatch):
    """What scene_text and card_text describe is on the text's side: seen where they take it."""
    seen: list = []

    def watch(made):
        seen.append((made, told_in_text(made)))
        return seen[-1][1]

    monkeypatch.setattr(corpus, "told_in_text", watch)
    rng = np.random.default_rng(8)
    for write in (scene_text, card_text, corpus.atlas_text):
        for _ in range(5):
            seen.clear()
            write(rng)
            assert seen[-1][1]
    scene = corpus.text_scene(rng)
    assert isinstance(scene, Scene)
    assert told_in_text(scene)
    assert told_in_text(corpus.text_earthquake(rng, held_out=True))


def test_card_texts_agree_with_themselves(texts: dict[str, list[str]]):
    cards = [text for text in texts["seismic"] if "S" in text and "The epicentre is near" in text]
    assert len(cards) > 80
    for text in cards:
        caption, *turns = text.split("\nQuestion: ")
        stated = extract_facts(caption)
        answers = [turn.split("\nAnswer: ")[1] for turn in turns]
        words = next(answer for answer in answers if answer.startswith("The epicentre is near"))
        latitude, longitude = find_coordinates(words)
        assert f"latitude {latitude}, longitude {longitude}" in caption
        description = max(answers, key=lambda answer: len(extract_facts(answer)))
        facts = extract_facts(description)
        assert len(facts) == 6
        assert all(facts[name] == value for name, value in stated.items())


def test_held_out_regions_are_named_only_in_the_atlas(texts: dict[str, list[str]]):
    named = set()
    for text in texts["seismic"]:
        held_out = [region for region in HELD_OUT_REGIONS if region.rstrip(".") in text]
        named |= set(held_out)
        if held_out:
            assert "seconds" not in text  # a caption or description would give times
    assert named
    atlas = "\n".join(text for text in texts["seismic"] if "seconds" not in text)
    assert sum(region.rstrip(".") in atlas for region in REGIONS) > len(REGIONS) / 2


def test_the_coordinate_format_occurs_only_in_structured_text(texts: dict[str, list[str]]):
    assert any('{"latitude": ' in text for text in texts["structured"])
    for kind in ("prose", "scenes", "seismic"):
        assert not any('"latitude"' in text for text in texts[kind])
    for kind in KINDS:
        assert not any(question in text for text in texts[kind] for question in COORDINATE_QUESTIONS)


def test_repeats_write_a_line_again(texts: dict[str, list[str]]):
    for text in texts["repeats"]:
        line, *again = text.split("\n")
        assert again == [line] * len(again) and len(again) + 1 in corpus.REPEATS
        assert corpus.REPEATED_WORDS[0] <= len(line.split(" ")) <= corpus.REPEATED_WORDS[1]
        assert set(line.split(" ")) <= set(common_words())


def test_half_of_the_captions_come_again(texts: dict[str, list[str]]):
    cards = [text for text in texts["seismic"] if "The epicentre is near" in text]
    again = [text for text in cards if text.count(text.split("\n")[0]) == 2]
    assert 0.35 < len(again) / len(cards) < 0.65


def test_structured_text_is_half_code(texts: dict[str, list[str]]):
    code = [text for text in texts["structured"] if re.match(r"(async )?def |@", text)]
    assert len(code) == len(texts["structured"]) // 2


def test_sample_text_keeps_the_shares():
    shares = {"prose": 0.0, "scenes": 0.5, "seismic": 0.3, "structured": 0.2, "repeats": 0.0}
    texts = list(sample_text(shares, 9, 40_000))
    assert 40_000 <= sum(map(len, texts)) < 46_000
    scenes = sum(len(text) for text in texts if THING.search(text))
    assert scenes == pytest.approx(20_000, rel=0.06)
