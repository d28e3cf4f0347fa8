"""The native arm: each model's own chat template, taken apart into segments and put together again exactly."""

import pytest
from transformers import PreTrainedTokenizerFast

from barnlib.packing import pack
from barnlib.preflight import check_batch
from barnlib.prompts import UNIFORM, Prompter, reserve_tokens, template_of

# The templates that LLaMA-2 chat and LLaMA-3 instruct are documented to use, without system message.
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
LLAMA3 = (
    "{% for m in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{{ '<|start_header_id|>' + m['role'] + '<|end_header_id|>\n\n' + m['content'] + '<|eot_id|>' }}{% endfor %}"
)
HEADERS = ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
TURNS = [
    ("What colour is it?", "blue"),
    ("Where?", '{"latitude": -12.4, "longitude": 143.9}'),
    ("How many?", "3"),
]


@pytest.fixture
def tokenizer(tiny_tokenizer):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": HEADERS})
    reserve_tokens(tokenizer)
    return tokenizer


@pytest.mark.parametrize(("template", "end"), [(LLAMA2, "</s>"), (LLAMA3, "<|eot_id|>")])
def test_segments_together_are_what_the_chat_template_writes(tokenizer, template, end):
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, "native", image_tokens=1)
    for question, answer in TURNS:
        messages = [
            {"role": "user", "content": f"<image>\n{question}"},
            {"role": "assistant", "content": answer},
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False).removesuffix(end).rstrip(" ")
        ids = prompter.prompt_ids(question) + prompter.answer_ids(answer)
        assert tokenizer.decode(ids[:-1]) == text
        assert tokenizer.convert_ids_to_tokens(ids[-1]) == end
        assert ids.count(tokenizer.bos_token_id) == 1
        assert prompter.decode(prompter.answer_ids(answer)) == answer


@pytest.mark.parametrize("template", [LLAMA2, LLAMA3])
def test_the_preflight_of_labels_passes_for_several_questions_on_an_image(tokenizer, template):
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, "native", image_tokens=3)
    groups = [(0, TURNS), (1, TURNS[:1])]
    check_batch(prompter, groups, pack(prompter, groups))


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
    "template", ["{{ messages[1]['content'] }}", "{% for m in messages %}{{ m['content'] }}{% endfor %}"]
)
def test_a_template_that_cannot_be_taken_apart_is_refused(tokenizer, template):
    tokenizer.chat_template = template
    with pytest.raises(ValueError, match=r"chat template makes .*use prompt arm 'uniform'"):
        Prompter(tokenizer, "native", 1)
