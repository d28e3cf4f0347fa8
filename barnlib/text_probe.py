"""What a backbone that is made here knows before it sees an image, measured on text alone.

In:  a language model and its tokenizer.
Out: nats per byte by kind of text, and the share of right answers to questions on scenes and event cards whose
     captions are given as text; pretrain.py writes both into the backbone's card.

The accuracies say how much of a task is reading and reasoning that the backbone can do already; what then is
missing on images is perception. Scenes, earthquakes and files are those of the held-out streams.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from barnlib.corpus import KINDS, WORD_QUESTIONS, documents, text_earthquake, text_scene
from barnlib.data import answers, descriptions, earthquakes, questions, scenes

DOCUMENTS = 60
"""Documents of each kind whose loss is measured."""
SCENES, QUESTIONS_EACH = 80, 12
CARDS = 120
BATCH = 40
NEW_TOKENS = 90
NEAR_DEG = 1.0
"""A coordinate is right within this much in latitude and in longitude: the text says it to 0.1."""


@torch.no_grad()
def nats_per_byte(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int, *, held_out: bool
) -> dict[str, float]:
    """Nats per byte of text by kind: per byte, because tokens of two tokenizers cannot be compared.

    Args:
        seed: the generation's corpus seed.
        held_out: from the stream that training never reads, or from the start of the training stream.
    """
    longest = min(512, model.config.max_position_embeddings)
    result = {}
    for kind in KINDS:
        stream = documents(kind, seed, held_out=held_out)
        nats, size = 0.0, 0
        for document in (next(stream) for _ in range(DOCUMENTS)):
            ids = tokenizer(document.text, add_special_tokens=False).input_ids[: longest - 1]
            ids = torch.tensor([[tokenizer.bos_token_id, *ids]], device=model.device)
            logits = model(input_ids=ids).logits[0, :-1]
            nats += F.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            size += len(str(tokenizer.decode(ids[0, 1:])).encode())
        result[kind] = round(nats / size, 4)
    return result


def text_accuracy(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, seed: int) -> dict[str, dict]:
    """Share of right answers by question, with n: scene questions by type, seismic description, coordinates.

    `coordinates_in_words` and `coordinates_as_json` ask for the same numbers, which the caption states; JSON
    must be the whole answer. `description` is the share of its facts that the answer states rightly.
    """
    rng = np.random.default_rng([seed, 99])
    scores: dict[str, list[float]] = defaultdict(list)
    asked = [*_scene_prompts(rng), *_card_prompts(rng)]
    written = answer_texts(model, tokenizer, [prompt for _, prompt, _ in asked])
    for (name, _, truth), answer in zip(asked, written, strict=True):
        scores[name].append(_score(name, answer, truth))
    return {
        name: {"accuracy": round(float(np.mean(right)), 3), "n": len(right)} for name, right in scores.items()
    }


@torch.no_grad()
def answer_texts(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str]
) -> list[str]:
    """Greedy answers up to the first line break, EOS or `NEW_TOKENS`; batches padded on the left."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    answers_by_index: dict[int, str] = {}
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        rows = [
            [tokenizer.bos_token_id, *tokenizer(prompts[i], add_special_tokens=False).input_ids]
            for i in chosen
        ]
        longest = max(map(len, rows))
        ids = torch.tensor([[tokenizer.pad_token_id] * (longest - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
        made = cast(Any, model).generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=NEW_TOKENS,
            stop_strings=["\n"],
            tokenizer=tokenizer,
        )
        for index, row in zip(chosen, made[:, longest:], strict=True):
            text = str(tokenizer.decode(row, skip_special_tokens=True))
            answers_by_index[index] = text.strip(" ").split("\n")[0].strip()
    return [answers_by_index[index] for index in range(len(prompts))]


def _scene_prompts(rng: np.random.Generator) -> Iterator[tuple[str, str, object]]:
    for _ in range(SCENES):
        scene = text_scene(rng)
        caption = scenes.scene_caption(scene, rng)
        for asked in questions.ask(scene, rng, QUESTIONS_EACH):
            yield asked.question_type, f"{caption}\nQuestion: {asked.question}\nAnswer:", asked.answer


def _card_prompts(rng: np.random.Generator) -> Iterator[tuple[str, str, object]]:
    for _ in range(CARDS):
        earthquake = text_earthquake(rng)
        caption = descriptions.card_caption(earthquake, rng)
        asked = {
            "description": descriptions.description_questions(rng),
            "coordinates_in_words": WORD_QUESTIONS[int(rng.integers(len(WORD_QUESTIONS)))],
            "coordinates_as_json": descriptions.coordinate_questions(rng),
        }
        for name, question in asked.items():
            yield name, f"{caption}\nQuestion: {question}\nAnswer:", earthquake


def _score(name: str, answer: str, truth: object) -> float:
    if not isinstance(truth, earthquakes.Earthquake):
        return float(answer == truth)
    if name == "description":
        stated, facts = answers.extract_facts(answer), descriptions.description_facts(truth)
        return sum(stated.get(fact) == value for fact, value in facts.items()) / len(facts)
    read = answers.parse_coordinates if name == "coordinates_as_json" else answers.find_coordinates
    found = read(answer)
    if found is None:
        return 0.0
    near = [abs(found[0] - truth.latitude_deg), abs((found[1] - truth.longitude_deg + 180) % 360 - 180)]
    return float(max(near) <= NEAR_DEG)
