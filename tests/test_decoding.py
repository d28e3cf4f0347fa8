"""Answers decoded together are those of ``generate``, sample by sample."""

import torch

from barnlib.data.turns import Turn
from barnlib.decoding import greedy
from barnlib.packing import pack
from tests.small_model import ASKED, CONVERSATION, FLAT, IMAGE_TOKENS, NATS, Case, alone


def test_packed_greedy_answers_are_those_of_generate(case: Case):
    limit = 12
    answers = greedy(case.model, pack(case.prompter, ASKED), case.features, limit)
    assert len(answers.ids) == len(FLAT)
    for number, (row, question, _) in enumerate(FLAT):
        sample = alone(case, row, question, None)
        out = case.plain.generate(
            **sample, max_new_tokens=limit, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        expected = out.sequences[0, sample["input_ids"].shape[1] :].tolist()
        assert answers.ids[number] == expected
        logprobs = torch.stack(
            [logits[0].log_softmax(-1)[i] for logits, i in zip(out.logits, expected, strict=True)]
        )
        torch.testing.assert_close(answers.logprob[number], logprobs.sum(), **NATS)
        torch.testing.assert_close(answers.first_logprob[number], logprobs[0], **NATS)
        assert answers.stop[number] == ("eos" if expected[-1] in case.prompter.eos_ids else "length")


def test_answers_after_earlier_turns_are_those_of_generate_on_the_whole_conversation(case: Case):
    limit = 10
    asked = [turn.asked for turn in CONVERSATION]
    answers = greedy(case.model, pack(case.prompter, [(1, asked), (0, asked[1:])]), case.features, limit)
    written = [(1, turn) for turn in asked] + [(0, turn) for turn in asked[1:]]
    for number, (row, turn) in enumerate(written):
        text = "".join(
            f"\nQuestion: {q}\nAnswer: {a}{case.prompter.tokenizer.eos_token}" for q, a in turn.history
        )
        text += f"\nQuestion: {turn.question}\nAnswer:"
        ids = case.prompter.tokenizer(text, add_special_tokens=False).input_ids
        prompt = [case.prompter.bos_id, *[case.prompter.image_token_id] * IMAGE_TOKENS, *ids]
        out = case.plain.generate(
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            pixel_values=case.pixels[row : row + 1],
            max_new_tokens=limit,
            do_sample=False,
        )
        assert answers.ids[number] == out[0, len(prompt) :].tolist()
    alone = greedy(case.model, pack(case.prompter, [(1, [Turn(asked[2].question)])]), case.features, limit)
    assert answers.ids[2] != alone.ids[0], "what was said before is read"


def test_branches_that_stop_at_different_steps_stay_exact(case: Case):
    """Makes ids that the model writes at different steps into stop ids, so that branches and whole rows end early."""
    packed = pack(case.prompter, ASKED)
    settings = case.plain.generation_config
    before = settings.eos_token_id
    try:
        settings.eos_token_id = [case.prompter.pad_id]  # never written
        free = greedy(case.model, packed, case.features, 10).ids
        frequent = [free[0][2], free[3][1], free[4][5]]
        settings.eos_token_id = frequent
        answers = greedy(case.model, packed, case.features, 10)
    finally:
        settings.eos_token_id = before
    for ids, stop, all_ids in zip(answers.ids, answers.stop, free, strict=True):
        end = next((at for at, number in enumerate(all_ids) if number in frequent), None)
        assert ids == (all_ids if end is None else all_ids[: end + 1])
        assert stop == ("length" if end is None else "eos")
    assert len({len(ids) for ids in answers.ids}) > 1


def test_an_answer_does_not_depend_on_what_is_packed_beside_it(case: Case):
    together = greedy(case.model, pack(case.prompter, ASKED), case.features, 8)
    apart = [
        greedy(case.model, pack(case.prompter, [(r, [Turn(q)])]), case.features, 8).ids[0] for r, q, _ in FLAT
    ]
    assert together.ids == apart


def test_greedy_logprob_is_the_reference_logprob_of_its_own_answer(case: Case):
    """Two ways to the same number: step by step with a cache, and teacher-forced in one forward."""
    answers = greedy(case.model, pack(case.prompter, ASKED), case.features, 6)
    packed = pack(case.prompter, ASKED)
    for number, (row, question, _) in enumerate(FLAT):
        ids = case.prompter.prompt_ids(question) + answers.ids[number]
        with torch.inference_mode():
            logits = case.plain(
                input_ids=torch.tensor([ids]), pixel_values=case.pixels[row : row + 1]
            ).logits[0]
        count = len(answers.ids[number])
        logprobs = (
            logits[-count - 1 : -1].log_softmax(-1).gather(1, torch.tensor(answers.ids[number])[:, None])
        )
        torch.testing.assert_close(answers.logprob[number], logprobs.sum(), **NATS)
    assert packed.labels.max() < 0
