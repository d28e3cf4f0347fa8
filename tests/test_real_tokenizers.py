"""Real tokenizers encode as sentencepiece and tiktoken do, and one that does not is refused."""

import json
import shutil
from functools import cache
from pathlib import Path

import pytest
import sentencepiece
import tiktoken
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe
from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from barnlib import real_tokenizers
from barnlib.data.build import load_items
from barnlib.data.turns import Turn
from barnlib.packing import pack
from barnlib.paths import ROOT
from barnlib.prompt_checks import check_batch
from barnlib.prompts import Prompter, reserve_tokens
from barnlib.real_tokenizers import PROBES, check_tokenizer, load_tokenizer, read_model
from barnlib.tokenization import LLAMA3_SPLIT
from tests.test_native_prompts import HEADERS, LLAMA2, LLAMA3

SHARED = Path(__file__).parents[2] / "shared" / "data" / "tokenizers"
NAMES = ("llama2", "llama3")
TEXT = st.text(
    alphabet=st.one_of(
        st.sampled_from(" \t\n.,;:-°'\"{}[]()0123456789abcXYZ"),
        st.characters(codec="utf-8"),
        st.sampled_from("éñ日🌋"),
    ),
    max_size=40,
).filter(
    lambda text: "▁" not in text and "<" not in text
)  # the sign for a space, and names of special tokens


def real(name: str) -> Path:
    folder = SHARED / name
    if not (folder / "tokenizer.model").is_file():
        pytest.skip(f"no real tokenizer at {folder}")
    return folder


@cache
def loaded(name: str, made: bool):
    """Loaded from the Hugging Face folder, or built from the makers' own file alone."""
    folder = real(name)
    if not made:
        return load_tokenizer(folder / "hf")
    return real_tokenizers._with_names(read_model(folder / "tokenizer.model"), folder)


@cache
def makers(name: str):
    """Ids as the makers' own library gives them."""
    path = str(real(name) / "tokenizer.model")
    if name == "llama2":
        return sentencepiece.SentencePieceProcessor(model_file=path).encode
    encoding = tiktoken.Encoding(
        "llama3", pat_str=LLAMA3_SPLIT, mergeable_ranks=load_tiktoken_bpe(path), special_tokens={}
    )
    return encoding.encode_ordinary


@pytest.fixture(params=NAMES)
def name(request) -> str:
    real(request.param)
    return request.param


@pytest.mark.parametrize("made", [False, True], ids=["hf folder", "from tokenizer.model"])
def test_probes_are_encoded_as_the_makers_do(name, made):
    tokenizer = loaded(name, made)
    wrong = [
        text for text in PROBES if tokenizer(text, add_special_tokens=False).input_ids != makers(name)(text)
    ]
    assert wrong == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXT)
def test_any_text_is_encoded_as_the_makers_do_and_comes_back(name, text):
    for made in (False, True):
        tokenizer = loaded(name, made)
        ids = tokenizer(text, add_special_tokens=False).input_ids
        assert ids == makers(name)(text)
        assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


@pytest.mark.parametrize("arm", ["uniform", "native"])
def test_no_label_of_any_task_is_dropped(name, arm, tiny_study):
    tokenizer = load_tokenizer(real(name) / "hf")
    assert reserve_tokens(tokenizer) == ["<image>", "<pad>"]
    prompter = Prompter(tokenizer, arm, image_tokens=4)
    found = load_items(tiny_study, "train")
    assert {item.task for item in found} == {"vqa_scene", "seismic_description", "seismic_coordinates"}
    groups = {}
    for item in found:
        groups.setdefault(item.image, []).append(item.turn)
    batches = [(row, turns) for row, turns in enumerate(groups.values())]  # several questions on one image
    assert any(len(turns) > 1 for turns in groups.values())
    packed = pack(prompter, batches)
    check_batch(prompter, batches, packed)
    assert int((packed.input_ids == prompter.bos_id).sum()) == len(batches)
    anchor = prompter.template.after_question
    for item in found:  # the answer's ids are those of the makers' library behind the same fixed text
        whole = makers(name)(anchor + prompter.template.before_answer + item.answer)
        assert whole[-len(prompter.answer_ids(item.answer)) + 1 :] == prompter.answer_ids(item.answer)[:-1]


