"""What a backbone knows from text: losses and answers against plain loops, scores of answers that are known."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, LlamaForCausalLM

from barnlib import text_probe
from barnlib.corpus import KINDS, WORD_QUESTIONS, documents
from barnlib.data.descriptions import (
    COORDINATE_QUESTIONS,
    description_facts,
    write_coordinates,
    write_description,
)
from barnlib.data.earthquakes import sample_earthquake
from barnlib.text_probe import answer_texts, nats_per_byte, text_accuracy

SEED = 5
PROMPTS = (
    "A red circle.\nQuestion: is it red?\nAnswer:",
    "Hello",
    "a large thing at the top left, and more",
    "Describe the picture. Is there a red circle? yes",
    "no",
)


@pytest.fixture(scope="module")
def tokenizer(tiny_llama):
    return AutoTokenizer.from_pretrained(tiny_llama)


@pytest.fixture
def model(tiny_llama) -> LlamaForCausalLM:
    """The tiny Llama with its logits farther apart, so that what it writes depends on what it reads."""
    model = LlamaForCausalLM.from_pretrained(tiny_llama, dtype=torch.float32).eval()
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    return model


@pytest.mark.parametrize("held_out", [True, False])
@pytest.mark.parametrize("context", [1024, 48])
def test_loss_per_byte_against_a_plain_loop(model, tokenizer, monkeypatch, held_out: bool, context: int):
    """Token by token. A token of a byte-level tokenizer is written with one character for each of its bytes."""
    monkeypatch.setattr(text_probe, "DOCUMENTS", 2)
    model.config.max_position_embeddings = context
    expected = {}
    for kind in KINDS:
        stream, nats, size = documents(kind, SEED, held_out=held_out), 0.0, 0
        for _ in range(2):
            tokens = tokenizer.tokenize(next(stream).text)[: min(context, 512) - 1]
            ids = [tokenizer.bos_token_id, *tokenizer.convert_tokens_to_ids(tokens)]
            with torch.no_grad():
                logprobs = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
            nats -= sum(float(logprobs[at, following]) for at, following in enumerate(ids[1:]))
            size += sum(map(len, tokens))
        expected[kind] = nats / size
    assert nats_per_byte(model, tokenizer, SEED, held_out=held_out) == pytest.approx(expected, abs=1e-4)


def plain_answer(model: LlamaForCausalLM, tokenizer, prompt: str, limit: int) -> list[int]:
    """Greedy ids after a prompt, one forward of the whole text for each: no cache, no padding, no batch."""
    ids = [tokenizer.bos_token_id, *tokenizer.convert_tokens_to_ids(tokenizer.tokenize(prompt))]
    written: list[int] = []
    while len(written) < limit and written[-1:] != [tokenizer.eos_token_id]:
        with torch.no_grad():
            written.append(int(model(input_ids=torch.tensor([ids + written])).logits[0, -1].argmax()))
    return written


@pytest.mark.parametrize("stop", [None, "</s>", "\n"])
def test_answers_in_batches_are_those_of_a_plain_loop(model, tokenizer, monkeypatch, stop: str | None):
    """Free, and where the output rows are swapped so that what one answer has third ends every answer that has it."""
    monkeypatch.setattr(text_probe, "NEW_TOKENS", 6)
    monkeypatch.setattr(text_probe, "BATCH", 2)
    free = [plain_answer(model, tokenizer, prompt, 6) for prompt in PROMPTS]
    assert len(set(map(tuple, free))) == len(PROMPTS), "the answers depend on the prompts"
    if stop is not None:
        (end,) = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(stop))
        swapped = [end, free[0][2]]
        with torch.no_grad():
            model.lm_head.weight[swapped] = model.lm_head.weight[swapped[::-1]]
    expected = []
    for prompt in PROMPTS:
        text = tokenizer.decode(plain_answer(model, tokenizer, prompt, 6), skip_special_tokens=True)
        expected.append(text.strip(" ").split("\n")[0].strip())
    assert answer_texts(model, tokenizer, PROMPTS) == expected
    if stop is not None:
        whole = tokenizer.decode(free[0])
        assert whole.strip(" ").startswith(expected[0]) and len(expected[0]) < len(whole.strip(" "))


class Reader:
    """A model and its tokenizer in one: a token is a character, and what is written is a function of the prompt."""

    bos_token_id, pad_token_id = 0, 1

    def __init__(self, answer: Callable[[str], str]) -> None:
        self.answer = answer

    def __call__(self, text: str, *, add_special_tokens: bool):
        assert not add_special_tokens
        return type("Encoding", (), {"input_ids": [ord(character) for character in text]})

    def decode(self, ids: torch.Tensor, *, skip_special_tokens: bool) -> str:
        return "".join(chr(one) for one in ids.tolist() if one > self.pad_token_id)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def generate(self, *, input_ids, attention_mask, max_new_tokens, stop_strings, tokenizer):
        assert tokenizer is self and stop_strings == ["\n"]
        assert torch.equal(attention_mask, (input_ids != self.pad_token_id).long())
        prompts = [self.decode(row, skip_special_tokens=True) for row in input_ids]
        rows = [[ord(character) for character in self.answer(prompt)][:max_new_tokens] for prompt in prompts]
        longest = max(map(len, rows))
        written = torch.tensor([row + [self.pad_token_id] * (longest - len(row)) for row in rows])
        return torch.cat([input_ids, written], dim=1)


EARTHQUAKE = dataclasses.replace(
    sample_earthquake(np.random.default_rng(3)), latitude_deg=-12.4, longitude_deg=179.9
)
FACTS = description_facts(EARTHQUAKE)
CARD_NAMES = ("description", "coordinates_in_words", "coordinates_as_json")


@pytest.fixture
def small(monkeypatch):
    """Three scenes with four questions each; three cards of one earthquake."""
    for name, value in (
        ("SCENES", 3),
        ("QUESTIONS_EACH", 4),
        ("CARDS", 3),
        ("BATCH", 5),
        ("NEW_TOKENS", 400),
    ):
        monkeypatch.setattr(text_probe, name, value)
    monkeypatch.setattr(text_probe, "text_earthquake", lambda rng: EARTHQUAKE)


def asked(prompt: str) -> str:
    """Which of the card's questions it is."""
    question = prompt.split("\nQuestion: ")[-1].removesuffix("\nAnswer:")
    if question in COORDINATE_QUESTIONS:
        return "coordinates_as_json"
    return "coordinates_in_words" if question in WORD_QUESTIONS else "description"


