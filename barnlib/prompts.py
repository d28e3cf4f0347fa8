"""From texts to token ids: one path for every backbone, the same in training and inference.

In:  a tokenizer, the name of a prompt arm, the number of image tokens.
Out: a :class:`Prompter`, which gives the ids of the prefix, of questions and of answers, and turns ids back into
     text. :mod:`barnlib.packing` builds batches from it.

A prompt is made of three segments, each tokenised on its own: the prefix (BOS, image, fixed text), the question and
the answer with EOS. Masks and labels therefore come from the segments and are never found again by searching.
A segment is tokenised behind the fixed text that stands before it ("Answer:" before an answer), and the ids of that
fixed text are cut off: a SentencePiece tokenizer would otherwise put a space of its own before every segment.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import AddedToken, PreTrainedTokenizerBase

IMAGE_TOKEN = "<image>"
PAD_TOKEN = "<pad>"


@dataclass(frozen=True)
class Template:
    """The fixed texts of a prompt arm. ``end`` is the token that ends an answer; None is the tokenizer's EOS.

    ``prefix`` holds the image token once and ends where the questions on one image begin to differ. Between it and the
    answer stands ``before_question`` + question + ``after_question``; then ``before_answer`` + answer + EOS.
    """

    prefix: str
    before_question: str
    after_question: str
    before_answer: str
    end: str | None = None


ARMS = ("uniform", "native")
UNIFORM = Template(
    prefix=f"{IMAGE_TOKEN}\nQuestion:", before_question=" ", after_question="\nAnswer:", before_answer=" "
)
QUESTION_HERE, ANSWER_HERE = "QUESTION-HERE", "ANSWER-HERE"  # where a chat template puts them


def template_of(tokenizer: PreTrainedTokenizerBase, arm: str) -> Template:
    """The fixed texts of an arm: one plain template for all backbones, or, in the arm ``native``, what the tokenizer's
    own chat template puts around a question and an answer. A base model has no template of its own (the header tokens
    of base LLaMA-3 are untrained); in the arm ``native`` it keeps the uniform one.

    Raises:
        ValueError: unknown arm, or a chat template that cannot be taken apart.
    """
    if arm not in ARMS:
        raise ValueError(f"no prompt arm '{arm}'; there are: {', '.join(ARMS)}")
    if arm == "uniform" or not tokenizer.chat_template:
        return UNIFORM
    messages = [
        {"role": "user", "content": f"{IMAGE_TOKEN}\n{QUESTION_HERE}"},
        {"role": "assistant", "content": ANSWER_HERE},
    ]
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    text = text.removeprefix(tokenizer.bos_token or "")  # the prefix begins with BOS already
    before, _, rest = text.partition(QUESTION_HERE)
    between, _, after = rest.partition(ANSWER_HERE)
    end = next((token for token in _tokens_at(tokenizer, after.lstrip(" "))), None)
    if not before.endswith(f"{IMAGE_TOKEN}\n") or text.count(IMAGE_TOKEN) != 1 or not between or end is None:
        raise ValueError(
            f"the tokenizer's chat template makes {text!r} of a question and its answer; expected the image, the "
            "question, the answer and one special token that ends it, in this order: use prompt arm 'uniform'"
        )
    after_question = between.rstrip(" ")
    return Template(before, "", after_question, between[len(after_question) :], end)


def _tokens_at(tokenizer: PreTrainedTokenizerBase, text: str) -> list[str]:
    """The special token that a text begins with, the longest first."""
    special = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
    return sorted((token for token in special if text.startswith(token)), key=len, reverse=True)


def reserve_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Give a tokenizer an image token, and a padding token of its own, where it has none.

    Padding that is also BOS or EOS is replaced: it would mask the EOS that an answer is trained to end with.
    :func:`barnlib.model.compose` enlarges the embedding accordingly.

    Returns:
        The tokens added; empty where the tokenizer had both.
    """
    added = []
    if IMAGE_TOKEN not in tokenizer.get_vocab():
        tokenizer.add_tokens([AddedToken(IMAGE_TOKEN, special=True, normalized=False)], special_tokens=True)
        added.append(IMAGE_TOKEN)
    if tokenizer.pad_token_id in (None, tokenizer.bos_token_id, tokenizer.eos_token_id):
        tokenizer.add_special_tokens({"pad_token": AddedToken(PAD_TOKEN, special=True, normalized=False)})
        added.append(PAD_TOKEN)
    return added


