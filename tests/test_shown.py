"""Where there is nothing to show, the page says why."""

import pandas as pd
import pytest
from IPython.display import Markdown

from barnlib.report.shown import shown


def test_what_there_is_is_drawn() -> None:
    assert shown(pd.DataFrame({"x": [1, 2]}), len, otherwise="nothing") == 2


def test_what_cannot_be_shown_says_why_and_is_not_drawn() -> None:
    told = shown(pd.DataFrame({"x": []}), pytest.fail, otherwise="There is one backbone.")
    assert isinstance(told, Markdown) and told.data == "*There is one backbone.*"
