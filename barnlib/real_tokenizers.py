"""The tokenizer of a checkpoint, exactly as its makers' own library encodes, and a check that it is.

In:  a checkpoint's folder.
Out: a tokenizer for :class:`barnlib.prompts.Prompter`; or a `ValueError` that names the first text it encodes wrongly.

A `tokenizer.json` is used as it is. transformers 5.23 builds the tokenizers of several architectures anew instead
(Llama's among them), with merges in another order, and then gets texts wrong that start with a space. Where the makers'
`tokenizer.model` lies in the folder, the same tokenizer is built from it and both must agree on :data:`PROBES`:

- SentencePiece BPE (LLaMA-1 and 2; Kudo and Richardson 2018, arXiv 1808.06226): merges by the score of the merged
  piece, bytes for unknown characters, one space before the text.
- tiktoken (LLaMA-3): merges by rank, and a piece of the vocabulary taken whole.
"""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from barnlib.artefacts import read_json
from barnlib.tokenization import LLAMA3_SPLIT

MODELS = ("tokenizer.model", "original/tokenizer.model")  # the makers' own file, where the hub keeps it
NORMAL, UNKNOWN, CONTROL, BYTE = 1, 2, 3, 6  # kinds of piece in a SentencePiece model
BPE = 2  # kind of SentencePiece model
# Names at the ids behind LLaMA-3's ranks (llama3/tokenizer.py of meta-llama); every other one of 256 is reserved.
LLAMA3_NAMED = {
    0: "begin_of_text",
    1: "end_of_text",
    6: "start_header_id",
    7: "end_header_id",
    9: "eot_id",
}
LLAMA3_SPECIAL = 256
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")

