"""What the grammar allows is what the expression matches, for every kind of tokenizer that the study has."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from barnlib.components import checkpoint_path
from barnlib.data.answers import coordinate_stage
from barnlib.data.descriptions import write_coordinates
from barnlib.decoding import greedy
from barnlib.grammar import Grammar
from barnlib.packing import pack
from barnlib.parameters import load_backbone, load_study
from barnlib.paths import ROOT
from barnlib.prompts import Prompter, reserve_tokens
from barnlib.tasks.seismic_coordinates import FORM
from tests.small_model import ASKED, Case

SPARE = 7  # logits beyond the tokenizer's entries, as where an embedding was padded
PLACES = {"latitude": st.floats(-90, 90), "longitude": st.floats(-180, 180)}


def load(checkpoint) -> Grammar:
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    reserve_tokens(tokenizer)
    prompter = Prompter(tokenizer, "uniform", 4)
    grammar = Grammar(prompter, FORM, len(tokenizer) + SPARE)
    grammar.prompter = prompter
    return grammar


@pytest.fixture(scope="module", params=load_study("nano").backbones)
def grammar(request) -> Grammar:
    checkpoint = checkpoint_path(load_backbone(request.param, "nano").checkpoint)
    if not (ROOT / checkpoint / "tokenizer.json").is_file():
        pytest.skip(f"{checkpoint} is not there")
    return load(checkpoint)


def leaves_at(grammar: Grammar, ids: list[int]) -> int | None:
    """Where an answer's ids first leave the grammar."""
    for step, number in enumerate(ids):
        if not grammar.allowed(torch.tensor([ids[:step]], dtype=torch.int64))[0, number]:
            return step
    return None


@settings(deadline=None, max_examples=25)
@given(**PLACES)
def test_every_reference_answer_is_allowed_to_its_end(grammar, latitude, longitude):
    text = write_coordinates(latitude, longitude)
    assert leaves_at(grammar, grammar.prompter.answer_ids(text)) is None


@pytest.mark.parametrize(
    "text",
    [
        '{"latitude": 90.1, "longitude": 5.5}',
        '{"latitude": 9.5, "longitude": -180.5}',
        '{"latitude": 05.5, "longitude": 5.5}',
        '{"latitude": 5, "longitude": 5.5}',
        '{"latitude": 5.5, "longitude": 5.5} ',
        "in Fiji",
    ],
)
def test_anything_else_is_not(grammar, text):
    assert leaves_at(grammar, grammar.prompter.answer_ids(text)) is not None


def test_only_the_stop_id_follows_a_complete_answer_and_no_spare_logit_ever(grammar):
    ids = grammar.prompter.answer_ids(write_coordinates(-12.4, 143.9))
    last = grammar.allowed(torch.tensor([ids[:-1]]))[0]
    assert last.nonzero()[:, 0].tolist() == [grammar.prompter.eos_id]
    masks = grammar.allowed(torch.tensor([ids[:3], ids[:3]]))
    assert masks.shape == (2, len(grammar.prompter.tokenizer) + SPARE) and torch.equal(masks[0], masks[1])
    assert not masks[:, -SPARE:].any()


def test_an_answer_outside_the_grammar_is_refused(grammar):
    with pytest.raises(ValueError, match=r"ids \[\d+\] leave the grammar"):
        grammar.allowed(torch.tensor([[grammar.prompter.eos_id]]))


def test_an_expression_that_is_none_is_refused(grammar):
    with pytest.raises(ValueError, match=r"the expression '\(' cannot be followed"):
        Grammar(grammar.prompter, "(", 10_000)


def test_a_random_model_writes_coordinates_where_it_may_write_nothing_else(case: Case):
    packed = pack(case.prompter, ASKED)
    grammar = Grammar(case.prompter, FORM, case.plain.lm_head.out_features)
    free = greedy(case.model, packed, case.features, 60)
    forced = greedy(case.model, packed, case.features, 60, grammar.allowed)
    texts = [case.prompter.decode(ids) for ids in forced.ids]
    assert {coordinate_stage(text)[0] for text in texts} == {"range"} and set(forced.stop) == {"eos"}
    assert {coordinate_stage(case.prompter.decode(ids))[0] for ids in free.ids} == {"text"}
    assert len(set(texts)) > 1, "the model still decides what is written"
