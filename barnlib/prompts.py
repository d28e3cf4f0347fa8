"""From texts to token ids: one path for every backbone, the same in training and inference.

In:  a tokenizer, the name of a prompt arm, the number of image tokens.
Out: a :class:`Prompter`, which gives the ids of the prefix, of questions and of answers, and turns ids back into
     text. :mod:`barnlib.packing` builds batches from it.

A prompt is made of three segments, each tokenised on its own: the prefix (BOS, image, fixed text), the question and
the answer with EOS. Masks and labels therefore come from the segments and are never found again by searching.
A segment is tokenised behind the fixed text that stands before it ("Answer:" before an answer), and the ids of that
fixed text are cut off: a SentencePiece tokenizer would otherwise put a space of its own before every segment.

In a conversation the segments follow each other as they would have been written: a question, its answer with EOS, the
fixed text between two turns, the next question. The image stands before the first question only. The ids of a turn
therefore begin with those of the turns before it, answers and EOS included.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from transformers import AddedToken, PreTrainedTokenizerBase

from barnlib.data.turns import History, Turn

IMAGE_TOKEN = "<image>"
PAD_TOKEN = "<pad>"


@dataclass(frozen=True)
class Template:
    """The fixed texts of a prompt arm. ``end`` is the token that ends an answer; None is the tokenizer's EOS.

    ``prefix`` holds the image token once and ends where the questions on one image begin to differ. Between it and the
    answer stands ``before_question`` + question + ``after_question``; then ``before_answer`` + answer + EOS.
    ``next_turn`` + question + ``after_question`` asks on after that EOS; None where no second question can be asked.
    """

    prefix: str
    before_question: str
    after_question: str
    before_answer: str
    next_turn: str | None
    end: str | None = None


ARMS = ("uniform", "native")
UNIFORM = Template(
    prefix=f"{IMAGE_TOKEN}\nQuestion:",
    before_question=" ",
    after_question="\nAnswer:",
    before_answer=" ",
    next_turn="\nQuestion: ",
)
QUESTION_HERE, ANSWER_HERE = "QUESTION-HERE", "ANSWER-HERE"  # where a chat template puts them


def template_of(tokenizer: PreTrainedTokenizerBase, arm: str) -> Template:
    """The fixed texts of an arm: one plain template for all backbones, or, in the arm ``native``, what the tokenizer's
    own chat template puts around a question and an answer. A base model has no template of its own (the header tokens
    of base LLaMA-3 are untrained); in the arm ``native`` it keeps the uniform one.

    A space between an answer and its end, as LLaMA-2's template has it, is left out in every turn: an answer is trained
    to end at once. A template that does not write a second question as it writes the first, as one that gives the last
    answer a place for thoughts, has no ``next_turn``.

    Raises:
        ValueError: unknown arm, or a chat template that cannot be taken apart.
    """
    if arm not in ARMS:
        raise ValueError(f"no prompt arm '{arm}'; there are: {', '.join(ARMS)}")
    if arm == "uniform" or not tokenizer.chat_template:
        return UNIFORM
    text, before, between, after = _written(tokenizer, 1)
    end = next((token for token in _tokens_at(tokenizer, after.lstrip(" "))), None)
    if not before.endswith(f"{IMAGE_TOKEN}\n") or text.count(IMAGE_TOKEN) != 1 or not between or end is None:
        raise ValueError(
            f"the tokenizer's chat template makes {text!r} of a question and its answer; expected the image, the "
            "question, the answer and one special token that ends it, in this order: use prompt arm 'uniform'"
        )
    after_question = between.rstrip(" ")
    again = _written(tokenizer, 2)
    ended, next_turn = again[3].lstrip(" ")[: len(end)], again[3].lstrip(" ")[len(end) :]
    same = again[1:3] == [before, between] and again[4:] == [between, after] and ended == end and next_turn
    return Template(
        before, "", after_question, between[len(after_question) :], next_turn if same else None, end
    )


def _written(tokenizer: PreTrainedTokenizerBase, turns: int) -> list[str]:
    """What the tokenizer's chat template writes of so many questions and answers on one image: the whole text, and the
    texts before, between and after the questions and answers. BOS at the start is left out: the prefix begins with it.
    """
    messages = [
        {"role": role, "content": content}
        for _ in range(turns)
        for role, content in (("user", QUESTION_HERE), ("assistant", ANSWER_HERE))
    ]
    messages[0] = {"role": "user", "content": f"{IMAGE_TOKEN}\n{QUESTION_HERE}"}
    text = str(tokenizer.apply_chat_template(messages, tokenize=False))
    text = text.removeprefix(tokenizer.bos_token or "")
    parts, expected = re.split(f"{QUESTION_HERE}|{ANSWER_HERE}", text), 2 * turns + 1
    return [text, *(parts if len(parts) == expected else [""] * expected)]


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
        self._before_question = template.prefix.split(IMAGE_TOKEN)[1]
        self._before_answer = template.after_question
        self._end = template.end or str(tokenizer.eos_token)
        self._cache: dict[tuple[str, str], list[int]] = {}
        self._fixed_ids: dict[str, list[int]] = {}
        self.prefix_ids = self._make_prefix()

    def question_ids(self, question: str, history: History = ()) -> list[int]:
        """Ids of a question, of what came before it in its conversation and of the fixed text around them, up to where
        the answer starts.

        Raises:
            ValueError: as :meth:`segments`.
        """
        return self.segments([Turn(question, history=history)])[0][0]

    def answer_ids(self, answer: str) -> list[int]:
        """Ids of an answer, its leading space included, and EOS.

        Raises:
            ValueError: as :meth:`segments`.
        """
        return [*self._answers([answer])[answer], self.eos_id]

    def segments(self, turns: Sequence[Turn]) -> list[tuple[list[int], list[int]]]:
        """Ids before the answer (history and question) and ids of the answer (with EOS; empty where there is none) of
        many turns, tokenised at once.

        Raises:
            ValueError: an empty answer, a special token such as ``<image>`` written in a text, a text that this
                tokenizer would merge with the fixed text before it, or a turn with history where the chat template
                cannot ask a second question.
        """
        asked = [(*(question for question, _ in turn.history), turn.question) for turn in turns]
        first = self._questions(questions[0] for questions in asked)
        later = self._later_questions(question for questions in asked for question in questions[1:])
        given = ((*(answer for _, answer in turn.history), turn.answer) for turn in turns)
        answers = self._answers(answer for of_turn in given for answer in of_turn if answer is not None)
        found = []
        for turn, (opening, *others) in zip(turns, asked, strict=True):
            ids = list(first[opening])
            for (_, answer), question in zip(turn.history, others, strict=True):
                ids += [*answers[answer], self.eos_id, *later[question]]
            found.append((ids, [] if turn.answer is None else [*answers[turn.answer], self.eos_id]))
        return found

    def decode(self, ids: Sequence[int]) -> str:
        """Text of an answer's ids, without a stop id at the end and without the space before the answer.

        Everything else is shown as it is, special tokens included: what a model wrote is not made better than it is.
        """
        body = list(ids[:-1] if ids and ids[-1] in self.eos_ids else ids)
        anchor = self._fixed(self._before_answer)
        # Behind the fixed text, because SentencePiece decoders drop a space at the very start of a text.
        before, text = (
            str(self.tokenizer.decode(i, skip_special_tokens=False, clean_up_tokenization_spaces=False))
            for i in (anchor, anchor + body)
        )
        return text.removeprefix(before).removeprefix(self.template.before_answer)

    def prompt_text(self, question: str, history: History = ()) -> str:
        """The whole prompt as one text with the image token once, as a reader or a processor sees it."""
        template = self.template
        text = template.prefix + template.before_question
        for asked, answered in history:
            text += asked + template.after_question + template.before_answer + answered
            text += self._end + self._next_turn()
        return text + question + template.after_question

    def prompt_ids(self, question: str, history: History = ()) -> list[int]:
        """The whole prompt of one question as ids: what a model sees before it answers."""
        return self.prefix_ids + self.question_ids(question, history)

    def _questions(self, questions: Iterable[str]) -> dict[str, list[int]]:
        """Ids of first questions of a conversation."""
        before, after = self.template.before_question, self.template.after_question
        texts = {question: before + question + after for question in questions}
        ids = self._continue(self._before_question, texts.values(), after)
        return {question: ids[text] for question, text in texts.items()}

    def _later_questions(self, questions: Iterable[str]) -> dict[str, list[int]]:
        """Ids of further questions, those of the fixed text between the EOS before them and the question included."""
        asked = list(questions)
        if not asked:
            return {}
        # A space before a question is tokenised with the question.
        next_turn, after = self._next_turn(), self.template.after_question
        anchor = self._end + next_turn.rstrip(" ")
        space = next_turn[len(next_turn.rstrip(" ")) :]
        texts = {question: space + question + after for question in asked}
        ids = self._continue(anchor, texts.values(), after)
        fixed = self._fixed(anchor)
        between = fixed[fixed.index(self.eos_id) + 1 :]
        return {question: between + ids[text] for question, text in texts.items()}

    def _next_turn(self) -> str:
        if self.template.next_turn is None:
            text = _written(self.tokenizer, 2)[0]
            raise ValueError(
                f"the tokenizer's chat template makes {text!r} of two questions and their answers; expected the second "
                "ones to stand in the same texts as the first: use prompt arm 'uniform' for conversations"
            )
        return self.template.next_turn

    def _answers(self, answers: Iterable[str]) -> dict[str, list[int]]:
        texts = {answer: self.template.before_answer + answer for answer in answers}
        if "" in texts:
            raise ValueError(
                "an answer is empty; expected text, because an empty answer cannot be learned or scored"
            )
        ids = self._continue(self._before_answer, texts.values(), "")
        return {answer: ids[text] for answer, text in texts.items()}

    def _continue(self, anchor: str, texts: Iterable[str], tail: str) -> dict[str, list[int]]:
        """Ids of texts as they follow the fixed text ``anchor``; each ends with the fixed text ``tail``."""
        wanted = list(texts)
        new = [text for text in dict.fromkeys(wanted) if (anchor, text) not in self._cache]
        first = self._fixed(anchor)
        for text, ids in zip(new, self._encode([anchor + text for text in new]), strict=True):
            if ids[: len(first)] != first:
                raise ValueError(
                    f"this tokenizer merges {anchor!r} with the text after it, {text!r}: expected ids that start with "
                    f"{first}, found {ids[: len(first)]}; begin the text with a letter, a digit or a bracket"
                )
            special = self._special_in(ids) - self._special_in(self._fixed(anchor + tail))
            if special:
                token = self.tokenizer.convert_ids_to_tokens(min(special))
                raise ValueError(
                    f"special token {token!r} written in the text {text!r}; remove it from the data"
                )
            self._cache[anchor, text] = ids[len(first) :]
        return {text: self._cache[anchor, text] for text in wanted}

    def _fixed(self, text: str) -> list[int]:
        """Ids of a fixed text."""
        if text not in self._fixed_ids:
            self._fixed_ids[text] = self._encode([text])[0]
        return self._fixed_ids[text]

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