@pytest.mark.parametrize("arm", ["uniform", "native"])
def test_no_label_of_a_conversation_is_dropped(name, arm):
    """In the native arm with the chat template that each generation's instruct models have."""
    tokenizer = load_tokenizer(real(name) / "hf")
    reserve_tokens(tokenizer)
    end = tokenizer.eos_token
    if arm == "native":
        tokenizer.chat_template = {"llama2": LLAMA2, "llama3": LLAMA3}[name]
        assert name == "llama2" or set(HEADERS[:3]) <= set(tokenizer.get_vocab())
        end = {"llama2": end, "llama3": "<|eot_id|>"}[name]
    prompter = Prompter(tokenizer, arm, image_tokens=4)
    talk = (
        ("How many doors has it?", "two"),
        ("And the other one?", '{"latitude": -12.4, "longitude": 143.9}'),
        ("  Where, in Île-de-France? ", "at 12:30, 🌍"),
    )
    turns = [Turn(*pair, talk[:number]) for number, pair in enumerate(talk)]
    groups = [(0, turns), (1, [turns[2], turns[0], turns[1]])]
    check_batch(prompter, groups, pack(prompter, groups))
    (question, answer), history = talk[-1], talk[:-1]
    text = prompter.prompt_text(question, history) + prompter.template.before_answer + answer + end
    whole = tokenizer(text, add_special_tokens=False).input_ids
    at = whole.index(prompter.image_token_id)
    expected = [prompter.bos_id, *whole[:at], *[prompter.image_token_id] * 4, *whole[at + 1 :]]
    assert prompter.prompt_ids(question, history) + prompter.answer_ids(answer) == expected


def test_special_ids_are_those_of_the_makers(name):
    tokenizer = loaded(name, True)
    expected = {"llama2": (1, 2, 32000), "llama3": (128000, 128001, 128256)}[name]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)) == expected
    assert tokenizer.get_vocab() == loaded(name, False).get_vocab()


def test_a_tokenizer_that_is_built_anew_wrongly_is_refused(tmp_path):
    """Merges by id and a prefix space that is no longer written out: what circulates in some folders."""
    folder = real("llama2")
    shutil.copy(folder / "tokenizer.model", tmp_path)
    shutil.copytree(folder / "hf", tmp_path, dirs_exist_ok=True)
    load_tokenizer(tmp_path)
    content = json.loads((folder / "hf" / "tokenizer.json").read_text())
    content["normalizer"] = None
    content["pre_tokenizer"] = {
        "type": "Metaspace",
        "replacement": "▁",
        "prepend_scheme": "first",
        "split": False,
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"makers' tokenizer\.model gives \[.*take tokenizer\.json out of the folder"
    ):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    built = load_tokenizer(tmp_path)
    assert built("  two", add_special_tokens=False).input_ids == makers("llama2")("  two")
    assert (built.bos_token, built.eos_token, built.unk_token) == ("<s>", "</s>", "<unk>")


def test_a_tokenizer_that_changes_a_text_is_refused(tiny_tokenizer):
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_tokenizer)
    check_tokenizer(tokenizer, None, tiny_tokenizer)
    tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    with pytest.raises(
        ValueError, match=r"turns 'Is there a red circle\?' into 'is there a red circle\?' and back"
    ):
        check_tokenizer(tokenizer, None, tiny_tokenizer)


def test_a_small_sentencepiece_model_is_read_as_sentencepiece_reads_it(tmp_path):
    """Trained here, so that the reader is tested where no real tokenizer lies."""
    text = tmp_path / "text.txt"
    words = ["the epicentre lies at latitude -12.4", "longitude 143.9 and a red circle", "naïve 🌋 text"]
    text.write_text("\n".join(f"{word} {number}" for number in range(200) for word in words))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=390,
        model_type="bpe",
        byte_fallback=True,
        split_digits=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True,
        minloglevel=2,
    )
    reference = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "tokenizer.model"))
    tokenizer = load_tokenizer(tmp_path)
    for probe in (*PROBES, "the epicentre  lies at 12"):
        assert tokenizer(probe, add_special_tokens=False).input_ids == reference.encode(probe)


def test_a_unigram_model_is_no_reference_and_a_damaged_file_is_refused(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("\n".join(f"a line of words number {number}" for number in range(300)))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(tmp_path / "tokenizer"), vocab_size=45, minloglevel=2
    )
    assert read_model(tmp_path / "tokenizer.model") is None
    damaged = tmp_path / "damaged.model"
    damaged.write_bytes(b"\x0a\xff\xff\xff\x7fabc")
    with pytest.raises(
        ValueError, match=r"damaged\.model: neither a SentencePiece model nor lines of tiktoken"
    ):
        read_model(damaged)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no tokenizer that can be read .*expected tokenizer\.json"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", r"tokenizer\.json: not valid JSON"),
        ("tokenizer.json", "{}", r"tokenizer\.json: no tokenizer that can be read \(.*download it again"),
        ("tokenizer_config.json", "{", r"tokenizer_config\.json: not valid JSON"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, tiny_tokenizer, name, content, message):
    shutil.copytree(tiny_tokenizer, tmp_path, dirs_exist_ok=True)
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("backbone", ["llama1", "llama2", "llama3"])
def test_the_nano_tokenizers_pass(backbone):
    assert len(load_tokenizer(ROOT / "params" / "checkpoints" / "nano" / backbone)) > 1000
