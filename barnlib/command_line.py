"""How a command of this project ends where it cannot do what was asked: with one sentence, not with a traceback.

In:  what a command's main function does.
Out: the same; or the sentence on standard error and exit status 1.
"""

import linecache
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


@contextmanager
def one_sentence(*also: type[Exception]) -> Iterator[None]:
    """End the program with its error's own sentence where barnlib itself raised that.

    A `ValueError` of a library is no answer to what was asked but a fault, and keeps its traceback, as all others do.

    Args:
        also: errors other than `ValueError` whose text is such a sentence.

    Raises:
        SystemExit: with the sentence, which Python then prints.
    """
    kinds: tuple[type[Exception], ...] = (ValueError, *also)
    try:
        yield
    except kinds as problem:
        if not _raised_here(problem):
            raise
        sys.exit(str(problem))


def _raised_here(problem: Exception) -> bool:
    """Whether the line that the error comes from is a `raise` of this package, rather than a call of compiled code."""
    *_, (frame, number) = traceback.walk_tb(problem.__traceback__)
    file = Path(frame.f_code.co_filename).resolve()
    return file.is_relative_to(PACKAGE) and linecache.getline(str(file), number).lstrip().startswith("raise ")
