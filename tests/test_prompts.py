"""Prompts: segments that are the same in training and inference, for every kind of tokenizer."""

from functools import cache
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from barnlib.data.turns import Turn
from barnlib.prompts import IMAGE_TOKEN, PAD_TOKEN, Prompter, reserve_tokens

SHARED = Path(__file__).parents[2] / "shared" / "data" / "tokenizers"
KINDS = ("byte level", "sentencepiece", "llama2", "llama3")
ANSWERS = (
    "red",
    "3",
    "two blue squares",
    "A strong, shallow earthquake in the Tonga Islands.",
    '{"latitude": -12.4, "longitude": 143.9}',
    "Île-de-France, 日本 🌍",
    " twice spaced  and trailing ",
)
TEXT = (
    "Question: is there a red circle? Answer: yes. two blue squares latitude longitude 0 1 2 3 4 5 6 7 8 9 .,"
)


@cache
def byte_level_core() -> str:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    core.train_from_iterator(
        [TEXT],
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=["<begin>", "<end>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return core.to_str()


def byte_level() -> PreTrainedTokenizerFast:
    core = Tokenizer.from_str(byte_level_core())
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<begin>", eos_token="<end>")


def sentencepiece() -> PreTrainedTokenizerFast:
    """LLaMA's form: a dummy space before each text, byte fallback, one space dropped when decoding."""
    special = ["<unk>", "<s>", "</s>"]
    pieces = [
        *special,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *sorted(set("abcdefghijklmnopqrstuvwxyz:")),
    ]
    merges = [("▁", "r"), ("▁r", "e"), ("▁re", "d"), ("▁", "t")]
    pieces += [first + second for first, second in merges]
    core = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(special)
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def make_prompter(kind: str) -> Prompter:
    if kind in ("llama2", "llama3"):
        folder = SHARED / kind / "hf"
        if not folder.is_dir():
            pytest.skip(f"the real {kind} tokenizer is not beside the repository ({folder})")
        tokenizer = AutoTokenizer.from_pretrained(folder)
    else:
        tokenizer = {"byte level": byte_level, "sentencepiece": sentencepiece}[kind]()
    reserve_tokens(tokenizer)
    return Prompter(tokenizer, "uniform", image_tokens=5)


@pytest.fixture(scope="module", params=KINDS)
def prompter(request: pytest.FixtureRequest) -> Prompter:
    return make_prompter(request.param)


def test_prefix_has_one_bos_and_the_image_tokens_in_one_run(prompter: Prompter):
    assert prompter.prefix_ids[0] == prompter.bos_id
    assert prompter.prefix_ids.count(prompter.bos_id) == 1
    assert prompter.prefix_ids[1:6] == [prompter.image_token_id] * 5
    assert prompter.image_token_id not in prompter.prefix_ids[6:]


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_survives_the_round_trip(prompter: Prompter, answer: str):
    ids = prompter.answer_ids(answer)
    assert ids[-1] == prompter.eos_id
    assert prompter.eos_id not in ids[:-1]
    assert prompter.decode(ids) == answer
    assert prompter.decode(ids[:-1]) == answer


@pytest.mark.parametrize("answer", ANSWERS[:6])
def test_segments_are_the_ids_of_the_whole_text(prompter: Prompter, answer: str):
    """A processor tokenises in one piece: what the exported model sees must be what was trained."""
    question = "Is there a red circle, or 12 of them?"
    whole = prompter.tokenizer(
        f"{IMAGE_TOKEN}\nQuestion: {question}\nAnswer: {answer}", add_special_tokens=False
    )
    at = whole.input_ids.index(prompter.image_token_id)
    expected = [*whole.input_ids[:at], *[prompter.image_token_id] * 5, *whole.input_ids[at + 1 :]]
    assert prompter.prompt_ids(question) + prompter.answer_ids(answer) == [
        prompter.bos_id,
        *expected,
        prompter.eos_id,
    ]
    assert prompter.prompt_text(question) == f"{IMAGE_TOKEN}\nQuestion: {question}\nAnswer:"


def test_sentencepiece_puts_no_second_space_before_an_answer():
    prompter = make_prompter("sentencepiece")
    assert prompter.tokenizer.convert_ids_to_tokens(prompter.answer_ids("red")) == ["▁red", "</s>"]
    assert prompter.tokenizer.convert_ids_to_tokens(prompter.tokenizer(" red").input_ids) == ["▁", "▁red"]


PROMPTERS: dict[str, Prompter] = {}


@settings(max_examples=25, deadline=None)
@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), min_size=1))
@pytest.mark.parametrize("kind", ["byte level", "sentencepiece"])
def test_any_text_on_one_line_round_trips(kind: str, text: str):
    if "\x00" in text or "▁" in text:  # SentencePiece writes a space so
        return
    prompter = PROMPTERS.setdefault(kind, make_prompter(kind))
    assert prompter.decode(prompter.answer_ids("a" + text)) == "a" + text


