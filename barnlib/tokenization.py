"""The tokenizers of the backbones made here, trained from scratch: SentencePiece-like and Llama-3-like byte pairs.

In:  a ``TokenizerRecipe`` and the texts of the generation's own corpus.
Out: a ``PreTrainedTokenizerFast`` whose folder ``AutoTokenizer`` loads; pretrain.py puts it beside the
     weights, and prompts.py builds every prompt with it.

Neither kind adds a BOS or EOS by itself: whoever builds a sequence puts these ids there, once. Both have the
special tokens ``<pad>`` and ``<image>``, which no text contains, inside the vocabulary, so that no embedding
is ever resized.

``sentencepiece_bpe`` has the form of the LLaMA-1 and LLaMA-2 tokenizer as Hugging Face converts it: a space
becomes ``▁`` and one ``▁`` is put before the text, digits stand one by one, an unknown character (and the
line break) falls back to bytes, ids are ``<unk> <s> </s>``, 256 bytes, merged pieces by rank, then single
characters. Merges are ordered by score, which here is the order of training.

``byte_level_bpe`` has the form of the Llama-3 tokenizer: tiktoken's split expression with groups of up to
three digits, byte-level BPE, and a piece that is in the vocabulary taken whole (``ignore_merges``).
"""

import json
from collections import Counter
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from barnlib.recipes import TokenizerRecipe

PAD, IMAGE = "<pad>", "<image>"
SENTENCEPIECE_SPECIAL = ("<unk>", "<s>", "</s>")
BYTE_LEVEL_SPECIAL = ("<|begin_of_text|>", "<|end_of_text|>")
BYTES = tuple(f"<0x{value:02X}>" for value in range(256))
CHARACTERS = 96
"""How many single characters a SentencePiece-like vocabulary holds; rarer ones fall back to bytes."""

# A space belongs to the word that follows; of a run of spaces, all but the last are a piece of their own;
# digits, line breaks and punctuation marks do not merge with letters.
SENTENCEPIECE_SPLIT = r"▁+(?=▁[^▁\n])|\d|\n|▁?[^▁\d\n\p{P}\p{S}]+|▁?(?:(?!▁)[\p{P}\p{S}])+|▁+"
LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer(recipe: TokenizerRecipe, texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of the recipe's kind and of exactly its vocabulary. Deterministic: no randomness enters.

    Args:
        recipe: kind and number of entries, special tokens included.
        texts: the text to learn merges from, any length each.

    Raises:
        ValueError: the texts are too poor to fill the vocabulary; says how many entries were found.
    """
    train = {"sentencepiece_bpe": _sentencepiece, "byte_level_bpe": _byte_level}[recipe.kind]
    core = train(recipe.vocabulary, texts)
    found = core.get_vocab_size(with_added_tokens=True)
    if found != recipe.vocabulary:
        raise ValueError(
            f"the corpus filled {found} of {recipe.vocabulary} entries of a {recipe.kind} vocabulary: "
            "give it more, or more varied, text, or ask for a smaller vocabulary"
        )
    named = {"sentencepiece_bpe": ("<s>", "</s>", "<unk>"), "byte_level_bpe": (*BYTE_LEVEL_SPECIAL, None)}
    bos, eos, unknown = named[recipe.kind]
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=bos,
        eos_token=eos,
        unk_token=unknown,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )


def _sentencepiece(vocabulary: int, texts: Iterable[str]) -> Tokenizer:
    """Trained with single characters as the alphabet, then laid out in LLaMA's order of ids."""
    learner = Tokenizer(models.BPE())
    learner.normalizer = _llama_normalizer()
    learner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\n"), "removed"),
            pre_tokenizers.Split(Regex(SENTENCEPIECE_SPLIT), "isolated"),
        ]
    )
    texts = list(texts)
    alphabet = _alphabet(texts)
    fixed = len(SENTENCEPIECE_SPECIAL) + len(BYTES) + 2
    learner.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - fixed,
            initial_alphabet=alphabet,
            limit_alphabet=len(alphabet),
            show_progress=False,
        ),
    )
    learned = learner.get_vocab()
    by_rank = sorted(learned, key=learned.__getitem__)
    pieces = [piece for piece in by_rank if len(piece) > 1] + [piece for piece in by_rank if len(piece) == 1]
    order = [*SENTENCEPIECE_SPECIAL, *BYTES, *pieces]
    core = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(order)},
            merges=_merges(learner),
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    core.normalizer = _llama_normalizer()
    core.pre_tokenizer = pre_tokenizers.Split(Regex(SENTENCEPIECE_SPLIT), "isolated")
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens([_special(token) for token in (*SENTENCEPIECE_SPECIAL, PAD, IMAGE)])
    return core


def _byte_level(vocabulary: int, texts: Iterable[str]) -> Tokenizer:
    core = Tokenizer(models.BPE(ignore_merges=True))
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    special = (*BYTE_LEVEL_SPECIAL, PAD, IMAGE)
    core.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=vocabulary - len(special),
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    core.add_special_tokens([_special(token) for token in special])
    return core


def _alphabet(texts: Iterable[str]) -> list[str]:
    """The `CHARACTERS` most frequent characters, ties by code point; the trainer's own choice differs by process."""
    counts = Counter(character for text in texts for character in text.replace(" ", "▁") if character != "\n")
    return sorted(sorted(counts), key=counts.__getitem__, reverse=True)[:CHARACTERS]


def _llama_normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _merges(trained: Tokenizer) -> list[tuple[str, str]]:
    """The merges of a trained BPE in the order in which they were learned, best score first."""
    return [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