def card_accuracies(answers: dict[str, str]) -> dict[str, float]:
    """Accuracies on the cards of a model that gives one answer to each of their three questions."""
    reader = Reader(lambda prompt: answers.get(asked(prompt), ""))
    found = text_accuracy(reader, reader, SEED)
    assert all(found[name]["n"] == 3 for name in CARD_NAMES)
    return {name: found[name]["accuracy"] for name in CARD_NAMES}


def told(**changes: object) -> str:
    return write_description(FACTS | changes, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("point", "accuracy"),
    [
        ((-12.4, 179.9), 1.0),
        ((-13.3, 179.9), 1.0),  # 0.9 degrees south
        ((-13.5, 179.9), 0.0),  # 1.1 degrees south
        ((-12.4, -179.3), 1.0),  # 0.8 degrees east, over the date line
        ((-12.4, -178.9), 0.0),  # 1.2 degrees east
        ((-12.4, 178.7), 0.0),  # 1.2 degrees west
        ((12.4, 179.9), 0.0),
    ],
)
def test_coordinates_are_right_within_a_degree(small, point: tuple[float, float], accuracy: float):
    words = f"The epicentre is at {point[0]}, {point[1]}."
    answers = {"coordinates_in_words": words, "coordinates_as_json": write_coordinates(*point)}
    assert card_accuracies(answers) == {
        "description": 0.0,
        "coordinates_in_words": accuracy,
        "coordinates_as_json": accuracy,
    }


@pytest.mark.parametrize(
    ("answer", "in_words"),
    [(f"It is {write_coordinates(-12.4, 179.9)}", 1.0), ("12.4 S, 179.9 E", 1.0), ("I do not know.", 0.0)],
)
def test_json_must_be_the_whole_answer(small, answer: str, in_words: float):
    found = card_accuracies({"coordinates_as_json": answer, "coordinates_in_words": answer})
    assert (found["coordinates_as_json"], found["coordinates_in_words"]) == (0.0, in_words)


def test_a_description_counts_its_right_facts(small):
    assert len(FACTS) == 6
    assert card_accuracies({"description": told()})["description"] == 1.0
    wrong = {"distance_deg": FACTS["distance_deg"] + 3, "p_time_s": FACTS["p_time_s"] + 50}
    assert card_accuracies({"description": told(**wrong)})["description"] == pytest.approx(4 / 6, abs=5e-4)
    assert card_accuracies({"description": told() + "\n" + told()})["description"] == 1.0, (
        "the first line counts"
    )


def test_scene_answers_must_be_the_word_itself(small):
    """A model that knows the answer to every question but writes half of them in capitals."""
    truth = {
        prompt: (name, str(answer), number % 2 == 0)
        for number, (name, prompt, answer) in enumerate(
            text_probe._scene_prompts(np.random.default_rng([SEED, 99]))
        )
    }
    assert len(truth) == 12

    def answer(prompt: str) -> str:
        _, word, small_letters = truth.get(prompt, ("", "", False))
        return f" {word} \nQuestion: more?" if small_letters else word.upper() + "!"

    reader = Reader(answer)
    found = text_accuracy(reader, reader, SEED)
    right = {name: [kept for one, _, kept in truth.values() if one == name] for name, _, _ in truth.values()}
    assert {name: one for name, one in found.items() if name not in CARD_NAMES} == {
        name: {"accuracy": round(float(np.mean(kept)), 3), "n": len(kept)} for name, kept in right.items()
    }