def test_segments_of_many_turns_are_those_of_each_turn(prompter: Prompter):
    turns = [Turn("Is it red?", "yes"), Turn("How many?", "3"), Turn("Is it red?", "no"), Turn("Where?")]
    expected = [
        (
            prompter.question_ids(turn.question),
            [] if turn.answer is None else prompter.answer_ids(turn.answer),
        )
        for turn in turns
    ]
    assert prompter.segments(turns) == expected


def test_texts_seen_before_are_not_tokenised_again(monkeypatch: pytest.MonkeyPatch):
    prompter = make_prompter("byte level")
    first = prompter.segments([Turn("Is it red?", "yes")])
    monkeypatch.setattr(prompter, "tokenizer", None)
    assert prompter.segments([Turn("Is it red?", "yes")]) == first


TALK = (("Is it red?", "yes"), ("And the other one?", "2 blue squares"), ("Why?", "A strong earthquake."))


def test_a_conversation_has_the_ids_of_its_whole_text(prompter: Prompter):
    """Each answer ends with EOS, the image stands once, and nothing but the answer stands behind the prompt."""
    end = prompter.tokenizer.eos_token
    text = f"{IMAGE_TOKEN}" + "".join(f"\nQuestion: {q}\nAnswer: {a}{end}" for q, a in TALK)
    whole = prompter.tokenizer(text, add_special_tokens=False).input_ids
    at = whole.index(prompter.image_token_id)
    expected = [prompter.bos_id, *whole[:at], *[prompter.image_token_id] * 5, *whole[at + 1 :]]
    (question, answer), history = TALK[-1], TALK[:-1]
    assert prompter.prompt_ids(question, history) + prompter.answer_ids(answer) == expected
    assert prompter.prompt_text(question, history) + f" {answer}{end}" == text
    assert expected.count(prompter.bos_id) == 1 and expected.count(prompter.eos_id) == 3
    [(asked, answered)] = prompter.segments([Turn(question, answer, history)])
    assert asked == prompter.question_ids(question, history) and answered == prompter.answer_ids(answer)


def test_a_turn_begins_with_the_turns_before_it(prompter: Prompter):
    turns = [Turn(*pair, TALK[:number]) for number, pair in enumerate(TALK)]
    segments = prompter.segments(turns)
    for (asked, answered), (later, _) in pairwise(segments):
        assert later[: len(asked) + len(answered)] == asked + answered


def test_turns_seen_before_are_not_tokenised_again(monkeypatch: pytest.MonkeyPatch):
    prompter = make_prompter("sentencepiece")
    prompter.segments([Turn(*pair, TALK[:number]) for number, pair in enumerate(TALK)])
    expected = prompter.question_ids(TALK[1][0], (TALK[2],))
    monkeypatch.setattr(prompter, "tokenizer", None)
    assert prompter.question_ids(TALK[1][0], (TALK[2],)) == expected, "in another order, too"


def test_special_tokens_in_earlier_turns_are_refused():
    prompter = make_prompter("byte level")
    for history in ((("see <image>", "yes"),), (("Is it?", "yes<end>"),), (TALK[0], ("<begin>", "no"))):
        with pytest.raises(ValueError, match=r"special token '<\w+>' written in the text"):
            prompter.question_ids("Where?", history)
    with pytest.raises(ValueError, match="an answer is empty"):
        prompter.question_ids("Where?", (("Is it?", ""),))


