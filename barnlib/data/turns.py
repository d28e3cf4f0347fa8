"""One turn of a conversation about an image: what a model is asked and what it has to answer, given the turns before.

Out: :class:`Turn`; items hold one each, prompts.py makes ids of it, packing.py batches.
"""

from dataclasses import dataclass, replace

History = tuple[tuple[str, str], ...]  # questions and answers, the first of them first


@dataclass(frozen=True)
class Turn:
    """A question on an image and its answer; ``answer`` is None where the model is to write it.

    ``history`` holds the questions and answers that came before it in its conversation, on the same image. A model
    reads them and is not trained on them here: each of their answers belongs to a turn of its own.
    """

    question: str
    answer: str | None = None
    history: History = ()

    @property
    def asked(self) -> "Turn":
        """The same question without its answer."""
        return replace(self, answer=None)

    def continues(self, before: "Turn") -> bool:
        """Whether another turn, with its answer and all before it, is what comes before this one."""
        return self.history == (*before.history, (before.question, before.answer))
