"""The native arm: each model's own chat template, taken apart into segments and put together again exactly."""

import pytest
from transformers import PreTrainedTokenizerFast

from barnlib.data.turns import Turn
from barnlib.packing import pack
from barnlib.prompt_checks import check_batch
from barnlib.prompts import UNIFORM, Prompter, reserve_tokens, template_of

# The templates that LLaMA-2 chat and LLaMA-3 instruct are documented to use, without system message; that of Qwen2 and
# others (ChatML); and that of Mistral 7B instruct.
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"
)
CHATML = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
MISTRAL = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + '[/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
ENDS = [(LLAMA2, "</s>"), (LLAMA3, "<|eot_id|>"), (CHATML, "<|im_end|>"), (MISTRAL, "</s>")]
HEADERS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>"]
TURNS = [
    Turn("What colour is it?", "blue"),
    Turn("Where?", '{"latitude": -12.4, "longitude": 143.9}'),
    Turn("How many?", "3"),
    Turn("And now?", "two", (("How many?", "3"),)),
    Turn("Why?", "A strong shallow earthquake", (("How many?", "3"), ("And now?", "two"))),
    Turn("Why?", "no", (("Where is 1?", "blue"), ("And now?", "two"), ("How many?", "3"))),
]


def written(tokenizer, turn: Turn, end: str) -> str:
    """A whole conversation as the chat template writes it, up to the last answer's end, without the space that
    LLaMA-2's puts before the end of an answer: an answer is trained to end at once."""
    pairs = [*turn.history, (turn.question, turn.answer)]
    messages = [
        {"role": role, "content": text}
        for pair in pairs
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    messages[0]["content"] = "<image>\n" + messages[0]["content"]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    return text[: text.rindex(end) + len(end)].replace(f" {end}", end)


@pytest.fixture
def tokenizer(tiny_tokenizer):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": HEADERS})
    reserve_tokens(tokenizer)
    return tokenizer


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize(("template", "end"), ENDS)
def test_segments_together_are_what_the_chat_template_writes(tokenizer, template, end, turn):
    """As text, and as the ids of the whole text tokenised at once."""
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, "native", image_tokens=1)
    ids = prompter.prompt_ids(turn.question, turn.history) + prompter.answer_ids(turn.answer)
    whole = tokenizer(
        written(tokenizer, turn, end).removeprefix(tokenizer.bos_token), add_special_tokens=False
    )
    assert ids == [tokenizer.bos_token_id, *whole.input_ids]
    assert tokenizer.convert_ids_to_tokens(ids[-1]) == end
    assert tokenizer.decode(ids) == tokenizer.bos_token + written(tokenizer, turn, end).removeprefix(
        tokenizer.bos_token
    )
    begun = 1 + (template == LLAMA2) * len(turn.history)  # LLaMA-2's begins every turn with BOS
    assert ids.count(tokenizer.bos_token_id) == begun
    assert ids.count(prompter.image_token_id) == 1
    assert prompter.decode(prompter.answer_ids(turn.answer)) == turn.answer
    text = (
        prompter.prompt_text(turn.question, turn.history)
        + prompter.template.before_answer
        + turn.answer
        + end
    )
    assert text == written(tokenizer, turn, end).removeprefix(tokenizer.bos_token)


@pytest.mark.parametrize("template", [template for template, _ in ENDS])
def test_the_preflight_of_labels_passes_for_several_questions_on_an_image(tokenizer, template):
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, "native", image_tokens=3)
    groups = [(0, TURNS), (1, TURNS[:1])]
    check_batch(prompter, groups, pack(prompter, groups))


# Written as Qwen3's: only the last answer has a place for thoughts before it.
THINKING = CHATML.replace(
    "m['role'] + '\n'",
    "m['role'] + '\n' + ('<think>\n\n</think>\n\n' if loop.last and m['role'] != 'user' else '')",
)


def test_a_template_that_writes_later_turns_otherwise_is_refused_for_conversations_alone(tokenizer):
    tokenizer.chat_template = THINKING
    prompter = Prompter(tokenizer, "native", 1)
    for turn in TURNS[:3]:
        assert prompter.segments([turn])
    with pytest.raises(
        ValueError, match=r"of two questions and their answers; .*arm 'uniform' for conversations"
    ):
        prompter.segments(TURNS)
    with pytest.raises(ValueError, match=r"makes '<\|im_start\|>user"):
        prompter.prompt_text(TURNS[3].question, TURNS[3].history)


def test_all_stop_ids_are_kept(tokenizer):
    tokenizer.chat_template = LLAMA3
    prompter = Prompter(tokenizer, "native", image_tokens=1)
    assert prompter.eos_ids == (tokenizer.convert_tokens_to_ids("<|eot_id|>"), tokenizer.eos_token_id)


def test_a_base_model_keeps_the_uniform_template(tokenizer):
    assert tokenizer.chat_template is None
    assert template_of(tokenizer, "native") == template_of(tokenizer, "uniform") == UNIFORM


def test_the_uniform_arm_does_not_look_at_a_chat_template(tokenizer):
    before = Prompter(tokenizer, "uniform", 1).prompt_ids("Where?")
    tokenizer.chat_template = LLAMA3
    assert Prompter(tokenizer, "uniform", 1).prompt_ids("Where?") == before


def test_special_tokens_in_a_question_are_still_refused(tokenizer):
    tokenizer.chat_template = LLAMA3
    prompter = Prompter(tokenizer, "native", 1)
    for text in ("end it <|eot_id|>", "see <image>"):
        with pytest.raises(ValueError, match=r"special token .* written in the text"):
            prompter.question_ids(text)
        with pytest.raises(ValueError, match=r"special token .* written in the text"):
            prompter.answer_ids(text)


@pytest.mark.parametrize(
    "template",
    [
        "{{ messages[1]['content'] }}",
        "{% for m in messages %}{{ m['content'] }}{% endfor %}",
        "{% for m in messages %}{{ m['content'] * 2 }}</s>{% endfor %}",
    ],
)
def test_a_template_that_cannot_be_taken_apart_is_refused(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=r"chat template makes .*use prompt arm 'uniform'"):
        Prompter(tokenizer, "native", 1)