class Prompter:
    """Makes the token ids of one backbone; texts seen before are looked up, not tokenised again.

    Args:
        tokenizer: with image and padding token (see :func:`reserve_tokens`).
        arm: prompt arm, one of ``ARMS``.
        image_tokens: how many ids stand for one image.
        stop_ids: ids that end an answer besides the tokenizer's EOS (backbones with several).

    Attributes:
        prefix_ids: BOS once (where the tokenizer has one), the image token ``image_tokens`` times, the fixed text.
        image_token_id, bos_id (None where there is none), pad_id.
        eos_id: the id that every answer is trained to end with.
        eos_ids: all ids that end an answer, ``eos_id`` first.
        template: the fixed texts of the arm.

    Raises:
        ValueError: unknown arm; no image tokens asked for; image token missing or split; no EOS; padding missing or
            equal to BOS or EOS.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerBase, arm: str, image_tokens: int, stop_ids: Sequence[int] = ()
    ) -> None:
        template = template_of(tokenizer, arm)
        if image_tokens < 1:
            raise ValueError(f"image_tokens is {image_tokens}; expected at least 1 token for an image")
        self.tokenizer = tokenizer
        self.arm = arm
        self.template = template
        self.image_tokens = image_tokens
        self.image_token_id = _image_token_id(tokenizer)
        self.bos_id, eos_id, self.pad_id = _bos_eos_pad(tokenizer)
        self.eos_id = eos_id if template.end is None else tokenizer.get_vocab()[template.end]
        self.eos_ids = tuple(dict.fromkeys([self.eos_id, eos_id, *stop_ids]))
        self._special = _special_ids(tokenizer)
        self._before_question = self.template.prefix.split(IMAGE_TOKEN)[1]
        self._before_answer = self.template.after_question
        self._anchors = {
            text: self._encode([text])[0] for text in (self._before_question, self._before_answer)
        }
        self._cache: dict[tuple[str, str], list[int]] = {}
        self._fixed_ids: dict[str, list[int]] = {}
        self.prefix_ids = self._make_prefix()

    def question_ids(self, question: str) -> list[int]:
        """Ids of a question and the fixed text around it, up to where the answer starts.

        Raises:
            ValueError: as :meth:`segments`.
        """
        return self.segments([(question, None)])[0][0]

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer, its leading space included, and EOS.

        Raises:
            ValueError: as :meth:`segments`.
        """
        return [*self._answers([answer])[answer], self.eos_id]

    def segments(self, turns: Sequence[tuple[str, str | None]]) -> list[tuple[list[int], list[int]]]:
        """Question ids and answer ids (with EOS; empty where the answer is None) of many turns, tokenised at once.

        Raises:
            ValueError: an empty answer, a special token such as ``<image>`` written in a text, or a text that this
                tokenizer would merge with the fixed text before it.
        """
        questions = self._questions(question for question, _ in turns)
        answers = self._answers(answer for _, answer in turns if answer is not None)
        return [
            (questions[question], [] if answer is None else [*answers[answer], self.eos_id])
            for question, answer in turns
        ]

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer's ids, without a stop id at the end and without the space before the answer.

        Everything else is shown as it is, special tokens included: what a model wrote is not made better than it is.
        """
        body = list(ids[:-1] if ids and ids[-1] in self.eos_ids else ids)
        anchor = self._anchors[self._before_answer]
        # Behind the fixed text, because SentencePiece decoders drop a space at the very start of a text.
        before, text = (
            str(self.tokenizer.decode(i, skip_special_tokens=False, clean_up_tokenization_spaces=False))
            for i in (anchor, anchor + body)
        )
        return text.removeprefix(before).removeprefix(self.template.before_answer)

    def prompt_text(self, question: str) -> str:
        """The whole prompt as one text with the image token once, as a reader or a processor sees it."""
        template = self.template
        return template.prefix + template.before_question + question + template.after_question

    def prompt_ids(self, question: str) -> list[int]:
        """The whole prompt of one question as ids: what a model sees before it answers."""
        return self.prefix_ids + self.question_ids(question)

    def _questions(self, questions: Iterable[str]) -> dict[str, list[int]]:
        before, after = self.template.before_question, self.template.after_question
        texts = {question: before + question + after for question in questions}
        ids = self._continue(self._before_question, texts.values())
        return {question: ids[text] for question, text in texts.items()}

    def _answers(self, answers: Iterable[str]) -> dict[str, list[int]]:
        texts = {answer: self.template.before_answer + answer for answer in answers}
        if "" in texts:
            raise ValueError(
                "an answer is empty; expected text, because an empty answer cannot be learned or scored"
            )
        ids = self._continue(self._before_answer, texts.values())
        return {answer: ids[text] for answer, text in texts.items()}

    def _continue(self, anchor: str, texts: Iterable[str]) -> dict[str, list[int]]:
        """Ids of texts as they follow ``anchor``."""
        wanted = list(texts)
        new = [text for text in dict.fromkeys(wanted) if (anchor, text) not in self._cache]
        first = self._anchors[anchor]
        for text, ids in zip(new, self._encode([anchor + text for text in new]), strict=True):
            if ids[: len(first)] != first:
                raise ValueError(
                    f"this tokenizer merges {anchor!r} with the text after it, {text!r}: expected ids that start with "
                    f"{first}, found {ids[: len(first)]}; begin the text with a letter, a digit or a bracket"
                )
            special = self._special_in(ids) - self._special_in(self._fixed(anchor))
            if special:
                token = self.tokenizer.convert_ids_to_tokens(min(special))
                raise ValueError(
                    f"special token {token!r} written in the text {text!r}; remove it from the data"
                )
            self._cache[anchor, text] = ids[len(first) :]
        return {text: self._cache[anchor, text] for text in wanted}

    def _fixed(self, anchor: str) -> list[int]:
        """Ids of the fixed text around a question, or before an answer."""
        if anchor not in self._fixed_ids:
            text = anchor + (self.template.after_question if anchor == self._before_question else "")
            self._fixed_ids[anchor] = self._encode([text])[0]
        return self._fixed_ids[anchor]

    def _special_in(self, ids: Sequence[int]) -> Counter[int]:
        """How often each special token occurs."""
        return Counter(number for number in ids if number in self._special)

    def _encode(self, texts: list[str]) -> list[list[int]]:
        return self.tokenizer(texts, add_special_tokens=False).input_ids if texts else []

    def _make_prefix(self) -> list[int]:
        plain = self._encode([self.template.prefix])[0]
        at = plain.index(self.image_token_id)
        bos = [] if self.bos_id is None else [self.bos_id]
        return bos + plain[:at] + [self.image_token_id] * self.image_tokens + plain[at + 1 :]


def _image_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    ids = tokenizer(IMAGE_TOKEN, add_special_tokens=False).input_ids
    if len(ids) != 1 or tokenizer.convert_ids_to_tokens(ids[0]) != IMAGE_TOKEN:
        pieces = tokenizer.convert_ids_to_tokens(ids)
        raise ValueError(
            f"'{IMAGE_TOKEN}' must be one token of the tokenizer, found {pieces}; call reserve_tokens first"
        )
    return ids[0]


def _bos_eos_pad(tokenizer: PreTrainedTokenizerBase) -> tuple[int | None, int, int]:
    bos, eos, pad = tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id
    if eos is None:
        raise ValueError("the tokenizer has no EOS token; an answer could never end")
    if pad is None:
        raise ValueError("the tokenizer has no padding token; call reserve_tokens first")
    if pad in (bos, eos):
        raise ValueError(
            f"the padding token {tokenizer.pad_token!r} (id {pad}) is also BOS (id {bos}) or EOS (id {eos}), so "
            "masking the padding would mask the end of the answer; call reserve_tokens first"
        )
    return bos, eos, pad


def _special_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Ids that no text of the data may contain: all special tokens but a plain 'unknown'."""
    added = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} - {None}
    return frozenset((added | set(tokenizer.all_special_ids)) - {tokenizer.unk_token_id} | named)
