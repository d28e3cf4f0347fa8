"""A chart or table where there is something to show, and the reason where there is nothing.

A study with one backbone has no pair to compare, one on photographs nothing to probe: its pages say so and still build.
"""

from collections.abc import Callable
from typing import Any

import pandas as pd
from IPython.display import Markdown

ONE_BACKBONE = "The study has one backbone: there is no pair to compare."
UNLABELLED = "Nobody has written down what is on these photographs."


def shown(table: pd.DataFrame, draw: Callable[[pd.DataFrame], Any], *, otherwise: str) -> Any:
    """What ``draw`` makes of the table, or ``otherwise`` in words if the table has no rows."""
    return draw(table) if len(table) else Markdown(f"*{otherwise}*")