PROBES = (
    "Is there a red circle?",
    "\nQuestion: Where is the epicentre?\nAnswer:",
    '{"latitude": -12.4, "longitude": 143.9}',
    "(35.6895, -139.6917)",
    "0 1 12 123 1234 12345 100000 3.14159 -0.5 1e-4",
    " one space before",
    "   three spaces before",
    "two  spaces, three   spaces, and at the end ",
    " ",
    "    ",
    "\ttab\n\nline breaks\r\n",
    "Wörter naïve São Tomé Ñuñoa Čeština",
    "日本語 にほんご Ελληνικά русский العربية",
    "🌋🌍 emoji 👩‍🔬 joined",
    "non\u00a0breaking and thin\u2009spaces",
    "I'm we'll THEY'RE don't",
    "def f(x):\n    return x  +  1\n",
    "km² ±5° 10–20 % “quoted” …",
)


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer in a folder, checked.

    Raises:
        ValueError: no tokenizer there, or one that fails :func:`check_tokenizer`.
    """
    model = next((folder / name for name in MODELS if (folder / name).is_file()), None)
    reference = None if model is None else read_model(model)
    tokenizer: PreTrainedTokenizerBase
    for path in (folder / "tokenizer.json", folder / "tokenizer_config.json"):
        if path.is_file():
            read_json(path)  # names the file where it is damaged
    if (folder / "tokenizer.json").is_file():
        try:
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
        except Exception as error:  # tokenizers raises nothing narrower
            raise ValueError(
                f"{folder / 'tokenizer.json'}: no tokenizer that can be read ({error}); make, copy or download it again"
            ) from error
    elif reference is not None:
        tokenizer = _with_names(reference, folder)
    else:
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder)
        except (OSError, ValueError, ImportError) as error:
            first = str(error).strip().splitlines()[:1]
            raise ValueError(
                f"{folder}: no tokenizer that can be read ({' '.join(first)}); expected tokenizer.json, or the "
                "tokenizer.model of LLaMA"
            ) from None
    check_tokenizer(tokenizer, reference, folder)
    return tokenizer


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
    reference: Tokenizer | None,
    folder: Path,
    texts: Sequence[str] = PROBES,
) -> None:
    """Refuse a tokenizer that changes a text or encodes it otherwise than its makers' own file says.

    Args:
        reference: built from the makers' file; None where there is none.
        folder: named in the message.

    Raises:
        ValueError: the first text, what was expected and what was found.
    """
    for text in texts:
        found = tokenizer(text, add_special_tokens=False).input_ids
        if reference is not None:
            expected = reference.encode(text, add_special_tokens=False).ids
            if found != expected:
                raise ValueError(
                    f"{folder}: the tokenizer turns {text!r} into ids {found}; its makers' tokenizer.model gives "
                    f"{expected}: take tokenizer.json out of the folder, and one is built from tokenizer.model"
                )
        back = tokenizer.decode(found, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        if back != text:
            raise ValueError(
                f"{folder}: the tokenizer turns {text!r} into {back!r} and back; expected the same text, because "
                "answers are compared as texts"
            )


def read_model(path: Path) -> Tokenizer | None:
    """The tokenizer that a `tokenizer.model` describes; None for a SentencePiece model that is no plain BPE.

    Raises:
        ValueError: neither a SentencePiece model nor tiktoken's ranks.
    """
    content = path.read_bytes()
    ranks = _tiktoken_ranks(content)
    if ranks is not None:
        return _tiktoken(ranks)
    try:
        model = _sentencepiece_model(content)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path}: neither a SentencePiece model nor lines of tiktoken's ranks ({error}); download it again"
        ) from None
    return _sentencepiece(model) if model.plain else None


@dataclass(frozen=True)
class _Model:
    """What a SentencePiece model says: pieces with score and kind; ``plain`` where :func:`_sentencepiece` can hold
    it."""

    pieces: list[tuple[str, float, int]]
    plain: bool


def _sentencepiece_model(content: bytes) -> _Model:
    """Read sentencepiece_model.proto: 1 pieces (1 piece, 2 score, 3 type), 2 trainer (3 model_type, 35 byte_fallback),
    3 normalizer (2 charsmap, 3 add_dummy_prefix, 4 remove_extra_whitespaces)."""
    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(content):
        if number == 1 and isinstance(value, bytes):
            piece = dict(_fields(value))
            text, score = piece.get(1, b""), piece.get(2, b"\0\0\0\0")
            if not isinstance(text, bytes) or not isinstance(score, bytes):
                raise IndexError("a piece without text or score")
            pieces.append((text.decode(), struct.unpack("<f", score)[0], int(piece.get(3, NORMAL))))
        elif number == 2 and isinstance(value, bytes):
            trainer = dict(_fields(value))
        elif number == 3 and isinstance(value, bytes):
            normalizer = dict(_fields(value))
    if not pieces:
        raise IndexError("no pieces")
    plain = (
        trainer.get(3, 1) == BPE
        and trainer.get(35, 0) == 1
        and not normalizer.get(2)
        and normalizer.get(3, 1) == 1
        and normalizer.get(4, 1) == 0
        and {kind for _, _, kind in pieces} <= {NORMAL, UNKNOWN, CONTROL, BYTE}
    )
    return _Model(pieces, plain)


def _fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Fields of a protocol buffer message: number, and a varint as int or anything else as bytes."""
    at = 0
    while at < len(content):
        key, at = _varint(content, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(content, at)
            yield key >> 3, value
            continue
        if kind == 2:
            length, at = _varint(content, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise IndexError(f"wire type {kind} at byte {at}")
        if at + length > len(content):
            raise IndexError(f"{length} bytes wanted at byte {at} of {len(content)}")
        yield key >> 3, content[at : at + length]
        at += length


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _sentencepiece(model: _Model) -> Tokenizer:
    vocabulary = {piece: number for number, (piece, _, _) in enumerate(model.pieces)}
    mergeable = {piece: score for piece, score, kind in model.pieces if kind == NORMAL}
    merges = [
        (score, vocabulary[piece], piece[:cut], piece[cut:])
        for piece, score in mergeable.items()
        for cut in range(1, len(piece))
        if piece[:cut] in mergeable and piece[cut:] in mergeable
    ]
    merges.sort(key=lambda merge: (-merge[0], merge[1], vocabulary[merge[2]]))
    unknown = next((piece for piece, _, kind in model.pieces if kind == UNKNOWN), None)
    core = Tokenizer(
        models.BPE(
            vocab=vocabulary,
            merges=[(left, right) for _, _, left, right in merges],
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    core.add_special_tokens(
        [_special(piece) for piece, _, kind in model.pieces if kind in (UNKNOWN, CONTROL)]
    )
    return core


def _tiktoken_ranks(content: bytes) -> dict[bytes, int] | None:
    """Lines of a base64 token and its rank; None for any other content."""
    ranks: dict[bytes, int] = {}
    for line in content.splitlines():
        parts = line.split()
        if len(parts) != 2 or not parts[1].isdigit():
            return None
        try:
            ranks[base64.b64decode(parts[0], validate=True)] = int(parts[1])
        except binascii.Error:
            return None
    return ranks or None


def _tiktoken(ranks: Mapping[bytes, int]) -> Tokenizer:
    letters = _letters()
    text = {token: "".join(letters[byte] for byte in token) for token in ranks}
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [
            (ranks[left], ranks[right], left, right)
            for left, right in cuts
            if left in ranks and right in ranks
        ]
        merges += [(rank, *one) for one in sorted(known)]
    merges.sort(key=lambda merge: merge[:3])
    core = Tokenizer(
        models.BPE(
            vocab={text[token]: rank for token, rank in ranks.items()},
            merges=[(text[left], text[right]) for *_, left, right in merges],
            ignore_merges=True,
        )
    )
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([_special(name) for name in llama3_special_tokens()])
    return core


def llama3_special_tokens() -> list[str]:
    """Names of LLaMA-3's special tokens in the order of their ids, which follow the ranks."""
    names, reserved = [], 0
    for number in range(LLAMA3_SPECIAL):
        if number in LLAMA3_NAMED:
            names.append(f"<|{LLAMA3_NAMED[number]}|>")
        else:
            names.append(f"<|reserved_special_token_{reserved}|>")
            reserved += 1
    return names


def _letters() -> dict[int, str]:
    """The printable letter that stands for each byte in byte-level BPE (Radford et al. 2019, GPT-2's encoder.py)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {byte: chr(byte) for byte in plain} | {
        byte: chr(256 + number) for number, byte in enumerate(others)
    }


def _with_names(core: Tokenizer, folder: Path) -> PreTrainedTokenizerFast:
    """A tokenizer with the names of its special tokens: those of tokenizer_config.json, else LLaMA's own."""
    path = folder / "tokenizer_config.json"
    said = read_json(path) if path.is_file() else {}
    vocabulary = core.get_vocab()
    known = {"bos_token": ("<s>", "<|begin_of_text|>"), "eos_token": ("</s>", "<|end_of_text|>")}
    names: dict[str, str] = {}
    for key in NAMES:
        value = said.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        value = value or next((name for name in known.get(key, ()) if name in vocabulary), None)
        if value is not None:
            names[key] = value
    return PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **names)


def _special(token: str) -> AddedToken:
    return AddedToken(token, special=True, normalized=False)
