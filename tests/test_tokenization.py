"""The two kinds of nano tokenizer: filled, loadable, lossless, and of the form of their models."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from barnlib.corpus import sample_text
from barnlib.prompts import Prompter
from barnlib.recipes import TokenizerRecipe
from barnlib.tokenization import BYTES, LLAMA3_SPLIT, train_tokenizer

SHARED = Path(__file__).parents[2] / "shared" / "data" / "tokenizers"
SHARES = {"prose": 0.4, "scenes": 0.2, "seismic": 0.2, "structured": 0.2, "repeats": 0.0}
KINDS = {"sentencepiece_bpe": 1024, "byte_level_bpe": 4096}
LINES = (
    "What colour is the circle?",
    "The epicentre is near latitude -12.4, longitude 143.9.",
    '{"latitude": -12.4, "longitude": 143.9}',
    "    return x  +  1\n\tif 12345:\n\n",
    "Wörter, 日本語 and 🌍 — naïve",
    " leading and trailing ",
    "",
)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return list(sample_text(SHARES, 1, 500_000))


@pytest.fixture(scope="module")
def folders(texts: list[str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for kind, vocabulary in KINDS.items():
        made[kind] = tmp_path_factory.mktemp(kind)
        recipe = TokenizerRecipe.model_validate({"kind": kind, "vocabulary": vocabulary})
        train_tokenizer(recipe, texts).save_pretrained(made[kind])
    return made


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, folders: dict[str, Path]):
    return AutoTokenizer.from_pretrained(folders[request.param])


def kind_of(tokenizer: PreTrainedTokenizerFast) -> str:
    return "sentencepiece_bpe" if tokenizer.bos_token == "<s>" else "byte_level_bpe"


def test_vocabulary_is_filled_and_used(tokenizer, texts: list[str]):
    size = KINDS[kind_of(tokenizer)]
    assert len(tokenizer) == size
    assert sorted(tokenizer.get_vocab().values()) == list(range(size))
    used = {number for text in texts for number in tokenizer(text).input_ids}
    assert len(used - set(range(259))) > 0.9 * (size - 259)  # bytes apart, entries are not dead


def test_special_tokens_are_single_ids_and_nothing_is_added(tokenizer):
    special = [tokenizer.bos_token, tokenizer.eos_token, "<pad>", "<image>"]
    ids = [tokenizer.convert_tokens_to_ids(token) for token in special]
    assert len(set(ids)) == 4
    assert [tokenizer(token).input_ids[-1] for token in special] == ids
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == tuple(ids[:3])
    assert not set(tokenizer("Is it red?").input_ids) & set(ids)
    if kind_of(tokenizer) == "sentencepiece_bpe":
        assert ids[:2] == [1, 2]
        assert tokenizer.unk_token_id == 0


@pytest.mark.parametrize("line", LINES)
def test_round_trip(tokenizer, line: str):
    assert tokenizer.decode(tokenizer(line).input_ids) == line


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=40).filter(lambda text: "▁" not in text and "<" not in text))
def test_round_trip_of_any_text(folders: dict[str, Path], text: str):
    for folder in folders.values():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_digits(tokenizer):
    longest = 1 if kind_of(tokenizer) == "sentencepiece_bpe" else 3
    for token in tokenizer.get_vocab():
        digits = [character for character in token if character.isdigit()]
        if token not in BYTES:
            assert len(digits) <= longest
    assert "123" in tokenizer.tokenize("in 123") or longest == 1
    assert tokenizer.tokenize("1234")[-1] == "4"


def test_form_is_that_of_the_real_tokenizer(folders: dict[str, Path]):
    """Normaliser, byte fallback and split expression as in the converted LLaMA-2 and Llama-3 tokenizers."""
    for kind, name in (("sentencepiece_bpe", "llama2"), ("byte_level_bpe", "llama3")):
        path = SHARED / name / "hf" / "tokenizer.json"
        if not path.is_file():
            pytest.skip(f"no real tokenizer at {path}")
        real = json.loads(path.read_text())
        ours = json.loads((folders[kind] / "tokenizer.json").read_text())
        assert ours["normalizer"] == real["normalizer"]
        for key in ("byte_fallback", "fuse_unk", "ignore_merges", "unk_token"):
            assert ours["model"][key] == real["model"][key]
        if kind == "byte_level_bpe":
            assert ours["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == LLAMA3_SPLIT
            assert real["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] == LLAMA3_SPLIT
        else:
            assert ours["decoder"] == real["decoder"]


def test_merges_make_the_pieces_in_order_of_score(folders: dict[str, Path]):
    model = json.loads((folders["sentencepiece_bpe"] / "tokenizer.json").read_text())["model"]
    made = ["".join(pair) for pair in model["merges"]]
    order = [model["vocab"][piece] for piece in made]
    assert order == sorted(order)
    assert min(order) == 259  # after <unk>, <s>, </s> and 256 bytes


def test_prompter_takes_them(tokenizer):
    prompter = Prompter(tokenizer, "uniform", image_tokens=3)
    for answer in ("red", "3", '{"latitude": -12.4, "longitude": 143.9}'):
        assert prompter.decode(prompter.answer_ids(answer)) == answer
    ids = prompter.prompt_ids("What is it?")
    joint = "\nQuestion: What is it?\nAnswer:"
    assert ids == [tokenizer.bos_token_id, *[prompter.image_token_id] * 3, *tokenizer(joint).input_ids]


def test_the_same_texts_give_the_same_tokenizer(texts: list[str], folders: dict[str, Path]):
    recipe = TokenizerRecipe.model_validate({"kind": "sentencepiece_bpe", "vocabulary": 1024})
    again = train_tokenizer(recipe, texts)
    assert again.get_vocab() == AutoTokenizer.from_pretrained(folders["sentencepiece_bpe"]).get_vocab()


@pytest.mark.parametrize("kind", KINDS)
def test_poor_text_is_refused(kind: str):
    recipe = TokenizerRecipe.model_validate({"kind": kind, "vocabulary": 1024})
    with pytest.raises(ValueError, match=rf"the corpus filled \d+ of 1024 entries of a {kind} vocabulary"):
        train_tokenizer(recipe, ["red circle"] * 50)
