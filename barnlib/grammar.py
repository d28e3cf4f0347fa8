"""Which tokens may follow, so that an answer has the form that was asked for: grammar-constrained decoding.

In:  a backbone's tokenizer, and a regular expression of the answers that are allowed.
Out: :class:`Grammar`, which :func:`barnlib.decoding.greedy` asks before each token.

llguidance (MIT) does the work: it walks the expression with the bytes of every token of the vocabulary, so that any
segmentation of an allowed answer is allowed. What is forced in this way shows form, and never knowledge: a model that
knows nothing then writes a well-formed guess.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from torch import Tensor

from barnlib.prompts import Prompter


class Grammar:
    """The tokens that may follow what has been written, for one tokenizer and one form of answer.

    Args:
        prompter: whose tokenizer writes, and whose template says what stands between prompt and answer.
        expression: regular expression (Rust syntax) of the whole answer.
        vocabulary: number of logits, which may exceed the tokenizer's entries.

    Raises:
        ValueError: an expression that llguidance cannot read.
    """

    def __init__(self, prompter: Prompter, expression: str, vocabulary: int) -> None:
        grammar = LLMatcher.grammar_from_regex(prompter.template.before_answer + expression)
        # One stop id is enough, and it must be the one that training ends answers with.
        tokenizer = from_tokenizer(
            cast(Any, prompter.tokenizer), n_vocab=vocabulary, eos_token=prompter.eos_id
        )
        problem = LLMatcher.validate_grammar(grammar, tokenizer)
        if problem:
            raise ValueError(f"the expression {expression!r} cannot be followed: {problem}")
        self._start = LLMatcher(tokenizer, grammar)
        self._vocabulary = vocabulary
        self._known: dict[tuple[int, ...], Tensor] = {}

    def allowed(self, written: Tensor) -> Tensor:
        """Which ids may follow, bool[M, V], after what M answers hold so far, int64[M, steps].

        After a complete answer only EOS is allowed.

        Raises:
            ValueError: an answer that has left the grammar.
        """
        rows = [self._after(tuple(row)) for row in written.tolist()]
        return torch.stack(rows).to(written.device)

    def _after(self, ids: Sequence[int]) -> Tensor:
        """bool[V] for one answer; answers share their beginnings, so each is worked out once."""
        key = tuple(ids)
        if key not in self._known:
            matcher = self._start.deep_copy()
            if not matcher.consume_tokens(list(key)):
                raise ValueError(f"ids {list(key)} leave the grammar: {matcher.get_error()}")
            bits = allocate_token_bitmask(1, self._vocabulary)
            fill_next_token_bitmask(matcher, bits)
            flags = np.unpackbits(bits.view(np.uint8), bitorder="little")[: self._vocabulary]
            self._known[key] = torch.from_numpy(flags.astype(bool))
        return self._known[key]
