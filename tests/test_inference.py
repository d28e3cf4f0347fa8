"""What a model says does not depend on what else it is asked at the same time."""

import pytest
import torch

from barnlib.assembly import assemble
from barnlib.data.build import load_items
from barnlib.data.turns import Turn
from barnlib.inference import TOGETHER, choice_logprobs, greedy_answers, reference_answers
from tests.small_model import untrained_model


@pytest.fixture(scope="module")
def parts(tiny_study):
    return assemble(tiny_study, "plain")


@pytest.fixture(scope="module")
def model(parts):
    return untrained_model(parts, seed=3).eval()


@pytest.fixture(scope="module")
def items(tiny_study):
    return [item for item in load_items(tiny_study, "test") if item.task == "vqa_scene"]


@pytest.fixture(scope="module")
def asked(parts, items):
    return [(parts.rows[item.image], item.turn.asked) for item in items]


def one_at_a_time(parts):
    """The same parts, of a study that answers one image at a time."""
    evaluation = parts.study.evaluation.model_copy(update={"batch_images": 1})
    return type(parts)(
        parts.study.model_copy(update={"evaluation": evaluation}),
        parts.backbone,
        parts.prompter,
        parts.cached,
    )


@torch.inference_mode()
def test_alone_and_together_the_answers_are_the_same(parts, model, asked):
    together = greedy_answers(parts, model, asked, 6)
    assert set(together) == set(asked)
    for key in asked:
        alone = greedy_answers(one_at_a_time(parts), model, [key], 6)[key]
        assert (alone.text, alone.tokens, alone.stop) == (
            together[key].text,
            together[key].tokens,
            together[key].stop,
        )
        assert together[key].logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert together[key].first_logprob == pytest.approx(alone.first_logprob, abs=1e-4)


@torch.inference_mode()
def test_many_questions_on_one_image_are_answered_each(parts, model):
    """More than stand together in one packed sequence, some of them twice."""
    questions = [Turn(f"How many objects are there, please, {number}?") for number in range(TOGETHER + 3)]
    found = greedy_answers(parts, model, [(0, question) for question in questions + questions[:2]], 3)
    assert list(found) == [(0, question) for question in questions]
    for question in (questions[0], questions[-1]):
        alone = greedy_answers(parts, model, [(0, question)], 3)[0, question]
        assert found[0, question].text == alone.text


@torch.inference_mode()
def test_references_come_in_the_order_asked(parts, model, items, asked):
    pairs = [(row, item.turn) for (row, _), item in zip(asked, items, strict=True)]
    order = [4, 0, 3, 1, 5, 2]
    assert len(pairs) == len(order)
    forward = reference_answers(parts, model, pairs)
    mixed = reference_answers(one_at_a_time(parts), model, [pairs[number] for number in order])
    for number, (logprob, tokens) in zip(order, mixed, strict=True):
        assert tokens == forward[number][1] == len(parts.prompter.answer_ids(items[number].answer))
        assert logprob == pytest.approx(forward[number][0], abs=1e-4)
    assert len({round(logprob, 3) for logprob, _ in forward}) > 1


@torch.inference_mode()
def test_each_choice_has_the_logprob_of_its_own_answer(parts, model, items, asked):
    rows = [row for row, _ in asked]
    known = reference_answers(parts, model, [(row, item.turn) for row, item in zip(rows, items, strict=True)])
    found = choice_logprobs(parts, model, items, rows, known)
    assert sum(map(bool, found)) >= 2, "items with a closed list"
    for row, item, listed in zip(rows, items, found, strict=True):
        if not item.choices:
            assert listed is None
            continue
        assert tuple(listed) == item.choices
        for choice, logprob in listed.items():
            [(expected, _)] = reference_answers(parts, model, [(row, Turn(item.question, choice))])
            assert logprob == pytest.approx(expected, abs=1e-4)