def test_what_a_model_wrote_is_shown_as_it_is():
    prompter = make_prompter("byte level")
    yes = prompter.answer_ids("yes")
    odd = [*yes[:-1], prompter.eos_id, prompter.image_token_id, *yes]
    assert prompter.decode(odd) == "yes<end><image> yes"
    assert prompter.decode([]) == ""
    assert prompter.decode([prompter.eos_id]) == ""


def test_further_stop_ids_follow_the_eos():
    tokenizer = byte_level()
    reserve_tokens(tokenizer)
    turn_end = tokenizer.convert_tokens_to_ids("9")
    prompter = Prompter(tokenizer, "uniform", 5, stop_ids=[turn_end, tokenizer.eos_token_id])
    assert prompter.eos_ids == (tokenizer.eos_token_id, turn_end)
    assert prompter.answer_ids("no")[-1] == tokenizer.eos_token_id
    assert prompter.decode([*prompter.answer_ids("no")[:-1], turn_end]) == "no"


def test_reserve_tokens_adds_what_is_missing_and_nothing_twice():
    tokenizer = byte_level()
    entries = len(tokenizer)
    assert reserve_tokens(tokenizer) == [IMAGE_TOKEN, PAD_TOKEN]
    assert len(tokenizer) == entries + 2
    assert reserve_tokens(tokenizer) == []
    assert tokenizer(IMAGE_TOKEN).input_ids == [entries]


def test_padding_that_is_eos_is_replaced():
    tokenizer = byte_level()
    tokenizer.pad_token = tokenizer.eos_token
    assert PAD_TOKEN in reserve_tokens(tokenizer)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_tokenizer_without_bos_gets_none():
    tokenizer = byte_level()
    tokenizer.bos_token = None
    reserve_tokens(tokenizer)
    prompter = Prompter(tokenizer, "uniform", 2)
    assert prompter.bos_id is None
    assert prompter.prefix_ids[:2] == [prompter.image_token_id] * 2


def refused(change) -> str:
    tokenizer = byte_level()
    reserve_tokens(tokenizer)
    change(tokenizer)
    with pytest.raises(ValueError) as error:
        Prompter(tokenizer, "uniform", 5)
    return str(error.value)


def test_tokenizers_that_cannot_work_are_refused():
    assert "no EOS token" in refused(lambda tokenizer: setattr(tokenizer, "eos_token", None))
    assert "call reserve_tokens first" in refused(lambda tokenizer: setattr(tokenizer, "pad_token", None))
    message = refused(lambda tokenizer: setattr(tokenizer, "pad_token", "<end>"))
    assert "'<end>' (id 1) is also BOS (id 0) or EOS (id 1)" in message
    with pytest.raises(ValueError, match=r"'<image>' must be one token of the tokenizer, found \['<', "):
        tokenizer = byte_level()
        tokenizer.pad_token = "9"
        Prompter(tokenizer, "uniform", 5)


def test_bad_arguments_and_texts_are_refused():
    tokenizer = byte_level()
    reserve_tokens(tokenizer)
    with pytest.raises(ValueError, match="no prompt arm 'chatty'; there are: uniform"):
        Prompter(tokenizer, "chatty", 5)
    with pytest.raises(ValueError, match="image_tokens is 0; expected at least 1"):
        Prompter(tokenizer, "uniform", 0)
    prompter = Prompter(tokenizer, "uniform", 5)
    with pytest.raises(ValueError, match="an answer is empty"):
        prompter.answer_ids("")
    with pytest.raises(ValueError, match=r"special token '<image>' written in the text ' Look at <image>"):
        prompter.question_ids("Look at <image>, please")
    with pytest.raises(ValueError, match="special token '<end>' written in the text"):
        prompter.answer_ids("yes<end>")


def test_a_text_that_merges_with_the_text_before_it_is_refused():
    """Without this, training would cut "Answer:" and the answer where inference does not."""
    tokenizer = byte_level()
    vocabulary = {**tokenizer.get_vocab(), ":Ġ": 400, ":Ġy": 401}
    core = Tokenizer(models.BPE(vocabulary, [(":", "Ġ"), (":Ġ", "y")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    merging = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<begin>", eos_token="<end>")
    reserve_tokens(merging)
    with pytest.raises(ValueError, match=r"merges '\\nAnswer:' with the text after it, ' yes'"):
        Prompter(merging, "uniform", 5).answer_ids("yes")
