"""JSON records: they parse, they vary, and they do not give the coordinate task away."""

import json
import re
from itertools import islice

import numpy as np
import pytest

from barnlib.data.descriptions import COORDINATE_QUESTIONS
from barnlib.data.earthquakes import region_name
from barnlib.structured_text import records

EXACT = re.compile(r'\{"latitude": -?\d+\.\d, "longitude": -?\d+\.\d\}')


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(islice(records(np.random.default_rng(5)), 400))


def test_every_record_is_json_and_keys_vary(texts: list[str]):
    keys: set[str] = set()
    for text in texts:
        if "Question:" not in text:
            keys |= set(re.findall(r'"(\w+)":', json.dumps(json.loads(text))))
    assert len(keys) > 30


def test_the_answer_format_occurs_and_states_what_the_text_says(texts: list[str]):
    asked = [text for text in texts if "Question:" in text]
    assert len(asked) > 20
    for text in asked:
        told, *turns = text.split("\nQuestion: ")
        for turn in turns:
            question, answer = turn.split("\nAnswer: ")
            assert EXACT.fullmatch(answer)
            name = re.search(r"(camp \w+|the town \w+|point \d+)", question)
            assert name is not None
            point = json.loads(answer)
            stated = f"{name[1]} lies at latitude {point['latitude']}, longitude {point['longitude']}."
            assert stated.lower() in told.lower()


def test_no_question_of_the_coordinate_task(texts: list[str]):
    assert not any(question in text for text in texts for question in COORDINATE_QUESTIONS)
    assert not any("epicentre" in text for text in texts)


def test_catalogues_name_the_true_region(texts: list[str]):
    events = [json.loads(text) for text in texts if '"depth_km"' in text]
    lists = [found["events"] if isinstance(found, dict) else found for found in events]
    assert lists
    for event in (event for found in lists for event in found):
        assert event["region"] == region_name(event["position"]["latitude"], event["position"]["longitude"])
